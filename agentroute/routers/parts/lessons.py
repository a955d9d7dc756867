"""Labelled outcomes as lessons: how any router, fittable or not, learns from ``Examples``."""

from __future__ import annotations

import numpy as np

from agentroute.choosing.protocol import FittableRouter, Router
from agentroute.model.arrays import F64, Ints
from agentroute.model.candidates import Candidates, Examples, Request
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Observation

MOST_OUTCOMES = 20_000


def take(examples: Examples, rows: Ints) -> Examples:
    """The examples at positions ``rows``, in that order."""
    return Examples(
        tasks=tuple(examples.tasks[i] for i in rows),
        embedding=examples.embedding[rows],
        cards=examples.cards,
        quality=examples.quality[rows],
        cost_usd=None if examples.cost_usd is None else examples.cost_usd[rows],
        latency_s=None if examples.latency_s is None else examples.latency_s[rows],
        abstain=examples.abstain[rows],
        weight=None if examples.weight is None else examples.weight[rows],
    )


def mostly_known(examples: Examples) -> bool:
    """Whether most outcomes are known of the agents of whom any is, on rows that have any."""
    seen = ~np.isnan(examples.quality)
    seen = seen[seen.any(axis=1)][:, seen.any(axis=0)]
    return bool(seen.size and seen.mean() >= 0.5)


def mean_label(examples: Examples, j: int) -> tuple[float, float]:
    """Weighted mean quality of agent ``j`` over rows in scope, 0 without any; and their number."""
    use = ~examples.abstain & ~np.isnan(examples.quality[:, j])
    n = float(use.sum())
    if not n:
        return 0.0, 0.0
    w = None if examples.weight is None else examples.weight[use, j]
    return float(np.average(examples.quality[use, j], weights=w)), n


def fifth(m: int, seed: int) -> tuple[Ints, Ints]:
    """(the rest, a random fifth) of m positions, each in order."""
    shuffled = keyed_rng(seed, "fifth", m).permutation(m)
    return np.sort(shuffled[m // 5 :]), np.sort(shuffled[: m // 5])


def requests(examples: Examples) -> list[Request]:
    """What is known of each task before a choice, with everyone as candidates."""
    all_of_them = Candidates.idle(examples.cards)
    pairs = zip(examples.tasks, examples.embedding, strict=True)
    return [Request(task, e, all_of_them) for task, e in pairs]


def teach(router: Router, examples: Examples, *, seed: int = 0, most: int = MOST_OUTCOMES) -> None:
    """``fit`` where the router has it; else ``update`` with observed outcomes, row by row.

    A router that only updates sees whole rows, drawn at random where all would be more than
    ``most`` outcomes; rows that nobody should get teach it nothing.
    """
    if isinstance(router, FittableRouter):
        router.fit(examples, seed=seed)
        return
    rows = np.flatnonzero(~examples.abstain)
    whole = max(1, most // examples.quality.shape[1])
    if len(rows) > whole:
        rows = np.sort(keyed_rng(seed, "lessons").permutation(rows)[:whole])
    part = take(examples, rows)
    seq = 0
    for k, request in enumerate(requests(part)):
        for j in np.flatnonzero(~np.isnan(part.quality[k])):
            seq += 1
            router.update(_observation(part, request, k, int(j), seq))


def _observation(part: Examples, request: Request, k: int, j: int, seq: int) -> Observation:
    return Observation(
        seq=seq,
        decision_id=f"{request.task.id}#{seq}",
        request=request,
        agent=str(request.candidates.names[j]),
        quality=float(part.quality[k, j]),
        cost_usd=_cell(part.cost_usd, k, j),
        latency_s=_cell(part.latency_s, k, j),
    )


def _cell(values: F64 | None, k: int, j: int) -> float | None:
    return None if values is None or np.isnan(values[k, j]) else float(values[k, j])
