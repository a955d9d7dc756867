"""Who picks the shape: Algorithm 1, a shape that is named, or what was learned of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from agentroute.choosing.decide import Choice, decide
from agentroute.choosing.exploration import Epsilon
from agentroute.errors import ConfigError, did_you_mean
from agentroute.model.objective import QUALITY_ONLY, Objective
from agentroute.model.plans import AgentUse, Plan, Spec, Topology, TopologyChoice
from agentroute.model.scores import Scores
from agentroute.planning.selecting.model import ShapeModel
from agentroute.planning.topology import choose_topology, ruled

AUTO, LEARNED = "auto", "learned"
NEVER = 2.0  # a shape is always chosen


@dataclass(frozen=True)
class Selector:
    """``learned``: the parameters of a ``ShapeModel``, and how it explores.

    ``exploration`` None is the plan's or the settings'.
    """

    alpha: float = 0.2
    lift: float = 0.05
    trust: float = 20.0
    least: int = 20
    exploration: float | None = None

    def __post_init__(self) -> None:
        most = {"lift": 1.0, "exploration": 1.0}
        for f in fields(self):
            value, high = getattr(self, f.name), most.get(f.name, 1e6)
            if f.name == "exploration" and value is None:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not (0 <= value <= high) or (f.name == "trust" and value == 0):
                low = "above 0" if f.name == "trust" else "from 0"
                raise ConfigError(f"must be a number {low} to {high:g}", field=f"topology.{f.name}")

    def model(self) -> ShapeModel:
        """One that has learned nothing."""
        return ShapeModel(alpha=self.alpha, lift=self.lift, trust=self.trust, least=self.least)


class Shaping(Protocol):
    """What a run is handed to have its shape picked by: a model, and which rows it knows."""

    @property
    def model(self) -> ShapeModel:
        """As it is now."""

    @property
    def selector(self) -> Selector:
        """What it was made with."""

    def version(self) -> str:
        """``@<folded up to seq>``."""

    def hold(self) -> AbstractContextManager[None]:
        """Nothing is folded for as long as the block lasts."""

    async def catch_up(self) -> None:
        """Fold what was recorded since."""


def make_selector(spec: Spec) -> Selector | Topology | None:
    """What a ``topology:`` says: None for ``auto`` (Algorithm 1), a shape, or the learned one.

    Raises:
        ConfigError: an unknown name or parameter.
    """
    use = AgentUse.of(spec, field="topology")
    known = [AUTO, LEARNED, *(t.value for t in Topology)]
    if use.name not in known:
        raise ConfigError(
            f"unknown topology '{use.name}'", field="topology", hint=did_you_mean(use.name, known)
        )
    takes = [f.name for f in fields(Selector)] if use.name == LEARNED else []
    for name in use.params:
        if name not in takes:
            hint = did_you_mean(name, takes) if takes else "only 'learned' has parameters"
            raise ConfigError(f"'{use.name}' has no '{name}'", field="topology", hint=hint)
    if use.name == LEARNED:
        return Selector(**use.params)
    return None if use.name == AUTO else Topology(use.name)


def shaped(plan: Plan, spec: Spec) -> Plan:
    """The plan with what the settings say of its shape, where its graph does not say it.

    Raises:
        ConfigError: see ``make_selector``.
    """
    said = make_selector(spec)
    if said is None or plan.selector is not None or plan.choice.branch == "override":
        return plan
    if len(plan.tasks) == 1:
        return plan
    if isinstance(said, Selector):
        return plan.model_copy(update={"selector": AgentUse.of(spec, field="topology")})
    choice = choose_topology(plan.graph(), override=said)
    return plan.model_copy(update={"choice": choice})


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A shape that was drawn, with the probability it was drawn with and all that it rests on."""

    choice: TopologyChoice
    propensity: float
    context: dict[str, Any]


def draw(
    choice: TopologyChoice, shapes: Sequence[Topology], by: Shaping, *, exploration: float,
    objective: Objective = QUALITY_ONLY, rng: np.random.Generator,
) -> Drawn:  # fmt: skip
    """One of ``shapes`` for the graph that ``choice`` was made for by Algorithm 1.

    Epsilon is spread over all of them, so that each has a propensity above 0.
    """
    model = by.model
    rule = ruled(choice)
    scores, drawn = _draw(choice, shapes, rule, model, exploration, objective, rng)
    found = shapes[drawn.positions[0]]
    at = {t: float(m) for t, m in zip(shapes, scores.mean, strict=True)}
    why = (
        f"learned: {found} is expected to be worth {at[found]:.3f}, "
        f"Algorithm 1's {rule} {at[rule]:.3f} ({choice.reason}); {model.judged} judged runs"
    )
    if model.judged < model.least:
        why += f", below {model.least}: Algorithm 1 stands"
    if drawn.explored:
        why += "; drawn to explore"
    made = choice.model_copy(update={"topology": found, "branch": LEARNED, "reason": why})
    context = {
        **made.model_dump(mode="json"),
        "rule": rule.value,
        "shapes": [t.value for t in shapes],
        "mean": scores.mean.tolist(),
        "bonus": scores.bonus.tolist(),
        "terms": {k: v.tolist() for k, v in scores.terms.items()},
        "propensities": drawn.propensities.tolist(),
        "judged": model.judged,
        "exploration": exploration,
        "objective": [objective.quality, objective.cost, objective.latency],
        "params": {k: getattr(by.selector, k) for k in ("alpha", "lift", "trust", "least")},
    }
    return Drawn(made, drawn.propensity, context)


def redraw(
    context: Mapping[str, Any], model: ShapeModel, rng: np.random.Generator,
    *, exploration: float | None = None,
) -> tuple[Topology, Choice, Scores]:  # fmt: skip
    """The draw of a row's ``context`` taken again by ``model``: the shape, the choice, the scores.

    ``exploration`` stands over the recorded one.
    """
    choice = TopologyChoice.model_validate(
        {k: v for k, v in context.items() if k in TopologyChoice.model_fields}
    )
    shapes = [Topology(t) for t in context["shapes"]]
    epsilon = float(context["exploration"]) if exploration is None else exploration
    objective = Objective(*context["objective"])
    rule = Topology(context["rule"])
    scores, drawn = _draw(choice, shapes, rule, model, epsilon, objective, rng)
    return shapes[drawn.positions[0]], drawn, scores


def _draw(
    choice: TopologyChoice, shapes: Sequence[Topology], rule: Topology, model: ShapeModel,
    exploration: float, objective: Objective, rng: np.random.Generator,
) -> tuple[Scores, Choice]:  # fmt: skip
    scores = model.scores(choice.stats, shapes, rule, objective)
    return scores, decide(scores, exploration=Epsilon(exploration), abstain_at=NEVER, rng=rng)
