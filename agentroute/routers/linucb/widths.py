"""Squared widths x' A^-1 x of many arms, served in float32 from few bytes."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Ints
from agentroute.routers.linucb.factors import Factors
from agentroute.routers.linucb.grams import Grams, Sums, longer, most_rows


class Widths:
    """Inverses A^-1 (d, d) of S arms, each kept as its age allows; row 0 is the untouched arm.

    *Young*, up to R = max(4, d / 8) updates: a Sherman-Morrison step takes u u' off the inverse,
    so A^-1 = I / lam - sum_j u_j u_j' and x' A^-1 x = x'x / lam - sum_j (u_j'x)^2, from d numbers
    a step. *Grown*: x' A^-1 x = <A^-1, x x'>, from the d (d + 1) / 2 entries of the upper triangle
    by wrapped diagonals: entry k d + i is that of (i, (i + k) mod d), doubled where k > 0 for the
    half that is left out. So all arms of a kind take one gemv, at the speed of memory.

    ``factors`` of the young, ``P`` (grown, d (d + 1) / 2) triangles; ``at`` (S,) is an arm's slot
    in ``factors``, or -1 less its slot in ``P``. A triangle follows its inverse when a width is
    asked for: it is copied where the arm's rows were gathered (see ``Grams``), and loses the u u'
    of the steps since.
    """

    def __init__(self, d: int, *, lam: float) -> None:
        self.d, self.lam = d, lam
        self._index()
        self.size, self.grown = 0, 0
        self.at: Ints = np.zeros(4, np.int64)
        self.factors = Factors(d, most_rows(d))
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
        whole = (x * x).sum(axis=0) / np.float32(self.lam)
        young = whole - self.factors.lost_by_all(x)
        if self.grown:
            squares = np.stack([self._square(np.ascontiguousarray(c)) for c in x.T], axis=1)
            with one_thread():
                young = np.concatenate((young, (self.P[: self.grown] @ squares)[::-1]))
        return np.asarray(np.maximum(young.take(self.at[: self.size], axis=0), 0.0))

    def entries(self, n: int) -> int:
        """Numbers that the widths of ``n`` arms read, if they are as the others are."""
        return (self.factors.n * self.d + self.grown * self.m) * n // self.size

    def nbytes(self, row: int) -> int:
        """Bytes that serve one arm."""
        at = int(self.at[row])
        return self.factors.nbytes(at) if at >= 0 else self.P.itemsize * self.m

    def _all(self, x: F32) -> F64:
        """Of all slots: the young in order, then the grown from the last, as ``at`` counts them."""
        young = self._whole(x) - self.factors.lost(x)
        if not self.grown:
            return young
        return np.concatenate((young, (self.P[: self.grown] @ self._square(x))[::-1]))

    def _gathered(self, x: F32, at: Ints) -> F64:
        w, young = np.empty(len(at)), at >= 0
        w[young] = self._whole(x) - self.factors.lost_by(x, at[young])
        if not young.all():
            w[~young] = self.P[-1 - at[~young]] @ self._square(x)
        return w

    def _whole(self, x: F32) -> np.float32:
        """What an untouched arm has: x'x / lam."""
        return np.float32((x @ x) / np.float32(self.lam))

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
        self.factors.put(at, u)

    def put(self, row: int, sums: Sums) -> None:
        """The inverse of an arm is that of ``sums``, whatever it was: the arm is grown.

        It is read when a width is asked for.
        """
        if self.at[row] >= 0:
            self._leave_young(row)
            if self.grown == len(self.P):
                self.P = longer(self.P)
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
        self._index()
        self.factors.widen(self.d, most_rows(self.d))
        self._triangles(grams)

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What the arms do not tell: the slot of each, and the order of the factors."""
        return {"at": self.at[: self.size].copy(), **self.factors.arrays()}

    def load(self, arrays: dict[str, NDArray[np.generic]], grams: Grams) -> None:
        """Continue from ``arrays``; ``grams`` are the arms."""
        self.at = np.array(arrays["at"], np.int64)
        self.size = len(self.at)
        self.grown = int(np.count_nonzero(self.at < 0))
        young = np.flatnonzero(self.at >= 0)
        rows = young[np.argsort(self.at[young])].tolist()
        self.factors = Factors(self.d, most_rows(self.d))
        self.factors.load(arrays, len(rows), lambda slot: grams.U(rows[slot]))
        self._triangles(grams)

    # -- inside ------------------------------------------------------------------------------

    def _index(self) -> None:
        d = self.d
        self.m = d * (d + 1) // 2
        k, i = np.divmod(np.arange(self.m), max(d, 1))
        self._flat = i * d + (i + k) % max(d, 1)
        self._two = np.where(k > 0, np.float32(2.0), np.float32(1.0))

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

    def _triangles(self, grams: Grams) -> None:
        """Owe every grown arm its triangle."""
        self.P = np.zeros((self.grown, self.m), np.float32)
        self._stale, self._owed = {}, {}
        for row in range(self.size):
            if (sums := grams.sums(row)) is not None:
                self.put(row, sums)
                for u in grams.U(row):
                    self.subtract(row, u)

    def _be_young(self, row: int) -> None:
        self.at[row] = self.factors.add()

    def _leave_young(self, row: int) -> None:
        """Free the slot of an arm; the last one moves there."""
        free = int(self.at[row])
        last = self.factors.drop(free)
        self.at[np.flatnonzero(self.at[: self.size] == last)] = free

    def _leave_grown(self, row: int) -> None:
        free, last = int(self.at[row]), -self.grown
        self.at[np.flatnonzero(self.at[: self.size] == last)] = free
        self.P[-1 - free] = self.P[-1 - last]
        self.grown -= 1
