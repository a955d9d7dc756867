"""What asking k agents and weighing their answers buys, for every k; and items from a table.

A router is taught on the training rows of an outcome table. Of each other row the k agents of the
highest expected utility answer, and a weighted vote joins them (AgentRouter, arXiv 2510.05445).
A table says who was right, not what was written: where the wrong ones all say the same, the vote
does worst (``low``); where no two of them agree, best (``high``). The truth is between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentroute.bench.teams.aggregators import MOST, RIGHT_AT, Item
from agentroute.choosing.catalog import make_router
from agentroute.evaluation.stream import Stream
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.evaluation.tables.reading import load_table
from agentroute.evaluation.tables.splits import holdout_cuts
from agentroute.features.text import Embedder, make_embedder
from agentroute.model.arrays import F64
from agentroute.model.calls import AgentReply
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Objective
from agentroute.refining.weighing import weigh
from agentroute.routers.parts.lessons import teach

WAYS = ("equal", "routing", "log_odds")


@dataclass(frozen=True, slots=True)
class FusionRow:
    """Share of tasks answered right by the best ``k``, their votes weighed by ``weights``."""

    k: int
    weights: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fusion:
    """The sweep over k, and each agent alone: how often it is right on the same rows."""

    rows: int
    sweep: tuple[FusionRow, ...]
    agents: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Expected:
    """Of the rows that nothing was learned from: who is right, and what the router expected."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    prompts: tuple[str, ...]
    good: np.ndarray
    p: F64


def fusion(
    table: OutcomeTable | Path, *, router: str = "knn", holdout: float = 0.3,
    embedder: Embedder | None = None, seed: int = 0,
) -> Fusion:  # fmt: skip
    """The sweep k = 1 to the number of agents on a share ``holdout`` of the rows.

    Raises:
        TableError: see ``load_table`` and ``holdout_cuts``.
    """
    seen = _expected(table, router, holdout, embedder, seed)
    order = np.argsort(-seen.p, axis=1, kind="stable")
    sweep = [
        FusionRow(k, way, *_voted(seen, order[:, :k], way))
        for k in range(1, len(seen.names) + 1)
        for way in WAYS
    ]
    alone = {a: float(x) for a, x in zip(seen.names, seen.good.mean(axis=0), strict=True)}
    return Fusion(len(seen.good), tuple(sweep), alone)


def table_items(
    table: OutcomeTable | Path, *, router: str = "knn", holdout: float = 0.3,
    embedder: Embedder | None = None, seed: int = 0,
) -> list[Item]:  # fmt: skip
    """Items of rows that nothing was learned from: an agent that was right with two that were not.

    The texts are stand-ins, so that aggregators can go by weights alone.
    """
    seen = _expected(table, router, holdout, embedder, seed)
    out = []
    for t, good in enumerate(seen.good):
        rng = keyed_rng(seed, "table items", t)
        right, wrong = (rng.permutation(np.flatnonzero(x)) for x in (good, ~good))
        for n in range(min(len(right), len(wrong) // 2, MOST)):
            three = [int(right[n]), int(wrong[2 * n]), int(wrong[2 * n + 1])]
            texts = ("alpha", "beta", "gamma")
            placed = [(three[i], texts[i]) for i in rng.permutation(3)]
            out.append(
                Item(
                    kind=seen.kinds[t],
                    prompt=seen.prompts[t],
                    replies={seen.names[a]: AgentReply(text=text) for a, text in placed},
                    routing={seen.names[a]: float(seen.p[t, a]) for a, _ in placed},
                    right=seen.names[three[0]],
                )
            )
    return out


def _expected(
    table: OutcomeTable | Path, router: str, holdout: float, embedder: Embedder | None, seed: int
) -> _Expected:
    loaded, space = (
        (table if isinstance(table, OutcomeTable) else load_table(table)),
        embedder or make_embedder(),
    )
    cut = holdout_cuts(loaded, holdout=holdout, cuts=1, group_by=None, splits=(), seed=seed)[0]
    learned = make_router(router, embedder=space, seed=seed)
    teach(learned, cut.train.examples(cut.train_rows, space), seed=seed)
    stream = Stream(cut.test, space, Objective())
    rows = cut.test_rows[~cut.test.abstain[cut.test_rows]]

    async def score() -> list[F64]:
        return [(await learned.score(stream.request(i))).mean for i in rows]

    tasks = [stream.request(i).task for i in rows]
    return _Expected(
        names=tuple(map(str, stream.candidates.names)),
        kinds=tuple(t.kind for t in tasks),
        prompts=tuple(t.prompt for t in tasks),
        good=cut.test.scores[rows] >= RIGHT_AT,
        p=np.clip(np.array(asyncio.run(score())), 0.0, 1.0),
    )


def _voted(seen: _Expected, team: np.ndarray, way: str) -> tuple[float, float]:
    """(low, high): the share of rows that the vote gets right; level votes count in part."""
    row = np.arange(len(team))[:, None]
    good, w = seen.good[row, team], _weights(seen.p[row, team], way)
    w = np.where(w.sum(axis=1, keepdims=True) > 0, w, 1.0)  # without any weight, heads count
    right = np.where(good, w, 0.0).sum(axis=1)
    together = np.where(good, 0.0, w).sum(axis=1)
    each = np.where(good, 0.0, w)
    return _won(right, together[:, None]), _won(right, each)


def _won(right: F64, others: F64) -> float:
    most = others.max(axis=1)
    level = 1 + (np.abs(others - right[:, None]) < 1e-9).sum(axis=1)
    won = np.where(right > most + 1e-9, 1.0, np.where(right > most - 1e-9, 1.0 / level, 0.0))
    return float(np.where(right > 0, won, 0.0).mean())


def _weights(p: F64, way: str) -> F64:
    names = [str(j) for j in range(p.shape[1])]
    none = dict.fromkeys(names, AgentReply())
    rows: Sequence[dict[str, float]] = [
        weigh(none, way, dict(zip(names, row.tolist(), strict=True))) for row in p
    ]
    return np.array([[w[n] for n in names] for w in rows])
