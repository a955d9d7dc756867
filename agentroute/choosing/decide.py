"""The one place where scores become a choice, with the probability it was taken with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentroute.choosing.exploration import (
    CANARY_SHARE,
    DEFAULT,
    TIE,
    Exploration,
    Mask,
    Rank,
    draw,
)
from agentroute.errors import RoutingError, UsageError
from agentroute.model.arrays import F64
from agentroute.model.decisions import DecisionStatus
from agentroute.model.scores import Scores


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was decided.

    ``positions`` of the chosen candidates, in the order drawn (empty when abstained);
    ``propensity`` of exactly this choice: marginal for one, ordered product without replacement
    for a team; ``propensities`` (n,) marginal probability of each candidate in the first draw.
    ``explored`` says that the first of them is not (one of) the best.
    """

    positions: tuple[int, ...]
    status: DecisionStatus
    propensity: float
    propensities: F64
    explored: bool = False


def decide(
    scores: Scores,
    *,
    k: int = 1,
    exploration: Exploration = DEFAULT,
    abstain_at: float = 0.5,
    margin: float = 0.02,
    rng: np.random.Generator,
    explorable: Mask | None = None,
    canary: Mask | None = None,
) -> Choice:
    """Choose ``k`` candidates (fewer if fewer are left) by ``mean + bonus``.

    A NaN mean is a screened-out candidate: never drawn, propensity 0. ``explorable`` (n,) bounds
    where epsilon spreads; ``canary`` (n,) marks agents that may get a tenth of the choices: one
    decision in ten (a mixture, so its propensities are exact) sees them at all, unless there is
    nobody else. ``out_of_scope >= abstain_at`` calls nobody.

    Raises:
        UsageError: ``k`` below 1.
        RoutingError: every candidate is screened out.
    """
    if k < 1:
        raise UsageError(f"a decision chooses at least one agent, not {k}")
    n = len(scores.mean)
    if scores.out_of_scope >= abstain_at:
        return Choice((), "abstained", 1.0, np.zeros(n))
    u = scores.mean + scores.bonus
    best = _largest(u) if n else -np.inf
    if best != best:  # a NaN is the largest
        u[np.isnan(u)] = -np.inf
        best = _largest(u)
    if best == -np.inf:
        raise RoutingError("every candidate is screened out", hint="raise screening.keep")
    free = np.ones(n, np.bool_) if explorable is None else explorable
    seen = views(u, canary)
    law = _Law(exploration, free, rng.permutation(n) if exploration.greedy else None)
    first = law(u) if len(seen) == 1 else _mixed(seen, law)
    positions, propensity = _draw_team(seen, law, first, k, rng)
    status: DecisionStatus = "ambiguous" if _close(u, k, margin, best) else "selected"
    explored = bool(u[positions[0]] < best - TIE)
    return Choice(positions, status, propensity, first, explored)


def team_probability(
    scores: Scores,
    team: list[int],
    *,
    k: int,
    exploration: Exploration = DEFAULT,
    explorable: Mask | None = None,
    canary: Mask | None = None,
) -> float:
    """How probable it is that ``decide`` with these scores draws ``team``, in this order.

    Ties of a greedy policy are taken to be drawn evenly. Abstaining is not looked at.
    """
    u = scores.mean + scores.bonus
    u[np.isnan(u)] = -np.inf
    free = np.ones(len(u), np.bool_) if explorable is None else explorable
    law = _Law(exploration, free, None)
    return float(sum(w * _likelihood(v, team, k, law) for w, v in views(u, canary)))


def _largest(u: F64) -> float:
    """``u.max()``, NaN if there is one; ``argmax`` takes a fifth of its time on short arrays."""
    return float(u[u.argmax()])


View = tuple[float, F64]  # the share of decisions that see it, and the utilities in it


def views(u: F64, canary: Mask | None) -> list[View]:
    """The mixture over who is seen: everybody in a tenth of the decisions, else no canary."""
    if canary is None or not np.count_nonzero(canary):
        return [(1.0, u)]
    seen = u > -np.inf
    if not (canary & seen).any() or not (seen & ~canary).any():
        return [(1.0, u)]
    return [(CANARY_SHARE, u), (1.0 - CANARY_SHARE, np.where(canary, -np.inf, u))]


class _Law:
    """Utilities (n,) -> probabilities of a draw (n,)."""

    __slots__ = ("exploration", "free", "rank")

    def __init__(self, exploration: Exploration, free: Mask, rank: Rank) -> None:
        self.exploration, self.free, self.rank = exploration, free, rank

    def __call__(self, u: F64) -> F64:
        return self.exploration.first_draw(u, self.free, self.rank)

    def without(self, u: F64, j: int) -> F64:
        """What is left after ``j`` was drawn."""
        if self.exploration.replace:
            return u
        left = u.copy()
        left[j] = -np.inf
        return left


def _mixed(views: list[View], law: _Law) -> F64:
    return np.asarray(sum(w * law(v) for w, v in views))


def _draw_team(
    views: list[View], law: _Law, first: F64, k: int, rng: np.random.Generator
) -> tuple[tuple[int, ...], float]:
    """Draw from one view of the mixture; the propensity sums over all of them."""
    if k == 1:
        j = draw(first, rng)
        return (j,), float(first[j])
    left = views[draw(np.array([w for w, _ in views]), rng)][1]
    team: list[int] = []
    while len(team) < k and _largest(left) > -np.inf:
        team.append(draw(law(left), rng))
        left = law.without(left, team[-1])
    return tuple(team), float(sum(w * _likelihood(v, team, k, law) for w, v in views))


def _likelihood(u: F64, team: list[int], k: int, law: _Law) -> float:
    """Probability that drawing up to ``k`` from ``u`` gives ``team``, in this order."""
    out = 1.0
    for j in team:
        if _largest(u) == -np.inf:
            return 0.0
        out *= law(u)[j]
        u = law.without(u, j)
    return out if len(team) == k or _largest(u) == -np.inf else 0.0


def _close(u: F64, k: int, margin: float, best: float) -> bool:
    """Whether the last one in and the first one out are within ``margin``."""
    if len(u) <= k:
        return False
    last = best if k == 1 else float(np.partition(u, len(u) - k)[len(u) - k])
    return bool(last > -np.inf and np.count_nonzero(u >= last - margin) > k)
