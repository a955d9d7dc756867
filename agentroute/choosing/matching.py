"""Many items to few agents in waves: the exact assignment of highest total utility.

Each agent takes ``limit`` items a wave; an item in the w-th wave of its agent is worth ``wait * w``
less. So an item either waits for the agent on which its advantage is large, or goes to its next
best. This is a min-cost flow with convex costs, solved by successive shortest paths: items come in
one by one, and each may push others on along the path of highest gain (Ahuja, Magnanti, Orlin 1993,
ch. 9 and 14). Every step keeps the optimum for the items so far: the result is exact, not greedy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64

Ints = NDArray[np.int64]
NOBODY = -1
STEP = 1e-12  # a path is better where it gains more than rounding does


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """What agents can take: ``limit`` (m,) items a wave, ``taken`` (m,) places that are gone,
    ``most`` (m,) items at all (inf: as many as come), ``wait`` the utility that a wave costs.
    """

    limit: Ints
    taken: Ints
    most: F64
    wait: float

    def price(self, load: Ints) -> F64:
        """(m,) what the next place of each agent costs at ``load`` items; inf where it is full."""
        return np.where(load >= self.most, np.inf, self.wait * (load // self.limit))

    def without(self, agent: int) -> Places:
        """The same with one place of ``agent`` free again."""
        taken = self.taken.copy()
        taken[agent] -= 1
        return Places(self.limit, taken, self.most, self.wait)


def matched(u: F64, places: Places) -> Ints:
    """(n,) the agent of each item: the highest total of utilities (n, m) less what waiting costs.

    ``u`` is -inf where an agent may not have an item. An item that nobody can take gets ``NOBODY``.
    Of equal totals the one that the order of items and agents brings.
    """
    n, m = u.shape
    to = np.full(n, NOBODY, np.int64)
    load = places.taken.copy()
    gain, mover = np.full((m, m), -np.inf), np.zeros((m, m), np.int64)
    for i in range(n):
        end, before = _path(u[i], gain, places.price(load))
        if end == NOBODY:
            continue
        touched, b = [end], end
        while before[b] != NOBODY:
            a = int(before[b])
            to[mover[a, b]] = b
            touched.append(a)
            b = a
        to[i] = b
        load[end] += 1
        for a in touched:  # of the path alone
            _refresh(u, to, a, gain, mover)
    return to


def trimmed(u: F64, places: Places, least: float) -> Ints:
    """``matched`` without the agents that would get less than ``least`` of the items (0 to 1).

    The one with the fewest goes first (of equals the last in order), and its items are matched
    anew; an item that nobody else can take keeps its agent in, and so does a bound on how many
    it may have. After Symbolic-MoE (arXiv 2503.05641): rarely recruited experts are replaced.
    """
    to = matched(u, places)
    if least <= 0.0:
        return to
    u, kept = u.copy(), np.isfinite(places.most)
    while True:
        load = np.bincount(to[to != NOBODY], minlength=u.shape[1])
        rare = np.flatnonzero((load > 0) & (load < least * len(u)) & ~kept)
        if not len(rare):
            return to
        out = int(rare[::-1][load[rare[::-1]].argmin()])
        before, u[:, out] = u[:, out].copy(), -np.inf
        again = matched(u, places)
        if (again[to != NOBODY] == NOBODY).any():
            u[:, out], kept[out] = before, True
        else:
            to = again


def _path(first: F64, gain: F64, price: F64) -> tuple[int, Ints]:
    """The agent whose load grows, and before each agent the one that an item moves on from."""
    best, before = first.copy(), np.full(len(first), NOBODY, np.int64)
    columns = np.arange(len(first))
    for _ in range(len(first)):
        through = best[:, None] + gain
        who = through.argmax(axis=0)
        value = through[who, columns]
        better = value > best + STEP
        if not better.any():
            break
        best[better], before[better] = value[better], who[better]
    worth = best - price
    end = int(worth.argmax())
    return (end if worth[end] > -np.inf else NOBODY), before


def _refresh(u: F64, to: Ints, a: int, gain: F64, mover: Ints) -> None:
    """What moving one of its items elsewhere gains at most, and which item that is."""
    mine = np.flatnonzero(to == a)
    more = u[mine] - u[mine, a][:, None]
    which = more.argmax(axis=0)
    gain[a], mover[a] = more[which, np.arange(u.shape[1])], mine[which]
    gain[a, a] = -np.inf


def waves(to: Ints, places: Places) -> Ints:
    """(n,) the wave of each item at its agent, from 0, in the order of items."""
    load = places.taken.copy()
    out = np.zeros(len(to), np.int64)
    for i, a in enumerate(to):
        if a != NOBODY:
            out[i] = load[a] // places.limit[a]
            load[a] += 1
    return out
