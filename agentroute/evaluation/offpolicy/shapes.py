"""Shapes of a ledger's runs that were drawn, with what came of each: rows for estimates.

Used are the first shapes of runs that a learned selector drew and that somebody judged (a failed
run counts 0, else the weightiest word). Shapes of a rule were certain, and say nothing of others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.evaluation.offpolicy.estimators import LoggedRows
from agentroute.learning.shaping import ShapeFolding, ShapeSeen
from agentroute.learning.sources import WEIGHTS
from agentroute.ledger import Ledger
from agentroute.model.arrays import F64
from agentroute.model.decisions import DecisionRecord
from agentroute.model.plans import Topology
from agentroute.planning.selecting.selector import LEARNED

SHAPES = tuple(Topology)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedShape:
    """A run's first shape, and what came of it; None where nothing is known."""

    record: DecisionRecord
    quality: float | None
    cost_usd: float | None
    latency_s: float | None

    @property
    def shape(self) -> Topology:
        """What was chosen."""
        return Topology(self.record.decision.chosen[0])


def judged_shapes(ledger: Ledger, *, weights: Mapping[str, float] = WEIGHTS) -> list[JudgedShape]:
    """Each run's first shape, whoever chose it, in the order in which something was said of it."""
    said: dict[str, list[ShapeSeen]] = {}
    for _, seen in ShapeFolding(ledger, weights).steps(0, ledger.head()[0]):
        if seen is not None:
            said.setdefault(seen.record.decision.id, []).append(seen)
    return [_judged(seen) for seen in said.values()]


def _judged(seen: Sequence[ShapeSeen]) -> JudgedShape:
    words = [s for s in seen if s.quality is not None]
    best = max(words, key=lambda s: s.weight, default=None)  # of equal ones the first
    usage = next((s.usage for s in seen if s.usage is not None), (None, None))
    return JudgedShape(seen[0].record, None if best is None else best.quality, *usage)


def drawn_shapes(
    ledger: Ledger, left_out: Counter[str], *, run_id: str | None = None
) -> Iterator[DecisionRecord]:
    """The shapes that were drawn, in order of ``seq``; the others are counted in ``left_out``."""
    where = "" if run_id is None else " AND run_id = ?"
    sql = f"SELECT id FROM decisions WHERE kind = 'topology' AND attempt = 1{where} ORDER BY seq"
    for (decision_id,) in ledger.query(sql, () if run_id is None else (run_id,)):
        record = ledger.record(decision_id)
        if record.decision.policy == LEARNED:
            yield record
        else:
            left_out["the shape was certain"] += 1


def shape_rows(
    judged: Sequence[JudgedShape], target: Mapping[str, F64], reward: Sequence[float]
) -> LoggedRows:
    """Rows over the five shapes; ``target`` is decision id to (5,) probabilities.

    The direct model may know what Algorithm 1 says of the graph.
    """
    logging = np.zeros((len(judged), len(SHAPES)))
    for row, j in zip(logging, judged, strict=True):
        context = j.record.context
        for name, p in zip(context["shapes"], context["propensities"], strict=True):
            row[SHAPES.index(Topology(name))] = p
    return LoggedRows(
        chosen=np.array([SHAPES.index(j.shape) for j in judged], dtype=np.int64),
        propensity=np.array([j.record.decision.propensity for j in judged]),
        reward=np.array(reward, dtype=np.float64),
        target=np.array([target[j.record.decision.id] for j in judged]),
        logging=logging,
        group=[str(j.record.context["rule"]) for j in judged],
    )
