"""Depth policies beside always one, two, all, and beside random depth at equal calls and cost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agentroute.choosing.depth import make_depth
from agentroute.choosing.depth.protocol import Depth
from agentroute.errors import UsageError
from agentroute.evaluation.contestants import PolicyFactory, factories
from agentroute.evaluation.depths.playing import WORLDS, Played, Questions, play, questions
from agentroute.evaluation.depths.tuning import (
    CALIBRATED,
    Tuned,
    at_equal_calls,
    data_hash,
    knots_of,
    ladder,
    reliability,
    tune,
)  # fmt: skip
from agentroute.evaluation.metrics import Interval, TaskScores, bootstrap_ci, by_task
from agentroute.evaluation.runner import EvalSpec, make_cuts, refuse_partial, repetitions_of
from agentroute.evaluation.stream import Stream
from agentroute.evaluation.tables.splits import Cut
from agentroute.features.text import Embedder, make_embedder
from agentroute.model.arrays import F64
from agentroute.model.ids import keyed_rng
from agentroute.model.plans import AgentUse, Spec
from agentroute.routers.parts.lessons import teach

KEPT = 0.2  # of the train rows, for what is tuned; the router learns from the others
AGAINST = ("equal calls", "equal cost", "always 1", "always 2", "always all")


@dataclass(frozen=True)
class DepthRow:
    """One policy in one world, over all seeds: quality, accuracy, calls and US dollars a task.

    ``less`` maps each of ``AGAINST`` to the mean difference in quality and its 95 % interval, over
    tasks drawn again; NaN where there is no mix of that cost. ``wrong_if_agreed`` is the share of
    wrong answers where two or more agents were asked and all said the same, NaN where none did.
    """

    router: str
    depth: str
    world: str
    quality: float
    interval: Interval
    right: float
    calls: float
    cost_usd: float
    agreed: float
    wrong_if_agreed: float
    less: dict[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class DepthResult:
    """All rows, what was tuned (on the first seed), and the share of tasks anybody had right."""

    table: str
    rows: int
    seeds: int
    anybody: float
    policies: tuple[DepthRow, ...]
    tuned: tuple[Tuned, ...] = ()


@dataclass
class _Sums:
    """What one policy did in one world, repetition by repetition."""

    task: list[np.ndarray] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    beside: dict[str, list[F64]] = field(default_factory=lambda: defaultdict(list))


def compare_depths(
    spec: EvalSpec, depths: Sequence[Spec], *, tuning: bool = False, verifier: float | None = None
) -> DepthResult:
    """Each depth policy under each router of ``spec``, on its cuts and seeds.

    Each repetition keeps a fifth of the train rows, drawn anew, from the router; with ``tuning``
    the policies are tuned on that fifth. ``verifier`` is how often a free verifier is right.

    Raises:
        UsageError: bandit mode or no train rows; or see ``evaluate``.
        ConfigError: an unknown depth policy or parameter.
    """
    if spec.mode != "full":
        raise UsageError("depth is measured after learning, in full mode", hint="--mode full")
    labels = _labelled(depths)
    embedder = make_embedder(spec.embedder) if isinstance(spec.embedder, str) else spec.embedder
    cuts = make_cuts(spec)
    refuse_partial(cuts, "depth is measured where all outcomes are known")
    if any(len(c.train_rows) < 10 for c in cuts):
        raise UsageError("depth needs rows to learn from", hint="--train DIR, or --holdout 0.2")
    sums: dict[tuple[str, str, str], _Sums] = defaultdict(_Sums)
    tuned: dict[str, Tuned] = {}
    anybody, seeds = [], 0
    for c, cut in enumerate(cuts):
        for s in range(repetitions_of(spec)):
            seed, seeds = spec.first_seed + c * repetitions_of(spec) + s, seeds + 1
            for name, make in factories(spec.routers, embedder, exploration=0.0).items():
                kept, q = asyncio.run(_asked(make, spec, cut, embedder, seed, verifier))
                anybody.append(float(q.right().any(axis=1).mean()))
                made = dict(labels)
                if tuning:
                    made |= _tuned(name, labels, kept, q, cut, seed, tuned)
                _play_all(name, {k: make_depth(v) for k, v in made.items()}, q, seed, sums)
    rows = tuple(_row(*key, found, len(cuts[0].test)) for key, found in sums.items())
    return DepthResult(
        cuts[0].test.name, len(cuts[0].test_rows), seeds, float(np.mean(anybody)), rows,
        tuple(tuned.values()),
    )  # fmt: skip


def _labelled(depths: Sequence[Spec]) -> dict[str, Spec]:
    """Specs by what tells them apart: the name, with parameters where they are given."""
    out: dict[str, Spec] = {}
    for spec in depths:
        use = AgentUse.of(spec, field="depth")
        params = {k: v for k, v in use.params.items() if k not in ("calibration", "label")}
        words = ", ".join(f"{k} {v}" for k, v in params.items())
        label = str(use.params.get("label") or (f"{use.name} ({words})" if words else use.name))
        plain: Spec = {k: v for k, v in use.written().items() if k != "label"}
        make_depth(plain)
        if label in out:
            raise UsageError(f"the depth '{label}' is given twice", hint="add a label")
        out[label] = plain
    return out


async def _asked(
    make: PolicyFactory, spec: EvalSpec, cut: Cut, embedder: Embedder, seed: int,
    verifier: float | None,
) -> tuple[Questions, Questions]:  # fmt: skip
    """The kept train rows and the test rows, scored by a router that learned from the others."""
    policy = make(seed)
    order = keyed_rng(seed, "kept").permutation(cut.train_rows)
    n = max(1, round(KEPT * len(order)))
    kept, learned = np.sort(order[:n]), np.sort(order[n:])
    teach(policy.router, cut.train.examples(learned, embedder), seed=seed)
    streams = [Stream(t, embedder, spec.objective) for t in (cut.train, cut.test)]
    scope = cut.test_rows[~cut.test.abstain[cut.test_rows]]
    return (
        await questions(policy, streams[0], kept, seed=seed, verifier=verifier),
        await questions(policy, streams[1], scope, seed=seed + 1, verifier=verifier),
    )


def _tuned(
    router: str, labels: dict[str, Spec], kept: Questions, q: Questions, cut: Cut, seed: int,
    keep: dict[str, Tuned],
) -> dict[str, Spec]:  # fmt: skip
    out: dict[str, Spec] = {}
    for label, spec in labels.items():
        made = tune(spec, kept, seed=seed)
        out[f"{label}, tuned"] = made
        if (key := f"{router}: {label}") not in keep:
            shown = reliability(knots_of(kept), q) if made["name"] in CALIBRATED else None
            sha = data_hash(cut.train, kept.rows)
            keep[key] = Tuned(made, cut.train.name, sha, len(kept.rows), shown)
    return out


def _play_all(
    router: str, depths: dict[str, Depth], q: Questions, seed: int,
    sums: dict[tuple[str, str, str], _Sums],
) -> None:  # fmt: skip
    for world in WORLDS:
        rungs = ladder(q, world, seed=seed)
        always = {"always 1": rungs[0], "always 2": rungs[1], "always all": rungs[-1]}
        played = {name: play(d, q, world, seed=seed) for name, d in depths.items()}
        for name, p in {**always, **played}.items():
            found = sums[router, name, world]
            found.task.append(q.rows)
            found.played.append(p)
            found.beside["equal calls"].append(at_equal_calls(p, rungs))
            found.beside["equal cost"].append(_at_equal_cost(p, rungs, q))
            for a, rung in always.items():
                found.beside[a].append(rung.quality)


def _at_equal_cost(p: Played, rungs: list[Played], q: Questions) -> F64:
    """(m,) of a random mix of two neighbours in price that costs the same: always the cheapest arm,
    always 1, always 2, ...; NaN where all of them cost more or less, or prices are not known.
    """
    cheap = int(np.argmin(q.cost_usd.mean(axis=0)))
    somebody = p.calls > 0
    rows = [
        (
            np.where(somebody, q.quality[:, cheap], 0.0),
            np.where(somebody, q.cost_usd[:, cheap], 0.0),
        )
    ]
    rows += [(r.quality, r.cost_usd) for r in rungs]
    mean = np.array([c.mean() for _, c in rows])
    target = float(p.cost_usd.mean())
    exact = np.flatnonzero(np.isclose(mean, target, rtol=1e-9, atol=0.0))
    if len(exact):
        return rows[int(exact[-1])][0]
    under, over = np.flatnonzero(mean < target), np.flatnonzero(mean > target)
    if not len(under) or not len(over):
        return np.full(len(q.rows), np.nan)
    a, b = int(under[np.argmax(mean[under])]), int(over[np.argmin(mean[over])])
    w = (target - mean[a]) / (mean[b] - mean[a])
    return np.asarray((1 - w) * rows[a][0] + w * rows[b][0])


def _row(router: str, depth: str, world: str, found: _Sums, tasks: int) -> DepthRow:
    task = np.concatenate(found.task)

    def of(values: list[F64]) -> TaskScores:
        return by_task(task, np.concatenate(values), tasks)

    own = of([p.quality for p in found.played])
    less = {}
    for name in AGAINST:
        gap = own.minus(of(found.beside[name]))
        lo, hi = bootstrap_ci(gap)
        less[name] = (gap.mean(), lo, hi)
    agreed = np.concatenate([p.agreed for p in found.played])
    right = np.concatenate([p.right for p in found.played])
    return DepthRow(
        router, depth, world, own.mean(), bootstrap_ci(own), float(right.mean()),
        float(np.mean([p.calls.mean() for p in found.played])),
        float(np.mean([p.cost_usd.mean() for p in found.played])), float(agreed.mean()),
        float((~right[agreed]).mean()) if agreed.any() else float("nan"), less,
    )  # fmt: skip
