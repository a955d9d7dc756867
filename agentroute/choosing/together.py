"""A batch of decisions taken together: what is explored is drawn first, the rest is matched.

Each item draws for itself whether it is explored, and by whom; these take their places. The other
items are matched (``choosing.matching``) to what is left. So the agent of an item depends on its
own draw and on those of the others, which do not depend on its own. Its propensities are exact
given the draws of the others:

    p_i(a) = s_i(a) + (1 - sum_b s_i(b)) [a is matched to i, the others' draws being what they are]

with s_i(a) the share in which i is drawn for a first: epsilon over the explorable ones, and where
there are canaries the tenth of decisions that see them. An estimate that weighs by 1 / p_i is
unbiased given those draws, hence unbiased. For an item that was drawn first, the matching is worked
out once more without its draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.choosing.decide import Choice, views
from agentroute.choosing.exploration import TIE, Epsilon, Mask, draw
from agentroute.choosing.matching import NOBODY, Ints, Places, trimmed, waves
from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates, Request
from agentroute.model.ids import keyed_rng
from agentroute.model.scores import Scores


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """One item over the m agents of its batch: ``utility`` (m,) of a match, -inf where none may be;
    ``share`` (m,) of decisions in which it is drawn for an agent before anybody is matched.
    """

    utility: F64
    share: F64


@dataclass(frozen=True, slots=True, eq=False)
class Dealt:
    """Who got what: ``to`` (n,) agents, ``NOBODY`` where nobody could; ``first`` (n,) whether it
    was drawn first; ``wave`` (n,) from 0; ``propensities`` (n, m), each given the others' draws.
    """

    to: Ints
    first: Mask
    wave: Ints
    propensities: F64


def wanted(
    scores: Scores, candidates: Candidates, columns: Ints, m: int, *, exploration: Epsilon,
    probed: Mask,
) -> Wanted:  # fmt: skip
    """An item's scores over its own candidates as columns (n,) of the m agents of the batch.

    ``probed`` (m,) marks agents of which one item is all that they get: these are never drawn.
    """
    u = scores.mean + scores.bonus
    u[np.isnan(u)] = -np.inf
    seen = views(u, candidates.canary)
    free = candidates.explorable & ~probed[columns]
    share = np.zeros(len(u))
    for weight, v in seen[:-1]:  # with canaries: this view chooses alone
        share += weight * exploration.first_draw(v, free, None)
    weight, u = seen[-1]
    spread = free & (u > -np.inf)
    if spread.any():
        share += spread * (weight * exploration.epsilon / np.count_nonzero(spread))
    share[probed[columns]] = 0.0
    return Wanted(_over(u, columns, m, -np.inf), _over(share, columns, m, 0.0))


def _over(values: F64, columns: Ints, m: int, absent: float) -> F64:
    out = np.full(m, absent)
    out[columns] = values
    return out


def deal(
    items: Sequence[Wanted], places: Places, *, rngs: Sequence[np.random.Generator],
    rng: np.random.Generator, least: float = 0.0,
) -> Dealt:  # fmt: skip
    """Draw and match ``items``. ``rngs`` has a generator an item, ``rng`` puts equal agents in a
    random order; an agent that would get less than ``least`` of what is matched gets none of it.
    All of it is a function of the arguments alone.
    """
    utility = np.array([w.utility for w in items])
    share = np.array([w.share for w in items])
    m = utility.shape[1]
    order = rng.permutation(m)
    drawn = np.array([_own(s, g) for s, g in zip(share, rngs, strict=True)], np.int64)
    first = drawn != NOBODY
    taken = places.taken + np.bincount(drawn[first], minlength=m)
    left = Places(places.limit, taken, places.most, places.wait)
    to = drawn.copy()
    to[~first] = _matched(utility[~first], left, order, least)
    otherwise = to.copy()
    for i in np.flatnonzero(first):
        rest = ~first
        rest[i] = True
        again = _matched(utility[rest], left.without(drawn[i]), order, least)
        otherwise[i] = again[np.count_nonzero(rest[:i])]
    p = share.copy()
    sure = np.flatnonzero(otherwise != NOBODY)
    p[sure, otherwise[sure]] += 1.0 - share[sure].sum(axis=1)
    return Dealt(to, first, waves(to, places), p)


def _own(share: F64, rng: np.random.Generator) -> int:
    """The agent that an item is drawn for, ``NOBODY`` where it is left to the matching."""
    total = share.sum()
    return draw(share, rng) if rng.random() < total else NOBODY


def _matched(u: F64, places: Places, order: Ints, least: float) -> Ints:
    """``trimmed`` with the agents in ``order``, so that no name is preferred among equals."""
    moved = Places(
        places.limit[order], places.taken[order], places.most[order], places.wait
    )  # fmt: skip
    to = trimmed(u[:, order], moved, least)
    return np.where(to == NOBODY, NOBODY, order[to])


@dataclass(frozen=True, slots=True)
class Batching:
    """Of which batch a decision is, as its row keeps it: enough to deal the batch again.

    ``first`` is the id of the batch's first task, ``of`` how many were dealt together. ``taken``
    are places that were gone by agent, ``probed`` agents that get one item at most; who would get
    less than ``least`` of the items gets none.
    """

    batch: str
    first: str
    of: int
    wait: float
    taken: dict[str, int]
    probed: tuple[str, ...] = ()
    least: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What one item of a batch got. ``choice`` is over its own n candidates; None where nobody
    could take it. ``alone`` is who would have been best for it alone.
    """

    choice: Choice | None
    wave: int
    drawn: bool
    alone: str


def deal_out(
    requests: Sequence[Request], scores: Sequence[Scores], batching: Batching, *,
    exploration: Epsilon, seed: int, run_id: str,
) -> list[Given]:  # fmt: skip
    """Give the items of a batch to agents, in the order of ``requests``, one set of cards.

    Each item draws from the stream that it would draw from alone.
    """
    cards = requests[0].candidates.cards
    rows = np.unique(np.concatenate([r.candidates.rows for r in requests]))
    columns = [np.searchsorted(rows, r.candidates.rows) for r in requests]
    names = [str(a) for a in cards.names[rows]]
    probed = np.array([a in batching.probed for a in names], np.bool_)
    places = Places(
        limit=np.array([cards.cards[i].limits.max_concurrency for i in rows], np.int64),
        taken=np.array([batching.taken.get(a, 0) for a in names], np.int64),
        most=np.where(probed, 1.0, np.inf),
        wait=batching.wait,
    )
    items = [
        wanted(s, r.candidates, c, len(rows), exploration=exploration, probed=probed)
        for r, s, c in zip(requests, scores, columns, strict=True)
    ]
    rngs = [keyed_rng(seed, run_id, r.task.id, "route", 1) for r in requests]
    rng = keyed_rng(seed, run_id, batching.first, "assign", 1)
    dealt = deal(items, places, rngs=rngs, rng=rng, least=batching.least)
    return [_given(dealt, i, items[i], columns[i], names) for i in range(len(items))]


def _given(dealt: Dealt, i: int, item: Wanted, columns: Ints, names: Sequence[str]) -> Given:
    to, best = int(dealt.to[i]), int(item.utility.argmax())
    if to != NOBODY and item.utility[to] >= item.utility[best] - TIE:
        best = to
    if to == NOBODY:
        return Given(None, 0, False, names[best])
    p = dealt.propensities[i][columns]
    at = int(np.flatnonzero(columns == to)[0])
    choice = Choice((at,), "selected", float(min(p[at], 1.0)), p, explored=best != to)
    return Given(choice, int(dealt.wave[i]), bool(dealt.first[i]), names[best])
