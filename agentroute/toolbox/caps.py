"""What is read when not everything can be: one large item never pushes out the small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def within(found: Sequence[tuple[T, int]], most: int, most_bytes: float) -> list[tuple[T, int]]:
    """The ``(item, bytes)`` that fit both caps, in order; one item always passes.

    What is too large by itself goes first, then the number is cut evenly, then the largest go
    until the sum fits (evenly among equals): so as many as can be are read.
    """
    if not found:
        return []
    kept = spread([f for f in found if f[1] <= most_bytes], most)
    if sum(size for _, size in kept) > most_bytes:
        kept = _smallest(kept, most_bytes)
    return kept or [min(found, key=lambda f: f[1])]


def _smallest(kept: list[tuple[T, int]], most_bytes: float) -> list[tuple[T, int]]:
    total, limit = 0, 0
    for limit in sorted(size for _, size in kept):
        total += limit
        if total > most_bytes:
            break
    below = sum(size for _, size in kept if size < limit)
    equal = [i for i, (_, size) in enumerate(kept) if size == limit]
    chosen = set(spread(equal, int((most_bytes - below) // limit)))
    return [f for i, f in enumerate(kept) if f[1] < limit or i in chosen]


def spread(items: Sequence[T], n: int) -> list[T]:
    """``n`` items at even distances, in order."""
    if len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """How much of each size fits in ``total``: small ones whole, large ones in equal parts."""
    out, left = [0] * len(sizes), total
    for n, i in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        out[i] = min(sizes[i], left // (len(sizes) - n))
        left -= out[i]
    return out
