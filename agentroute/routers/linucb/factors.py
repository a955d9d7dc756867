"""What the steps of young arms take off their squared widths: one row a step, and no row unused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Ints
from agentroute.routers.linucb.grams import longer

CHUNK = 2_048  # rows at once: what many vectors are multiplied by stays in the cache


class Factors:
    """The rows u (d,) of S arms, of which an arm loses sum_j (u_j'x)^2; at most R of each.

    ``F`` (n, d) in no order: row i is the ``rank``-th of the arm in slot ``owner``, and ``where``
    (S, R) finds it again. So a product with all of them reads as many rows as there were steps.
    """

    def __init__(self, d: int, R: int) -> None:
        self.size, self.n = 0, 0
        self._F: F32 = np.zeros((4, d), np.float32)
        self._owner: Ints = np.zeros(4, np.int64)
        self._rank: Ints = np.zeros(4, np.int64)
        self._where: Ints = np.zeros((4, R), np.int64)
        self._used: Ints = np.zeros(4, np.int64)

    # -- reading -----------------------------------------------------------------------------

    def lost(self, x: F32) -> F64:
        """What x (d,) loses by each slot (S,)."""
        with one_thread():
            f = self._F[: self.n] @ x
        f *= f
        return _summed(self._owner[: self.n], f, self.size)

    def lost_by(self, x: F32, slots: Ints) -> F64:
        """The same by some slots (n,)."""
        used = self._used[slots]
        rows = self._where[slots][np.arange(self._where.shape[1]) < used[:, None]]
        with one_thread():
            f = self._F[rows] @ x
        f *= f
        return _summed(np.arange(len(slots)).repeat(used), f, len(slots))

    def lost_by_all(self, x: F32) -> F64:
        """The same (S, m) by every slot for m vectors x (d, m)."""
        f = np.empty((self.n, x.shape[1]), np.float32)
        with one_thread():
            for at in range(0, self.n, CHUNK):
                part = f[at : at + CHUNK]
                np.square(np.matmul(self._F[at : min(at + CHUNK, self.n)], x, out=part), out=part)
        out = np.zeros((self.size, x.shape[1]))
        used = self._used[: self.size]
        mine = np.flatnonzero(used)
        if len(mine):
            order = np.argsort(self._owner[: self.n], kind="stable")
            out[mine] = np.add.reduceat(f[order], (used.cumsum() - used)[mine], axis=0)
        return out

    def nbytes(self, slot: int) -> int:
        """Bytes that serve one slot."""
        return int(self._used[slot] * self._F.itemsize * self._F.shape[1])

    # -- following the arms ------------------------------------------------------------------

    def add(self) -> int:
        """One more slot, without rows."""
        if self.size == len(self._used):
            self._where, self._used = longer(self._where), longer(self._used)
        self._used[self.size] = 0
        self.size += 1
        return self.size - 1

    def put(self, slot: int, u: NDArray[np.floating]) -> None:
        """One more row of a slot."""
        if self.n == len(self._F):
            self._F, self._owner = longer(self._F), longer(self._owner)
            self._rank = longer(self._rank)
        self._set(self.n, slot, int(self._used[slot]))
        self._F[self.n] = u
        self._used[slot] += 1
        self.n += 1

    def drop(self, slot: int) -> int:
        """Forget a slot; the last one, whose number is returned, takes its place."""
        for rank in range(int(self._used[slot])):
            self._fill(int(self._where[slot, rank]))
        self._used[slot] = 0
        self.size = last = self.size - 1
        mine = self._where[last, : self._used[last]]
        self._owner[mine] = slot
        self._where[slot], self._used[slot] = self._where[last], self._used[last]
        return last

    def widen(self, d: int, R: int) -> None:
        """Follow a longer x, whose new entries were 0 so far."""
        F, where = self._F, self._where
        self._F = np.zeros((len(F), d), np.float32)
        self._F[:, : F.shape[1]] = F
        self._where = np.zeros((len(where), R), np.int64)
        self._where[:, : where.shape[1]] = where

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Whose the rows are: products go on bit-equal only in the same order."""
        return {"owner": self._owner[: self.n].copy(), "rank": self._rank[: self.n].copy()}

    def load(
        self, arrays: Mapping[str, NDArray[np.generic]], size: int, rows: Callable[[int], F64]
    ) -> None:
        """Become ``size`` slots with ``rows(slot)`` (m, d), in the order of ``arrays()``."""
        for _ in range(size):
            self.add()
        for slot, rank in zip(arrays["owner"].tolist(), arrays["rank"].tolist(), strict=True):
            self.put(slot, rows(slot)[rank])
            self._set(self.n - 1, slot, rank)

    # -- inside ------------------------------------------------------------------------------

    def _set(self, row: int, slot: int, rank: int) -> None:
        self._owner[row], self._rank[row], self._where[slot, rank] = slot, rank, row

    def _fill(self, row: int) -> None:
        """Put the last row in the place of one that is no longer wanted."""
        self.n -= 1
        self._F[row] = self._F[self.n]
        self._set(row, int(self._owner[self.n]), int(self._rank[self.n]))


def _summed(owner: Ints, values: F32, size: int) -> F64:
    return np.asarray(np.bincount(owner, weights=values, minlength=size), np.float64)
