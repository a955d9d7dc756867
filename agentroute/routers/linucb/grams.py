"""What an arm has seen as A = lam I + sum w x x' and its inverse: sums, and the last few steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F64, Ints

LEAST, SHARE = 4, 8


def most_rows(d: int) -> int:
    """Steps R = max(4, d / 8) of an arm over x (d,) that are kept one by one."""
    return max(LEAST, d // SHARE)


class Sums:
    """``A`` and ``inv`` (d, d) of an arm when its rows were last gathered.

    Each may be the triangle (d (d + 1) / 2,) that was loaded, and is unpacked once it is asked for:
    a choice among the agents of a long ledger needs the matrices of none of them, only an update
    does, of its own arm.
    """

    def __init__(self, A: F64, inv: F64) -> None:
        self._A, self._inv = A, inv

    def A(self, d: int) -> F64:
        """The matrix A (d, d)."""
        self._A = _whole(self._A, d)
        return self._A

    def inv(self, d: int) -> F64:
        """Its inverse (d, d)."""
        self._inv = _whole(self._inv, d)
        return self._inv

    def inv_at(self, flat: Ints, d: int) -> F64:
        """Entries of the inverse at places ``flat`` of it (d * d,); nothing is unpacked."""
        inv = self._inv
        return inv.take(flat) if inv.ndim == 2 else inv.take(_from_triangle(d).take(flat))

    def packed(self, d: int) -> tuple[F64, F64]:
        """Both as triangles, with every bit of them."""
        return _packed(self._A, d), _packed(self._inv, d)

    def widened(self, before: int, d: int, lam: float) -> Sums:
        """The same arm over a longer x, whose new entries were 0 so far."""
        A, inv = lam * np.eye(d), np.eye(d) / lam
        A[:before, :before], inv[:before, :before] = self.A(before), self.inv(before)
        return Sums(A, inv)

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self._A.nbytes + self._inv.nbytes


class Arm:
    """One arm: A = A0 + X'X and A^-1 = inv0 - U'U by ``sums`` and rows X, U (m, d), m <= R.

    Without sums A0 is lam I and inv0 is I / lam: the arm is *young*, and takes 16 R d bytes at most
    where matrices take 16 d^2.
    """

    def __init__(self, X: F64, U: F64, sums: Sums | None = None) -> None:
        self.X, self.U, self.m, self.sums = X, U, len(X), sums

    def put(self, x: F64, u: F64) -> None:
        """A gains x x', its inverse loses u u'."""
        if self.m == len(self.X):
            self.X, self.U = longer(self.X), longer(self.U)
        self.X[self.m], self.U[self.m] = x, u
        self.m += 1


class Grams:
    """The A and A^-1 of S arms over x (d,).

    A step is a product with A^-1 and two rows more: O(d^2), and O(m d) for a young arm. R rows are
    gathered into the sums at once, by two products of matrices. When that happens depends on an
    arm's updates alone, so that a loaded one goes on bit-equal.

    Example:
        >>> g = Grams(2, lam=2.0)
        >>> g.add()
        >>> _ = g.step(0, np.array([1.0, 0.0]), 1.0)
        >>> g.A(0).tolist()
        [[3.0, 0.0], [0.0, 2.0]]
    """

    def __init__(self, d: int, *, lam: float) -> None:
        self.d, self.lam = d, lam
        self._arms: list[Arm] = []

    def add(self) -> None:
        """One more arm, untouched."""
        self._arms.append(self._untouched())

    def reset(self, row: int) -> None:
        """An arm is untouched again."""
        self._arms[row] = self._untouched()

    # -- reading -----------------------------------------------------------------------------

    def A(self, row: int) -> F64:
        """A (d, d) of an arm."""
        arm = self._arms[row]
        A0 = self.lam * np.eye(self.d) if arm.sums is None else arm.sums.A(self.d)
        return np.asarray(A0 + _gram(arm.X[: arm.m]))

    def inv(self, row: int) -> F64:
        """A^-1 (d, d) of an arm."""
        arm = self._arms[row]
        inv0 = np.eye(self.d) / self.lam if arm.sums is None else arm.sums.inv(self.d)
        return np.asarray(inv0 - _gram(arm.U[: arm.m]))

    def sums(self, row: int) -> Sums | None:
        """The sums when the rows were last gathered; None of a young arm."""
        return self._arms[row].sums

    def U(self, row: int) -> F64:
        """Rows (m, d) since then, whose u u' the inverse has lost."""
        arm = self._arms[row]
        return arm.U[: arm.m]

    def nbytes(self, row: int) -> int:
        """Bytes of an arm."""
        arm = self._arms[row]
        return arm.X.nbytes + arm.U.nbytes + (arm.sums.nbytes if arm.sums else 0)

    # -- learning ----------------------------------------------------------------------------

    def step(self, row: int, x: F64, weight: float) -> tuple[F64, F64, bool]:
        """Sherman-Morrison: A += w x x'. With v = A^-1 x and s = 1/w + x'v, A^-1 -= v v' / s.

        Returns ``u`` = v / sqrt(s), whose u u' the inverse has lost, and ``v / s``, both (d,); and
        whether the rows before were gathered.
        """
        arm = self._arms[row]
        gathered = arm.m == most_rows(self.d)
        if gathered:
            self.gather(row)
        U = arm.U[: arm.m]
        with one_thread():
            v = x / self.lam if arm.sums is None else arm.sums.inv(self.d) @ x
            v -= (U @ x) @ U
        s = 1.0 / weight + x @ v
        u = v / s**0.5
        arm.put(weight**0.5 * x, u)
        return u, v / s, gathered

    def gather(self, row: int) -> None:
        """Take an arm's rows into its sums: it is grown from now on."""
        arm = self._arms[row]
        arm.sums, arm.m = Sums(self.A(row), self.inv(row)), 0

    def scale(self, row: int, gamma: float) -> None:
        """A <- gamma A + (1 - gamma) lam I; the inverse is left behind until ``refactor``."""
        self.gather(row)
        sums = self._arms[row].sums
        assert sums is not None  # it has just been gathered
        A = sums.A(self.d)
        A *= gamma
        A.flat[:: self.d + 1] += (1.0 - gamma) * self.lam

    def refactor(self, row: int) -> Sums:
        """The inverse computed anew; returns the sums."""
        arm, A = self._arms[row], self.A(row)
        with one_thread():
            inv = np.linalg.inv(A)
        inv = (inv + inv.T) / 2.0
        arm.sums, arm.m = Sums(A, inv), 0
        return arm.sums

    def widen(self, d: int) -> None:
        """Follow a longer x, whose new entries were 0 so far: the padding is exact."""
        before, self.d = self.d, d
        for row, arm in enumerate(self._arms):
            sums = arm.sums and arm.sums.widened(before, d, self.lam)
            self._arms[row] = Arm(_padded(arm.X[: arm.m], d), _padded(arm.U[: arm.m], d), sums)

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """``rows`` (S,) how many of each arm in ``X``, ``U``; ``grown`` (S,); their triangles."""
        packed = [a.sums.packed(self.d) for a in self._arms if a.sums is not None]
        none, flat = np.zeros((0, self.d)), np.zeros((0, self.d * (self.d + 1) // 2))
        return {
            "rows": np.array([a.m for a in self._arms], np.int64),
            "grown": np.array([a.sums is not None for a in self._arms], np.bool_),
            "X": np.concatenate([none, *(a.X[: a.m] for a in self._arms)]),
            "U": np.concatenate([none, *(a.U[: a.m] for a in self._arms)]),
            "A": np.array([A for A, _ in packed]) if packed else flat,
            "inv": np.array([inv for _, inv in packed]) if packed else flat,
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become the arms of ``arrays()``."""
        packed = iter(zip(arrays["A"], arrays["inv"], strict=True))
        self._arms, at = [], 0
        for m, grown in zip(arrays["rows"].tolist(), arrays["grown"].tolist(), strict=True):
            some = slice(at, at := at + m)
            sums = Sums(*next(packed)) if grown else None
            self._arms.append(Arm(arrays["X"][some].copy(), arrays["U"][some].copy(), sums))

    # -- inside ------------------------------------------------------------------------------

    def _untouched(self) -> Arm:
        return Arm(np.zeros((0, self.d)), np.zeros((0, self.d)))


def _gram(rows: F64) -> F64:
    """X'X (d, d) of rows X, symmetric to the last bit: BLAS computes one half of it."""
    with one_thread():
        return np.asarray(rows.T @ rows)


def longer(a: NDArray[Any]) -> NDArray[Any]:
    """``a`` with twice its rows, at least 4 more; the new ones are zeros."""
    return np.concatenate([a, np.zeros((max(4, len(a)), *a.shape[1:]), a.dtype)])


def _padded(rows: F64, d: int) -> F64:
    out = np.zeros((len(rows), d))
    out[:, : rows.shape[1]] = rows
    return out


def _whole(matrix: F64, d: int) -> F64:
    return matrix if matrix.ndim == 2 else matrix.take(_from_triangle(d)).reshape(d, d)


def _packed(matrix: F64, d: int) -> F64:
    return matrix if matrix.ndim == 1 else matrix.take(_triangle(d))


@lru_cache(maxsize=8)
def _triangle(d: int) -> Ints:
    """Where the upper triangle, row by row, stands in a matrix (d, d)."""
    return np.asarray(np.ravel_multi_index(np.triu_indices(d), (d, d)))


@lru_cache(maxsize=8)
def _from_triangle(d: int) -> Ints:
    """(d * d,) where each number of a matrix stands in its triangle."""
    at = np.zeros((d, d), np.int64)
    i, j = np.triu_indices(d)
    at[i, j] = at[j, i] = np.arange(len(i))
    return at.ravel()
