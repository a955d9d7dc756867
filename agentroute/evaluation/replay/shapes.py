"""The shapes of runs, drawn again: as recorded, or as another selector would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import orjson

from agentroute.errors import AgentRouteError
from agentroute.evaluation.offpolicy.estimators import LoggedRows
from agentroute.evaluation.offpolicy.shapes import (
    SHAPES,
    JudgedShape,
    drawn_shapes,
    judged_shapes,
    shape_rows,
)
from agentroute.learning.shaping import ShapeLearner
from agentroute.ledger import Ledger
from agentroute.model.arrays import F64
from agentroute.model.decisions import DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.plans import Spec, Topology
from agentroute.planning.selecting.selector import Selector, make_selector, redraw

NOT_POSSIBLE = "the agents cannot do the graph in that shape"


@dataclass(frozen=True, slots=True, eq=False)
class ShapeAgain:
    """A shape that was drawn, and the same draw taken again.

    ``law`` (5,) has the probability of each shape now; ``same`` says that shape, probability and
    expectations are bit for bit as they were.
    """

    record: DecisionRecord
    shape: Topology
    propensity: float
    law: F64
    same: bool


class ShapeReplayer:
    """Draws the shapes of a ledger again, by the selector of each row or by another.

    ``left_out`` counts what was none to draw again, ``failed`` what could not be, by reason.
    """

    def __init__(
        self, ledger: Ledger, weights: Mapping[str, float], *, policy: Spec | None = None
    ) -> None:
        self._ledger, self._weights = ledger, weights
        self._other = policy is not None
        self._policy = None if policy is None else make_selector(policy)
        self.left_out: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def again(self, run_id: str | None = None) -> list[ShapeAgain]:
        """Each shape of a run, or of all, that was drawn, in order of ``seq``."""
        learners: dict[bytes, ShapeLearner] = {}
        out = []
        for record in sorted(drawn_shapes(self._ledger, self.left_out, run_id=run_id), key=_folded):
            try:
                made = self._one(record, learners)
            except (AgentRouteError, KeyError, ValueError) as e:
                self.failed[str(e)] += 1
                continue
            if made is None:
                self.left_out[NOT_POSSIBLE] += 1
            else:
                out.append(made)
        return sorted(out, key=lambda a: a.record.decision.seq)

    def _one(
        self, record: DecisionRecord, learners: dict[bytes, ShapeLearner]
    ) -> ShapeAgain | None:
        d, context = record.decision, record.context
        if self._other and not isinstance(self._policy, Selector):
            shape = self._policy or Topology(context["rule"])
            if shape.value not in context["shapes"]:
                return None
            certain = np.array([1.0 if t is shape else 0.0 for t in SHAPES])
            return ShapeAgain(record, shape, 1.0, certain, shape.value == d.chosen[0])
        selector = self._policy or Selector(**context["params"])
        assert isinstance(selector, Selector)
        key = orjson.dumps(selector)
        if key not in learners:
            learners[key] = ShapeLearner(self._ledger, selector, self._weights)
        learners[key].fold(_folded(record))
        rng = keyed_rng(d.seed, d.run_id, "", "topology", d.attempt)
        shape, choice, scores = redraw(
            context, learners[key].model, rng, exploration=selector.exploration
        )
        law = np.zeros(len(SHAPES))
        for name, p in zip(context["shapes"], choice.propensities, strict=True):
            law[SHAPES.index(Topology(name))] = p
        same = (
            shape.value == d.chosen[0]
            and choice.propensity == d.propensity
            and scores.mean.tolist() == context["mean"]
        )
        return ShapeAgain(record, shape, choice.propensity, law, same)


def rows_of(
    ledger: Ledger, weights: Mapping[str, float], made: Iterable[ShapeAgain]
) -> dict[str, LoggedRows]:
    """What came of the shapes, as rows for estimates: ``quality``, ``cost_usd``; what is known."""
    target = {a.record.decision.id: a.law for a in made}
    judged = [j for j in judged_shapes(ledger, weights=weights) if j.record.decision.id in target]
    out = {}
    for name in ("quality", "cost_usd"):
        known = [(j, v) for j in judged if (v := _value(j, name)) is not None]
        if known:
            out[name] = shape_rows([j for j, _ in known], target, [v for _, v in known])
    return out


def _value(judged: JudgedShape, name: str) -> float | None:
    return judged.quality if name == "quality" else judged.cost_usd


def _folded(record: DecisionRecord) -> int:
    return int(record.decision.policy_version.rpartition("@")[2])
