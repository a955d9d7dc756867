"""Onboarding: which few tasks tell most about a new agent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentroute.choosing.protocol import Router
from agentroute.errors import UsageError
from agentroute.model.arrays import F64
from agentroute.model.candidates import Request


async def predicted(router: Router, requests: Sequence[Request]) -> F64:
    """(m, n) means of the router for every request; all need the same candidates."""
    return np.array([(await router.score(r)).mean for r in requests])


def discrimination(means: F64) -> F64:
    """(m,) standard deviation over the agents of ``means`` (m, n); NaN for who is no candidate.

    0 where fewer than two are.
    """
    known = np.isfinite(means)
    n = np.maximum(known.sum(axis=1), 1)
    filled = np.where(known, means, 0.0)
    centred = np.where(known, means - (filled.sum(axis=1) / n)[:, None], 0.0)
    spread: F64 = np.sqrt((centred**2).sum(axis=1) / n)
    return spread


def choose_quiz(means: F64, embedding: F64, size: int, *, lam: float = 0.1) -> list[int]:
    """Positions of ``size`` tasks, picked greedily by discrimination times novelty.

    ``means`` (m, n) are the predicted qualities of the agents already known, NaN for who is no
    candidate of a task: one on which they all do alike tells nothing about a new one (20 to 50
    such tasks do in LLM Bandit, 2025). ``embedding`` (m, e) keeps the quiz from asking one thing
    twice: novelty is the width sqrt(e' A^-1 e) that is left after the tasks picked before
    (D-optimal design).

    Raises:
        UsageError: ``size`` outside 1 to m.
    """
    m = len(means)
    if not 1 <= size <= m:
        raise UsageError(f"a quiz of {size} cannot be chosen from {m} tasks")
    x = np.concatenate([np.ones((m, 1)), embedding.astype(np.float64)], axis=1)
    spread = discrimination(means) + 1e-9
    inv = np.eye(x.shape[1]) / lam
    left, picked = np.ones(m, np.bool_), []
    for _ in range(size):
        width = np.sqrt(np.maximum(((x @ inv) * x).sum(axis=1), 0.0))
        i = int(np.where(left, spread * width, -1.0).argmax())
        picked.append(i)
        left[i] = False
        v = inv @ x[i]
        inv -= np.outer(v, v) / (1.0 + x[i] @ v)
    return picked
