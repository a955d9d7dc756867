"""The one place where scores become a choice, with the probability it was taken with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import RoutingError, UsageError
from agentroute.model.decisions import DecisionStatus
from agentroute.model.scores import F64, Scores
from agentroute.routers.exploration import CANARY_SHARE, DEFAULT, TIE, Epsilon, draw, first_draw

Mask = NDArray[np.bool_]


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
    exploration: Epsilon = DEFAULT,
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
    u = np.where(np.isnan(scores.mean), -np.inf, scores.mean + scores.bonus)
    if not n or u.max() == -np.inf:
        raise RoutingError("every candidate is screened out", hint="raise screening.keep")
    free = np.ones(n, np.bool_) if explorable is None else explorable
    views = _views(u, canary)
    eps = exploration.epsilon
    rank = None if eps > 0.0 else rng.permutation(n)
    first = sum(w * first_draw(v, free, eps, rank) for w, v in views)
    positions, propensity = _draw_team(views, free, eps, rank, k, rng)
    status: DecisionStatus = "ambiguous" if _close(u, k, margin) else "selected"
    explored = bool(u[positions[0]] < u.max() - TIE)
    return Choice(positions, status, propensity, np.asarray(first), explored)


View = tuple[float, F64]  # the share of decisions that see it, and the utilities in it


def _views(u: F64, canary: Mask | None) -> list[View]:
    """The mixture over who is seen: everybody in a tenth of the decisions, else no canary."""
    seen = u > -np.inf
    if canary is None or not (canary & seen).any() or not (seen & ~canary).any():
        return [(1.0, u)]
    return [(CANARY_SHARE, u), (1.0 - CANARY_SHARE, np.where(canary, -np.inf, u))]


def _draw_team(
    views: list[View],
    free: Mask,
    eps: float,
    rank: NDArray[np.int64] | None,
    k: int,
    rng: np.random.Generator,
) -> tuple[tuple[int, ...], float]:
    """Draw from one view of the mixture; the propensity sums over all of them."""
    i = draw(np.array([w for w, _ in views]), rng) if len(views) > 1 else 0
    team: list[int] = []
    left = views[i][1].copy()
    likelihood = 1.0
    while len(team) < k and left.max() > -np.inf:
        p = first_draw(left, free, eps, rank)
        j = draw(p, rng)
        team.append(j)
        likelihood *= p[j]
        left[j] = -np.inf
    if len(views) == 1:
        return tuple(team), float(likelihood)
    others = (w * _likelihood(v, team, k, free, eps, rank) for w, v in views)
    return tuple(team), float(sum(others))


def _likelihood(
    u: F64, team: list[int], k: int, free: Mask, eps: float, rank: NDArray[np.int64] | None
) -> float:
    """Probability that drawing up to ``k`` from ``u`` gives ``team``, in this order."""
    left, out = u.copy(), 1.0
    for j in team:
        if left.max() == -np.inf:
            return 0.0
        out *= first_draw(left, free, eps, rank)[j]
        left[j] = -np.inf
    stops = len(team) == k or left.max() == -np.inf
    return out if stops else 0.0


def _close(u: F64, k: int, margin: float) -> bool:
    """Whether the last one in and the first one out are within ``margin``."""
    if np.count_nonzero(u > -np.inf) <= k:
        return False
    top = np.partition(u, len(u) - k - 1)[len(u) - k - 1 :]
    return bool(top[1:].min() - top[0] <= margin)
