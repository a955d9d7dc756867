"""How a learner gets better while it learns: mean quality and cumulative regret along a stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentroute.evaluation.contestants import NOBODY, Picks
from agentroute.evaluation.results import Json
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.evaluation.tables.problem import Problem
from agentroute.model.arrays import F64, Ints

POINTS = 50


def stream_curve(streams: Sequence[tuple[Problem, Picks | None, Ints]]) -> Json | None:
    """Means over the streams at up to 50 checkpoints, None where nothing was streamed.

    ``at`` rows seen; ``mean`` quality so far over rows in scope; ``regret`` name -> cumulative
    quality lost against uniform, the best single arm, the best arm per feature value (both in
    hindsight, all labels known) and the oracle. Negative regret: better than that reference.
    """
    played = [(p, o, order) for p, o, order in streams if o is not None]
    if not played:
        return None
    runs = [_one(_source(problem), online, order) for problem, online, order in played]
    at = np.unique(np.linspace(1, min(len(r[0]) for r in runs), POINTS).astype(int))
    regret = {
        name: np.mean([_cumulated(r[2][name] - r[0], at) for r in runs], axis=0)
        for name in runs[0][2]
    }
    means = np.mean(
        [_cumulated(r[0], at) / np.maximum(_cumulated(r[1], at), 1) for r in runs], axis=0
    )
    return {
        "at": at.tolist(),
        "mean": means.tolist(),
        "regret": {name: r.tolist() for name, r in regret.items()},
    }


def _source(problem: Problem) -> OutcomeTable:
    return problem.cut.train


def _one(table: OutcomeTable, online: Picks, order: Ints) -> tuple[F64, F64, dict[str, F64]]:
    """(rewards, in scope, reference rewards) along the order; rows out of scope are all zero."""
    inside = (~table.abstain[order]).astype(float)
    q = table.scores[order] * inside[:, None]
    got = np.where(
        online.chosen == NOBODY, 0.0, q[np.arange(len(order)), np.maximum(online.chosen, 0)]
    )
    return got, inside, reference_rewards(q, [table.features[i] for i in order])


def reference_rewards(q: F64, features: Sequence[object]) -> dict[str, F64]:
    """Rewards (T,) of uniform, best single, best per feature combination and oracle on q (T, n)."""
    rows = np.arange(len(q))
    keys = np.unique([repr(f) for f in features], return_inverse=True)[1].ravel()
    sums = np.zeros((keys.max() + 1, q.shape[1]))
    np.add.at(sums, keys, q)
    return {
        "uniform": q.mean(axis=1),
        "best_single": q[:, q.sum(axis=0).argmax()],
        "best_per_feature": q[rows, sums[keys].argmax(axis=1)],
        "oracle": q.max(axis=1),
    }


def _cumulated(values: F64, at: Ints) -> F64:
    return np.asarray(np.cumsum(values)[at - 1])
