"""Squared widths x' A^-1 x of many arms, served in float32 from few bytes."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Ints
from agentroute.routers.linucb.grams import LEAST, Grams, Sums, most_rows

CHUNK = 64


class Widths:
    """Inverses A^-1 (d, d) of S arms, each kept as its age allows; row 0 is the untouched arm.

    *Young*, up to R = max(4, d / 8) updates: a Sherman-Morrison step takes u u' off the inverse,
    so A^-1 = I / lam - sum_j u_j u_j' and x' A^-1 x = x'x / lam - sum_j (u_j'x)^2, from R d
    numbers. *Grown*: x' A^-1 x = <A^-1, x x'>, from the d (d + 1) / 2 entries of the upper triangle
    by wrapped diagonals: entry k d + i is that of (i, (i + k) mod d), doubled where k > 0 for the
    half that is left out. So all arms of a kind take one gemv, at the speed of memory.

    ``F`` (young, R, d) factors, ``used`` (young,) how many of each; ``P`` (grown, d (d + 1) / 2)
    triangles; ``at`` (S,) is an arm's slot in ``F``, or -1 less its slot in ``P``. A triangle
    follows its inverse when a width is asked for: it is copied where the arm's rows were gathered
    (see ``Grams``), and loses the u u' of the steps since.
    """

    def __init__(self, d: int, *, lam: float) -> None:
        self.d, self.lam = d, lam
        self._index()
        self.size, self.young, self.grown = 0, 0, 0
        self.at: Ints = np.zeros(4, np.int64)
        self.F: F32 = np.zeros((4, self.R, d), np.float32)
        self.used: Ints = np.zeros(4, np.int64)
        self.P: F32 = np.zeros((0, self.m), np.float32)
        self._catching = Lock()
        # Where an arm's triangle is behind: its sums at the last gathering, the u since.
        self._stale: dict[int, Sums] = {}
        self._owed: dict[int, list[F32]] = {}
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

    def subtract(self, row: int, u: F64) -> None:
        """The inverse of an arm has lost u u'; of a young one R times at most."""
        at = int(self.at[row])
        if at < 0:
            self._owed.setdefault(row, []).append(u.astype(np.float32))
            return
        self.F[at, self.used[at]] = u
        self.used[at] += 1

    def put(self, row: int, sums: Sums) -> None:
        """The inverse of an arm is that of ``sums``, whatever it was: the arm is grown.

        It is read when a width is asked for.
        """
        if self.at[row] >= 0:
            self._leave_young(row)
            if self.grown == len(self.P):
                self.P = _longer(self.P)
            self.grown += 1
            self.at[row] = -self.grown
        self._stale[row] = sums
        self._owed.pop(row, None)

    def reset(self, row: int) -> None:
        """An arm is untouched again."""
        self._stale.pop(row, None)
        self._owed.pop(row, None)
        if self.at[row] >= 0:
            self._leave_young(row)
        else:
            self._leave_grown(row)
        self._be_young(row)

    def widen(self, grams: Grams) -> None:
        """Follow a longer x: ``grams`` are the padded arms."""
        self.d = grams.d
        self._follow(grams)

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What the arms do not tell: the slot of each."""
        return {"at": self.at[: self.size].copy()}

    def load(self, arrays: dict[str, NDArray[np.generic]], grams: Grams) -> None:
        """Continue from ``arrays``; ``grams`` are the arms."""
        self.at = np.array(arrays["at"], np.int64)
        self.size = len(self.at)
        self.grown = int(np.count_nonzero(self.at < 0))
        self.young = self.size - self.grown
        self._follow(grams)

    # -- inside ------------------------------------------------------------------------------

    def _index(self) -> None:
        d = self.d
        self.m, self.R = d * (d + 1) // 2, most_rows(d)
        k, i = np.divmod(np.arange(self.m), max(d, 1))
        self._flat = i * d + (i + k) % max(d, 1)
        self._two = np.where(k > 0, np.float32(2.0), np.float32(1.0))
        self._ones = np.ones(self.R, np.float32)

    def _catch_up(self) -> None:
        if not (self._stale or self._owed):
            return
        with self._catching:  # another thread may ask at the same time
            for row in list(self._stale):
                entries = self._stale[row].inv_at(self._flat, self.d)
                self.P[-1 - self.at[row]] = entries * self._two
                del self._stale[row]
            for row in list(self._owed):
                triangle = self.P[-1 - self.at[row]]
                for u in self._owed[row]:
                    triangle -= self._square(u) * self._two
                del self._owed[row]

    def _follow(self, grams: Grams) -> None:
        """Be of the arms as they are, each in its slot."""
        self._index()
        capacity = max(LEAST, self.young)
        self.F = np.zeros((capacity, self.R, self.d), np.float32)
        self.used = np.zeros(capacity, np.int64)
        self.P = np.zeros((self.grown, self.m), np.float32)
        self._stale, self._owed = {}, {}
        for row in range(self.size):
            if (sums := grams.sums(row)) is not None:
                self.put(row, sums)
            for u in grams.U(row):
                self.subtract(row, u)

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
