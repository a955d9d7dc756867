"""What recruiting for each task buys, and what aggregating well buys: the ablation as a table.

The rows of an outcome table say which agents were right, not what they wrote. So an aggregator is
modelled by whom of a team it believes: a member drawn at *random*; *A**, the member whose record on
the skills of the task is best; or a weighted *vote* that counts all wrong answers as one and the
same, the worst case for it. Shape after the ablations of Symbolic-MoE (arXiv 2503.05641).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentroute.choosing.decide import decide
from agentroute.choosing.exploration import Proportional
from agentroute.errors import UsageError
from agentroute.evaluation.metrics import Interval, bootstrap_ci, by_task
from agentroute.evaluation.stream import Stream
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.evaluation.tables.reading import load_table
from agentroute.evaluation.tables.splits import Cut, holdout_cuts
from agentroute.features.text import Embedder, make_embedder
from agentroute.model.arrays import F64, Ints
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Objective
from agentroute.model.scores import Scores
from agentroute.routers.parts.lessons import teach
from agentroute.routers.recruiting.router import Recruiting

RIGHT_AT = 0.5
RECRUITERS = ("random", "fixed top-k", "per instance")
AGGREGATORS = ("random", "A*", "vote")


@dataclass(frozen=True, slots=True)
class RecruitingRow:
    """Share of tasks answered right by teams of ``recruiter``, joined by ``aggregator``."""

    recruiter: str
    aggregator: str
    accuracy: float
    ci95: Interval


def recruiting_ablation(
    table: OutcomeTable | Path,
    *,
    k: int = 3,
    holdout: float = 0.3,
    cuts: int = 3,
    embedder: Embedder | None = None,
    seed: int = 0,
) -> list[RecruitingRow]:
    """Nine rows, three recruiters by three aggregators, over ``cuts`` random cuts of the table.

    Raises:
        UsageError: ``k`` outside 1 to the number of arms.
        TableError: see ``load_table`` and ``holdout_cuts``.
    """
    loaded = table if isinstance(table, OutcomeTable) else load_table(table)
    if not 1 <= k <= len(loaded.arms):
        raise UsageError(f"a team of {k} cannot be drawn from {len(loaded.arms)} arms")
    space = embedder or make_embedder()
    parts = holdout_cuts(
        loaded, holdout=holdout, cuts=cuts, group_by=None, splits=(), seed=seed
    )  # fmt: skip
    played = [asyncio.run(_play(cut, k, space, seed + c)) for c, cut in enumerate(parts)]
    rows = np.concatenate([rows for rows, _ in played])
    right = np.concatenate([r for _, r in played])
    return [
        _row(who, how, rows, right[:, i, j], len(loaded))
        for i, who in enumerate(RECRUITERS)
        for j, how in enumerate(AGGREGATORS)
    ]


def _row(who: str, how: str, rows: Ints, right: F64, m: int) -> RecruitingRow:
    scores = by_task(rows, right, m)
    return RecruitingRow(who, how, scores.mean(), bootstrap_ci(scores))


async def _play(cut: Cut, k: int, embedder: Embedder, seed: int) -> tuple[Ints, F64]:
    """(rows in scope, (rows, 3, 3) chance of a right answer)."""
    router = Recruiting(embedder=embedder)
    teach(router, cut.train.examples(cut.train_rows, embedder), seed=seed)
    stream = Stream(cut.test, embedder, Objective())
    names = [str(a) for a in stream.candidates.names]
    strength = np.array([sum(router.profile(a).values()) for a in names])
    rows = cut.test_rows[~cut.test.abstain[cut.test_rows]]
    out = np.zeros((len(rows), len(RECRUITERS), len(AGGREGATORS)))
    for t, i in enumerate(rows):
        w = (await router.score(stream.request(i))).mean
        good = cut.test.scores[i] >= RIGHT_AT
        rng = keyed_rng(seed, "team", t)
        for r, recruit in enumerate((_at_random, _fixed(strength), _for_the_task)):
            out[t, r] = _joined(recruit(w, k, rng), w, good)
    return rows, out


def _at_random(w: F64, k: int, rng: np.random.Generator) -> Sequence[int]:
    return _drawn(np.ones(len(w)), k, rng)


def _for_the_task(w: F64, k: int, rng: np.random.Generator) -> Sequence[int]:
    return _drawn(w, k, rng)


def _fixed(strength: F64) -> Callable[[F64, int, np.random.Generator], Sequence[int]]:
    best = np.argsort(-strength, kind="stable")
    return lambda w, k, rng: [int(i) for i in best[:k]]


def _drawn(weights: F64, k: int, rng: np.random.Generator) -> Sequence[int]:
    """A team without replacement, in proportion to the weights, through ``decide``."""
    scores = Scores(weights, np.zeros(len(weights)))
    return decide(scores, k=k, exploration=Proportional(), rng=rng).positions


def _joined(team: Sequence[int], w: F64, good: np.ndarray) -> tuple[float, float, float]:
    """Chance of a right answer by a random member, by A*, by the weighted vote (a tie is half)."""
    members = np.array(team)
    mine, right = w[members], good[members]
    best = float(right[int(mine.argmax())])
    lead = float(mine[right].sum() - mine[~right].sum())
    if abs(lead) < 1e-12:
        lead = float(right.sum() - (~right).sum())
    vote = 0.5 if lead == 0 else float(lead > 0)
    return float(right.mean()), best, vote
