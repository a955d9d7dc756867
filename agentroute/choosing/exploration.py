"""How a policy explores: epsilon-greedy as a distribution, so that every draw has a propensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import ConfigError
from agentroute.model.arrays import F64

TIE = 1e-6
CANARY_SHARE = 0.1


Mask = NDArray[np.bool_]
Rank = NDArray[np.int64] | None


class Exploration(Protocol):
    """A distribution over candidates from their utilities, for one draw."""

    @property
    def greedy(self) -> bool:
        """True where nothing is sampled but ties: the propensity of the choice is 1."""

    @property
    def replace(self) -> bool:
        """Whether a team is drawn with replacement."""

    def first_draw(self, u: F64, explorable: Mask, rank: Rank) -> F64:
        """(n,) probabilities; ``u`` is -inf where a candidate may not be drawn.

        ``explorable`` (n,) marks who may be drawn without being best; ``rank``, a permutation, is
        given where ``greedy``.
        """


@dataclass(frozen=True, slots=True)
class Epsilon:
    """With probability ``epsilon`` a draw is uniform over the explorable candidates.

    Else it is the best; those within 1e-6 of the best share its mass evenly. ``epsilon = 0`` is
    greedy by request: the candidate of lowest rank among the best, with propensity 1, which
    off-policy estimates refuse.
    """

    epsilon: float = 0.05
    replace = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 1.0:
            raise ConfigError(f"epsilon is {self.epsilon}", field="exploration", hint="0 to 1")

    @property
    def greedy(self) -> bool:
        """Nothing is sampled where epsilon is 0."""
        return self.epsilon == 0.0

    def first_draw(self, u: F64, explorable: Mask, rank: Rank) -> F64:
        """See ``Exploration.first_draw``."""
        best = u.argmax()
        top = u >= u[best] - TIE
        if rank is not None:
            p = np.zeros(len(u))
            p[np.where(top, rank, len(u)).argmin()] = 1.0
            return p
        spread = explorable if u[u.argmin()] > -np.inf else explorable & (u > -np.inf)
        m = np.count_nonzero(spread)
        if not m:
            return _even(top)
        p = spread * (self.epsilon / m)
        ties = np.count_nonzero(top)
        p[best if ties == 1 else top] += (1.0 - self.epsilon) / ties
        return p


@dataclass(frozen=True, slots=True)
class Proportional:
    """A draw in proportion to mean + bonus, among the explorable where there are any.

    ``replace`` True draws a team with replacement (Symbolic-MoE): one agent may come twice.
    """

    replace: bool = False

    @property
    def greedy(self) -> bool:
        """Never."""
        return False

    def first_draw(self, u: F64, explorable: Mask, rank: Rank) -> F64:
        """See ``Exploration.first_draw``. All zero weights are an even draw."""
        alive = u > -np.inf
        seen = alive & explorable
        seen = seen if seen.any() else alive
        w = np.where(seen, np.maximum(u, 0.0), 0.0)
        total = w.sum()
        return np.asarray(w / total) if total > 0.0 else _even(seen)


DEFAULT = Epsilon(0.05)


def _even(among: Mask) -> F64:
    return among / np.count_nonzero(among)


def draw(p: F64, rng: np.random.Generator) -> int:
    """An index with probability ``p`` (n,), by inversion of the cumulative sum."""
    c = p.cumsum()
    i = int(c.searchsorted(rng.random() * c[-1], side="right"))
    return i if i < len(p) and p[i] > 0.0 else int(np.flatnonzero(p)[-1])
