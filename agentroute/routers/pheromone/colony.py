"""Choosing along trails: the proportional rule, paths through a layered graph, stagnation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from agentroute.choosing.exploration import draw
from agentroute.choosing.prior import CardPrior
from agentroute.features.threads import one_thread
from agentroute.model.arrays import F64
from agentroute.model.candidates import Request

ABILITY, FREE, QUICK = 0.7, 0.2, 0.1
ALPHA, BETA = 1.0, 2.0

EdgeRow = Callable[[int, str], F64]  # (stage, source) -> p (n,) over that stage's agents


def desirability(request: Request, prior: CardPrior) -> F64:
    """Eta (n,) in [0, 1]: 0.7 ability + 0.2 / (1 + load) + 0.1 m / (m + latency).

    Ability is what the card says of the task; ``m`` the median latency of the candidates, by
    which the last part is one half (an unknown latency reads so).
    """
    c = request.candidates
    with one_thread():
        ability = prior.mean(request)
    known = c.latency_s[~np.isnan(c.latency_s)]
    quick = np.full(len(c), 0.5)
    if len(known) and (m := float(np.median(known))) > 0:
        quick = np.where(np.isnan(c.latency_s), 0.5, m / (m + c.latency_s))
    return np.asarray(ABILITY * ability + FREE / (1.0 + c.load) + QUICK * quick)


def proportional(
    tau: F64, eta: F64, *, alpha: float = ALPHA, beta: float = BETA, floor: float = 0.0
) -> F64:
    """p_j = tau_j^alpha eta_j^beta / sum (Dorigo et al. 1996, random-proportional rule), (n,).

    alpha = 0 is the heuristic alone, beta = 0 the trails alone. Weights that are all 0 are
    uniform. ``floor`` g mixes in the uniform distribution, (1 - g) p + g / n: every agent stays
    within reach, whatever its trail.
    """
    w = pull(tau, eta, alpha=alpha, beta=beta)
    total = w.sum()
    p = w / total if total > 0 else np.full(len(w), 1.0 / len(w))
    return (1.0 - floor) * p + floor / len(w) if floor else p


def pull(tau: F64, eta: F64, *, alpha: float = ALPHA, beta: float = BETA) -> F64:
    """tau^alpha eta^beta (n,): the proportional rule before it is normalised."""
    return (tau if alpha == 1.0 else tau**alpha) * eta**beta


def pick(p: F64, rng: np.random.Generator) -> int:
    """One draw of the roulette: a position in proportion to ``p`` (n,), normalised or not."""
    return draw(p, rng)


def top_paths(
    stages: Sequence[Sequence[str]], row: EdgeRow, *, k: int = 5
) -> list[tuple[tuple[str, ...], float]]:
    """The ``k`` most probable paths and their probabilities.

    Exact: the best k paths into each agent of a stage are enough to extend (Viterbi with lists).
    """
    best: dict[str, list[tuple[tuple[str, ...], float]]] = {"": [((), 1.0)]}
    for s, agents in enumerate(stages):
        longer: dict[str, list[tuple[tuple[str, ...], float]]] = {a: [] for a in agents}
        for source, paths in best.items():
            p = row(s, source)
            for a, q in zip(agents, p.tolist(), strict=True):
                longer[a] += [((*path, a), q * old) for path, old in paths]
        best = {a: sorted(x, key=lambda y: -y[1])[:k] for a, x in longer.items()}
    return sorted((x for v in best.values() for x in v), key=lambda y: -y[1])[:k]


def stagnation(p: F64) -> float:
    """1 - H(p) / log n in [0, 1]: 0 where all are alike, 1 where one takes everything."""
    n = len(p)
    if n < 2:
        return 1.0
    q = p[p > 0]
    return float(np.clip(1.0 + (q * np.log(q)).sum() / np.log(n), 0.0, 1.0))
