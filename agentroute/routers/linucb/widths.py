"""Squared widths x' A^-1 x of many arms, served in float32 from few bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Ints
from agentroute.routers.linucb.grams import most_rows

CHUNK = 64

Inverses = Callable[[int], F64]  # of an arm's row


class Widths:
    """Inverses A^-1 (d, d) of S arms, each kept as its age allows; row 0 is the untouched arm.

    *Young*, up to R = max(4, d / 8) updates: a Sherman-Morrison step takes u u' off the inverse,
    so A^-1 = I / lam - sum_j u_j u_j' and x' A^-1 x = x'x / lam - sum_j (u_j'x)^2, from R d
    numbers. *Grown*: x' A^-1 x = <A^-1, x x'>, from the d (d + 1) / 2 entries of the upper triangle
    by wrapped diagonals: entry k d + i is that of (i, (i + k) mod d), doubled where k > 0 for the
    half that is left out. So all arms of a kind take one gemv, at the speed of memory.

    ``F`` (young, R, d) factors, ``used`` (young,) how many of each; ``P`` (grown, d (d + 1) / 2)
    triangles; ``at`` (S,) is an arm's slot in ``F``, or -1 less its slot in ``P``. A triangle is
    copied when a width is asked for: of an arm that learns ten times in between, once.
    """

    def __init__(self, d: int, *, lam: float) -> None:
        self.d, self.lam = d, lam
        self._index()
        self.size, self.young, self.grown = 0, 0, 0
        self.at: Ints = np.zeros(4, np.int64)
        self.F: F32 = np.zeros((4, self.R, d), np.float32)
        self.used: Ints = np.zeros(4, np.int64)
        self.P: F32 = np.zeros((0, self.m), np.float32)
        self._stale: dict[int, F64] = {}  # arm to its inverse, where its triangle is behind
        self.add()

    # -- serving -----------------------------------------------------------------------------

    def of(self, x: F32, rows: Ints) -> F64:
        """Values x' A^-1 x (n,) of the arms ``rows`` (n,).

        Not below 0, though float32 may round there.
        """
        self._catch_up()
        at = self.at.take(rows)
        with one_thread():
            few = 2 * len(rows) < self.size
            w = self._gathered(x, at) if few else self._all(x).take(at)
        return np.asarray(np.maximum(w, 0.0, dtype=np.float64))

    def of_many(self, x: F32) -> F64:
        """The same (S, m) of all arms, for m vectors x (d, m): every arm is read once."""
        self._catch_up()
        m = x.shape[1]
        with one_thread():
            w = np.empty((self.young + self.grown, m), np.float32)
            whole = (x * x).sum(axis=0) / np.float32(self.lam)
            for at in range(0, self.young, CHUNK):  # what is multiplied stays in the cache
                some = slice(at, min(at + CHUNK, self.young))
                w[some] = whole - self._lost(x, self.F[some], self.used[some])
            if self.grown:
                squares = np.stack([self._square(np.ascontiguousarray(c)) for c in x.T], axis=1)
                w[self.young :] = (self.P[: self.grown] @ squares)[::-1]
        w = w.take(self.at[: self.size], axis=0)
        return np.asarray(np.maximum(w, 0.0, dtype=np.float64))

    def entries(self, n: int) -> int:
        """Numbers that the widths of ``n`` arms read, if they are as the others are."""
        return (self.young * self.R * self.d + self.grown * self.m) * n // self.size

    def nbytes(self, row: int) -> int:
        """Bytes that serve one arm."""
        return 4 * (self.m if self.at[row] < 0 else self.R * self.d)

    def _all(self, x: F32) -> F32:
        """Of all slots: the young in order, then the grown from the last, as ``at`` counts them."""
        young = self._of_young(x, self.F[: self.young])
        if not self.grown:
            return young
        return np.concatenate((young, (self.P[: self.grown] @ self._square(x))[::-1]))

    def _gathered(self, x: F32, at: Ints) -> F32:
        w, young = np.empty(len(at), np.float32), at >= 0
        w[young] = self._of_young(x, self.F[at[young]])
        if not young.all():
            w[~young] = self.P[-1 - at[~young]] @ self._square(x)
        return w

    def _of_young(self, x: F32, factors: F32) -> F32:
        f = factors.reshape(len(factors) * self.R, self.d) @ x
        f *= f
        return np.asarray(
            (x @ x) / np.float32(self.lam) - f.reshape(len(factors), self.R) @ self._ones
        )

    def _lost(self, x: F32, factors: F32, used: Ints) -> F64:
        """What each young arm's factors in use take off (arms, m): a sum over its own rows."""
        mine = factors[np.arange(self.R) < used[:, None]] @ x
        sums = np.zeros((len(mine) + 1, x.shape[1]))
        np.cumsum(np.square(mine, out=mine), axis=0, out=sums[1:])
        end = used.cumsum()
        return np.asarray(sums[end] - sums[end - used])

    def _square(self, x: F32) -> F32:
        """Products x_i x_j in the order of the triangles."""
        twice = np.concatenate((x, x))
        shifted = np.ndarray((self.d // 2 + 1, self.d), np.float32, twice, 0, (4, 4))  # k, i
        square: F32 = np.multiply(shifted, x).ravel()[: self.m]
        return square

    # -- following the arms ------------------------------------------------------------------

    def add(self) -> None:
        """A new, untouched arm in the next row."""
        if self.size == len(self.at):
            self.at = np.concatenate([self.at, np.zeros_like(self.at)])
        self.size += 1
        self._be_young(self.size - 1)

    def subtract(self, row: int, u: F64, inv: Inverses) -> None:
        """The inverse of an arm has lost u u' and is ``inv(row)`` (d, d) now."""
        at = int(self.at[row])
        if at < 0 or self.used[at] == self.R:
            self.put(row, inv(row))
        else:
            self.F[at, self.used[at]] = u
            self.used[at] += 1

    def put(self, row: int, inv: F64) -> None:
        """The inverse of an arm is ``inv`` (d, d), whatever it was: the arm is grown.

        The array is kept, and read when a width is asked for.
        """
        if self.at[row] >= 0:
            self._leave_young(row)
            if self.grown == len(self.P):
                self.P = _longer(self.P)
            self.grown += 1
            self.at[row] = -self.grown
        self._stale[row] = inv

    def reset(self, row: int) -> None:
        """An arm is untouched again."""
        self._stale.pop(row, None)
        if self.at[row] >= 0:
            self._leave_young(row)
        else:
            self._leave_grown(row)
        self._be_young(row)

    def widen(self, d: int, inv: Inverses) -> None:
        """Follow a longer x: ``inv(row)`` are the padded inverses (d, d)."""
        factors, before = self.F, self.F.shape
        self.d = d
        self._index()
        self.F = np.zeros((before[0], self.R, d), np.float32)
        self.F[:, : before[1], : before[2]] = factors
        self._triangles(inv)

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What the inverses do not tell."""
        n = self.young
        parts: dict[str, NDArray[Any]] = {
            "at": self.at[: self.size],
            "factors": self.F[:n],
            "used": self.used[:n],
        }
        return {name: part.copy() for name, part in parts.items()}

    def load(self, arrays: dict[str, NDArray[np.generic]], inv: Inverses) -> None:
        """Continue from ``arrays``; ``inv(row)`` are the inverses (d, d)."""
        self.at = np.array(arrays["at"], np.int64)
        self.F = np.array(arrays["factors"], np.float32)
        self.used = np.array(arrays["used"], np.int64)
        self.size, self.young = len(self.at), len(self.F)
        self.grown = self.size - self.young
        self._triangles(inv)

    # -- inside ------------------------------------------------------------------------------

    def _index(self) -> None:
        d = self.d
        self.m, self.R = d * (d + 1) // 2, most_rows(d)
        k, i = np.divmod(np.arange(self.m), max(d, 1))
        self._flat = i * d + (i + k) % max(d, 1)
        self._two = np.where(k > 0, 2.0, 1.0)
        self._ones = np.ones(self.R, np.float32)

    def _catch_up(self) -> None:
        for row, inv in list(self._stale.items()):
            self.P[-1 - self.at[row]] = inv.take(self._flat) * self._two
            self._stale.pop(row, None)  # after the copy: another thread may ask at the same time

    def _triangles(self, inv: Inverses) -> None:
        self.P, self._stale = np.zeros((self.grown, self.m), np.float32), {}
        for row in np.flatnonzero(self.at[: self.size] < 0):
            self.put(int(row), inv(int(row)))

    def _be_young(self, row: int) -> None:
        if self.young == len(self.F):
            self.F, self.used = _longer(self.F), _longer(self.used)
        self.at[row] = self.young
        self.young += 1

    def _leave_young(self, row: int) -> None:
        """Free the slot of an arm; the last one moves there."""
        self.young -= 1
        free, last = int(self.at[row]), self.young
        self.at[np.flatnonzero(self.at[: self.size] == last)] = free
        self.F[free], self.used[free] = self.F[last], self.used[last]
        self.F[last], self.used[last] = 0.0, 0

    def _leave_grown(self, row: int) -> None:
        free, last = int(self.at[row]), -self.grown
        self.at[np.flatnonzero(self.at[: self.size] == last)] = free
        self.P[-1 - free] = self.P[-1 - last]
        self.grown -= 1


def _longer(a: NDArray[Any]) -> NDArray[Any]:
    """``a`` with twice its rows, at least 4 more; the new ones are zeros."""
    return np.concatenate([a, np.zeros((max(4, len(a)), *a.shape[1:]), a.dtype)])
