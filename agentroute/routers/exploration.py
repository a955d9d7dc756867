"""How a policy explores: epsilon-greedy as a distribution, so that every draw has a propensity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import ConfigError
from agentroute.model.scores import F64

TIE = 1e-6
CANARY_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Epsilon:
    """With probability ``epsilon`` a draw is uniform over the explorable candidates.

    ``epsilon = 0`` is greedy by request: its propensity is 1, and off-policy estimates refuse it.
    """

    epsilon: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 1.0:
            raise ConfigError(f"epsilon is {self.epsilon}", field="exploration", hint="0 to 1")


DEFAULT = Epsilon(0.05)


def first_draw(
    u: F64, explorable: NDArray[np.bool_], epsilon: float, rank: NDArray[np.int64] | None = None
) -> F64:
    """(n,) probabilities of one epsilon-greedy draw over the entries of ``u`` above -inf.

    ``u`` (n,) utility with exploration bonus, -inf where a candidate may not be drawn. Entries
    within 1e-6 of the largest share the greedy mass; with ``rank`` (a permutation) the one of
    lowest rank takes it all. Nothing to explore leaves the greedy distribution.
    """
    top = u >= u.max() - TIE
    p = np.zeros(len(u))
    if rank is None:
        p[top] = 1.0 / np.count_nonzero(top)
    else:
        p[np.where(top, rank, len(u)).argmin()] = 1.0
    spread = explorable & (u > -np.inf)
    m = np.count_nonzero(spread)
    if epsilon > 0.0 and m:
        p *= 1.0 - epsilon
        p[spread] += epsilon / m
    return p


def draw(p: F64, rng: np.random.Generator) -> int:
    """An index with probability ``p`` (n,), by inversion of the cumulative sum."""
    c = p.cumsum()
    i = int(c.searchsorted(rng.random() * c[-1], side="right"))
    return i if i < len(p) and p[i] > 0.0 else int(np.flatnonzero(p)[-1])
