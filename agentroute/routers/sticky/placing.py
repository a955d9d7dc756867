"""Rendezvous hashing: which of several replicas serves a key, with nothing remembered.

Thaler and Ravishankar 1998, "Using name-based mappings to increase hit rates": each key goes to
the replica whose hash with it is highest. Taking a replica away moves the keys that it had and no
others; adding one to n moves those that it wins, a share of 1 / (n + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates, CardSet
from agentroute.model.ids import sha256

Mask = NDArray[np.bool_]
U64 = NDArray[np.uint64]

# What replicas of one agent may differ in: what they are called, where they run, and their size.
OWN = frozenset({
    "name", "title", "url", "documentation_url", "entrypoint", "fallbacks", "limits", "latency_s",
})  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Replicas:
    """Of each card of a set (N,): its group, equal for replicas; its name's hash; its limit."""

    group: NDArray[np.int64]
    hashed: U64
    limit: F64

    @classmethod
    def of(cls, cards: CardSet) -> Replicas:
        """Of a card set, made once for it."""
        return cards.derived("sticky.replicas", _replicas)


def full(c: Candidates) -> Mask:
    """(n,) who has as many calls running, or decided and not settled, as its card allows."""
    limit = Replicas.of(c.cards).limit[c.rows]
    return np.asarray((c.load >= 1.0) | (c.inflight >= limit))


def placed(key: str, c: Candidates, usable: Mask) -> Mask:
    """(n,) true for the one of each group of two or more usable replicas that the key goes to.

    ``key`` is any text; ``usable`` (n,) says who takes part.
    """
    replicas = Replicas.of(c.cards)
    group = replicas.group[c.rows]
    drawn = _mixed(replicas.hashed[c.rows] ^ _number(key))
    many = np.bincount(group[usable], minlength=len(c.cards)) > 1
    best = np.zeros(len(c.cards), np.uint64)
    np.maximum.at(best, group[usable], drawn[usable])
    return np.asarray(usable & many[group] & (drawn == best[group]))


def _replicas(cards: CardSet) -> Replicas:
    same: dict[bytes, int] = {}
    group = [same.setdefault(_says(card.model_dump(mode="json")), len(same))
             for card in cards.cards]  # fmt: skip
    return Replicas(
        group=np.array(group, np.int64),
        hashed=np.array([_number(str(name)) for name in cards.names], np.uint64),
        limit=np.array([card.limits.max_concurrency for card in cards.cards], np.float64),
    )


def _says(card: dict[str, object]) -> bytes:
    rest = {k: v for k, v in card.items() if k not in OWN}
    return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)


def _number(text: str) -> np.uint64:
    return np.uint64(int(sha256(text.encode("utf-8", "surrogatepass"))[:16], 16))


def _mixed(x: U64) -> U64:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit depends on all."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
