"""Many requests at once: the products that a score rests on, as products of matrices.

Reading the arms is what a score costs; read once for 32 tasks they cost a fraction each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Request
from agentroute.routers.linucb.arms import ArmBank

AT_ONCE = 32


class Products(NamedTuple):
    """What a score of one task rests on."""

    x: F64
    """(d,) its context vector."""
    cosines: F64
    """(N,) of its text with the card set's prototypes."""
    means: F64
    """(S,) of every arm."""
    w2: F64
    """(S,) squared widths of every arm."""


@dataclass(frozen=True, slots=True)
class Block:
    """Up to ``AT_ONCE`` requests over one card set, each with most of it for candidates."""

    places: tuple[int, ...]
    """Where they stand among all requests."""
    requests: tuple[Request, ...]


def blocks(requests: Sequence[Request]) -> Iterator[Block]:
    """The requests that are worth a block; those over few of many cards are left out."""
    groups: dict[int, list[int]] = {}
    for i, r in enumerate(requests):
        if 2 * len(r.candidates) >= len(r.candidates.cards):
            groups.setdefault(id(r.candidates.cards), []).append(i)
    for places in groups.values():
        for start in range(0, len(places), AT_ONCE):
            some = tuple(places[start : start + AT_ONCE])
            if len(some) > 1:
                yield Block(some, tuple(requests[i] for i in some))


def products(bank: ArmBank, prototypes: F32, xs: Sequence[F64], block: Block) -> list[Products]:
    """The products of each request of a block; ``prototypes`` (N, e) of its card set."""
    e = np.stack([r.embedding for r in block.requests], axis=1)
    with one_thread():
        cosines = (prototypes @ e).astype(np.float64).T
        x32 = np.stack(xs, axis=1).astype(np.float32)
        means = (bank.theta32[: bank.size] @ x32).astype(np.float64).T
        assert bank.widths is not None
        w2 = bank.widths.of_many(x32).T
    columns = (cosines, means, w2)
    return [Products(x, *(np.ascontiguousarray(c[j]) for c in columns)) for j, x in enumerate(xs)]
