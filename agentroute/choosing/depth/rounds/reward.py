"""The hierarchical reward of Router-R1, and what it expects of an agent before it is asked."""

from __future__ import annotations

from collections import deque

import numpy as np

from agentroute.model.arrays import F64

WINDOW, LOW, HIGH = 1_000, 5.0, 95.0


class CostWindow:
    """``R_cost`` = 1 - clip((u - p5) / (p95 - p5), 0, 1) with u = sqrt(raw cost), over the last
    ``WINDOW`` costs; 0.5 where they are all alike.
    """

    def __init__(self) -> None:
        self._u: deque[float] = deque(maxlen=WINDOW)

    def add(self, cost: float) -> None:
        """A raw cost, at least 0, in any unit that stays the same."""
        self._u.append(float(np.sqrt(max(cost, 0.0))))

    def r_cost(self, cost: float) -> float:
        """In [0, 1], 1 for the cheapest."""
        return float(r_cost(np.array([cost]), np.array(self._u) ** 2)[0])


def r_cost(cost: F64, seen: F64) -> F64:
    """(n,) ``R_cost`` of raw costs among those ``seen`` (m,); unknown ones (NaN) count as 0.5."""
    u, known = np.sqrt(np.maximum(cost, 0.0)), seen[np.isfinite(seen)]
    if not len(known):
        return np.full(len(cost), 0.5)
    p5, p95 = np.percentile(np.sqrt(np.maximum(known, 0.0)), [LOW, HIGH])
    if p95 - p5 < 1e-12:
        return np.full(len(cost), 0.5)
    r: F64 = np.nan_to_num(1.0 - np.clip((u - p5) / (p95 - p5), 0.0, 1.0), nan=0.5)
    return r


def hierarchical(r_format: float, r_outcome: float, r_cost: float, alpha: float) -> float:
    """The reward r = R_format + (1 - a) R_outcome + a R_cost; in [-1, 1].

    -1 alone where the format is broken; a wrong answer (``r_outcome`` 0) earns nothing for being
    cheap, as in the authors' code and unlike their formula.
    """
    if r_format < 0:
        return -1.0
    if r_outcome <= 0:
        return 0.0
    return (1.0 - alpha) * r_outcome + alpha * r_cost


def expected(p: F64, cost: F64, alpha: float) -> F64:
    """(n,) E[r] of asking each agent: right with probability ``p``, at ``cost``.

    The reward is 0 for a wrong answer, so it is p ((1 - a) + a R_cost).
    """
    return np.asarray(p * ((1.0 - alpha) + alpha * r_cost(cost, cost)))
