"""What a preference buys: quality against cost as the cost weight grows, on one frozen state.

The router learns once; then only the objective of the call changes. Cost is the measured cost of
the test rows; rows whose costs were not all measured are left out of the sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentroute.choosing.policy import Policy
from agentroute.errors import TableError
from agentroute.evaluation.contestants import factories, learn_bandit, learn_full, play_frozen
from agentroute.evaluation.runner import EvalSpec, make_cuts, refuse_partial
from agentroute.evaluation.stream import Stream, objective_bounds
from agentroute.evaluation.tables.splits import Cut
from agentroute.features.text import Embedder, make_embedder
from agentroute.model.arrays import F64, Ints
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Objective

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True, slots=True)
class Point:
    """Mean quality and mean cost (USD) a task; ``label`` a weight or the name of an arm."""

    label: str
    quality: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """The curve of one router, the points of the single arms, and what they add up to.

    Points are means over the cuts; ``rows`` counts the scored rows of all cuts.
    ``monotone`` says that mean cost never rises as the weight grows; ``largest_rise`` is the most
    that it does from one weight to the next, as a share of the dearest point's cost: choices
    follow expected cost, so a row whose measured cost differs from it can lift the mean.
    ``dominated`` lists the arms that some point of the curve beats (no worse in quality and cost,
    better in one).
    ``hypervolume`` in [0, 1] is the area that a set of points dominates, with quality in [0, 1]
    and cost on a log1p scale from the cheapest arm to the dearest (reference: 0 quality, dearest).
    """

    router: str
    rows: int
    curve: tuple[Point, ...]
    arms: tuple[Point, ...]
    monotone: bool
    largest_rise: float
    dominated: tuple[str, ...]
    hypervolume: float
    arms_hypervolume: float

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        curve, arms = (
            [{"label": p.label, "quality": p.quality, "cost_usd": p.cost_usd} for p in points]
            for points in (self.curve, self.arms)
        )
        return {
            "router": self.router, "rows": self.rows, "curve": curve, "arms": arms,
            "monotone": self.monotone, "largest_rise": self.largest_rise,
            "dominated": list(self.dominated),
            "hypervolume": self.hypervolume, "arms_hypervolume": self.arms_hypervolume,
        }  # fmt: skip


def cost_sweep(spec: EvalSpec, weights: Sequence[float] = WEIGHTS) -> list[Sweep]:
    """A sweep for each router of the spec, on its first seed: the mean over its cuts.

    One cut's curve is one draw of costs; a claim about the curve wants ten.

    Raises:
        TableError: the scored rows have no measured cost; or see ``evaluate``.
        UsageError: a partial table.
    """
    embedder = make_embedder(spec.embedder) if isinstance(spec.embedder, str) else spec.embedder
    whole = make_cuts(spec)
    refuse_partial(whole, "a sweep needs what every arm costs on every row")
    cuts = [replace(cut, test_rows=_measured(cut)) for cut in whole]
    makers = factories(spec.routers, embedder, exploration=spec.exploration)
    arms = _mean([_single_arms(cut) for cut in cuts])
    rows = sum(len(cut.test_rows) for cut in cuts)
    out = []
    for name, make in makers.items():
        curves = [
            asyncio.run(_curve(make(spec.first_seed), spec, cut, embedder, sorted(weights)))
            for cut in cuts
        ]
        out.append(summarise_sweep(name, _mean(curves), arms, rows))
    return out


async def _curve(
    policy: Policy, spec: EvalSpec, cut: Cut, embedder: Embedder, weights: Sequence[float]
) -> list[Point]:
    learn = Stream(cut.train, embedder, spec.objective)
    order = keyed_rng(spec.first_seed, "order").permutation(cut.train_rows)
    if spec.mode == "bandit":
        await learn_bandit(policy, learn, order, keyed_rng(spec.first_seed, "explore"))
    else:
        await learn_full(policy, learn, cut.train_rows, embedder, spec.first_seed)
    bounds = objective_bounds(cut.train, cut.train_rows, learn.candidates)
    curve = []
    for w in weights:
        play = Stream(cut.test, embedder, Objective(cost=w, bounds=bounds))
        picks = await play_frozen(policy, play, cut.test_rows, keyed_rng(spec.first_seed, "ties"))
        curve.append(_point(f"{w:g}", cut, picks.chosen))
    return curve


def _mean(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """The curves of all cuts as one, label by label."""
    return [
        Point(
            points[0].label,
            float(np.mean([p.quality for p in points])),
            float(np.mean([p.cost_usd for p in points])),
        )
        for points in zip(*curves, strict=True)
    ]


def summarise_sweep(name: str, curve: Sequence[Point], arms: Sequence[Point], rows: int) -> Sweep:
    """The curve with its verdicts."""
    costs = np.array([p.cost_usd for p in curve])
    beaten = [a.label for a in arms if any(_beats(p, a) for p in curve)]
    lo, hi = (f(a.cost_usd for a in arms) for f in (min, max))
    top = max(costs.max(initial=0.0), 1e-12)
    rise = max(0.0, float(np.diff(costs).max(initial=0.0) / top))
    return Sweep(
        router=name, rows=rows, curve=tuple(curve), arms=tuple(arms),
        monotone=rise <= 1e-12, largest_rise=rise, dominated=tuple(beaten),
        hypervolume=hypervolume(curve, lo, hi), arms_hypervolume=hypervolume(arms, lo, hi),
    )  # fmt: skip


def hypervolume(points: Sequence[Point], lo_usd: float, hi_usd: float) -> float:
    """Area of {(q, s)} dominated by the points, s = 1 - scaled log1p cost in [0, 1]."""
    span = np.log1p(hi_usd) - np.log1p(lo_usd)
    if span <= 0:
        return max((p.quality for p in points), default=0.0)
    saved = {p: 1.0 - float(np.log1p(p.cost_usd) - np.log1p(lo_usd)) / span for p in points}
    area, reached = 0.0, 0.0
    for p in sorted(points, key=lambda p: -p.quality):
        s = min(max(saved[p], 0.0), 1.0)
        area += max(0.0, s - reached) * p.quality
        reached = max(reached, s)
    return float(area)


def _beats(p: Point, arm: Point) -> bool:
    no_worse = p.quality >= arm.quality and p.cost_usd <= arm.cost_usd
    return no_worse and (p.quality > arm.quality or p.cost_usd < arm.cost_usd)


def _measured(cut: Cut) -> Ints:
    if cut.test.cost_usd is None:
        raise TableError(
            f"{cut.test.name} has no measured cost", hint="a sweep needs cost_usd in its rows"
        )
    complete = np.isfinite(cut.test.cost_usd[cut.test_rows]).all(axis=1)
    rows = cut.test_rows[complete & ~cut.test.abstain[cut.test_rows]]
    if not len(rows):
        raise TableError(f"no scored row of {cut.test.name} has the cost of every arm")
    return rows


def _costs(cut: Cut) -> F64:
    assert cut.test.cost_usd is not None
    return cut.test.cost_usd[cut.test_rows]


def _point(label: str, cut: Cut, chosen: Ints) -> Point:
    rows, called = np.arange(len(chosen)), chosen >= 0
    arm = np.maximum(chosen, 0)
    quality = np.where(called, cut.test.scores[cut.test_rows][rows, arm], 0.0)
    cost = np.where(called, _costs(cut)[rows, arm], 0.0)
    return Point(label, float(quality.mean()), float(cost.mean()))


def _single_arms(cut: Cut) -> list[Point]:
    quality = cut.test.scores[cut.test_rows].mean(axis=0)
    cost = _costs(cut).mean(axis=0)
    arms = zip(cut.test.arms, quality, cost, strict=True)
    return [Point(a.name, float(q), float(c)) for a, q, c in arms]
