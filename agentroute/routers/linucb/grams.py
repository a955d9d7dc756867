"""What an arm has seen as A = lam I + sum w x x' and its inverse, kept as its age allows."""

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
    """Updates R = max(4, d / 8) up to which an arm of x (d,) is young."""
    return max(LEAST, d // SHARE)


class Young:
    """An arm of m <= R updates: A = lam I + X'X and A^-1 = I / lam - U'U, by their rows (m, d).

    A step costs O(m d) and an arm 16 R d bytes at most, where two matrices cost O(d^2) and
    16 d^2 bytes: four times R / d of it.
    """

    def __init__(self, X: F64, U: F64) -> None:
        self.X, self.U, self.m = X, U, len(X)

    def times(self, x: F64, lam: float) -> F64:
        """A^-1 x (d,)."""
        U = self.U[: self.m]
        return x / lam - (U @ x) @ U

    def step(self, x: F64, u: F64, _: F64) -> None:
        """A gains x x', its inverse loses u u'."""
        if self.m == len(self.X):
            self.X, self.U = _longer(self.X), _longer(self.U)
        self.X[self.m], self.U[self.m] = x, u
        self.m += 1

    def grown(self, lam: float) -> Grown:
        """The same arm by its matrices."""
        X, U = self.X[: self.m], self.U[: self.m]
        eye = np.eye(X.shape[1])
        with one_thread():
            return Grown(lam * eye + X.T @ X, eye / lam - U.T @ U)


class Grown:
    """An arm by its matrices A and A^-1 (d, d), both symmetric to the last bit."""

    def __init__(self, A: F64, inv: F64) -> None:
        self.A, self.inv = A, inv

    def times(self, x: F64, lam: float) -> F64:
        """A^-1 x (d,)."""
        return np.asarray(self.inv @ x)

    def step(self, x: F64, u: F64, scratch: F64) -> None:
        """A gains x x', its inverse loses u u'; ``scratch`` (d, d) is written over."""
        self.A += np.multiply(x[:, None], x, out=scratch)
        self.inv -= np.multiply(u[:, None], u, out=scratch)


class Packed:
    """A grown arm as its triangles (d (d + 1) / 2,) were loaded: unpacked once it is asked for.

    A choice among the agents of a long ledger needs the loaded matrices of none of them: only an
    update does, of its own arm.
    """

    def __init__(self, A: F64, inv: F64) -> None:
        self.A, self.inv = A, inv

    def grown(self, d: int) -> Grown:
        """The same arm by its matrices, with every bit of them."""
        at = _whole(d)
        return Grown(self.A.take(at).reshape(d, d), self.inv.take(at).reshape(d, d))


class Grams:
    """The A and A^-1 of S arms over x (d,): each arm is a ``Young``, a ``Grown`` or a ``Packed``.

    What an arm is depends on its updates alone, so that a loaded one goes on bit-equal.

    Example:
        >>> g = Grams(2, lam=2.0)
        >>> g.add()
        >>> u = g.step(0, np.array([1.0, 0.0]), 1.0)[0]
        >>> g.A(0).tolist()
        [[3.0, 0.0], [0.0, 2.0]]
    """

    def __init__(self, d: int, *, lam: float) -> None:
        self.d, self.lam = d, lam
        self._scratch = np.empty((d, d))
        self._arms: list[Young | Grown | Packed] = []

    def __len__(self) -> int:
        return len(self._arms)

    def add(self) -> None:
        """One more arm, untouched."""
        self._arms.append(self._untouched())

    def reset(self, row: int) -> None:
        """An arm is untouched again."""
        self._arms[row] = self._untouched()

    def step(self, row: int, x: F64, weight: float) -> tuple[F64, F64]:
        """Sherman-Morrison: A += w x x'. With v = A^-1 x and s = 1/w + x'v, A^-1 -= v v' / s.

        Returns ``u`` = v / sqrt(s), whose u u' the inverse has lost, and ``v / s``, both (d,).
        """
        arm = self._arms[row]
        if isinstance(arm, Packed) or (isinstance(arm, Young) and arm.m == most_rows(self.d)):
            arm = self._whole(row)
        with one_thread():
            v = arm.times(x, self.lam)
        s = 1.0 / weight + x @ v
        u = v / s**0.5
        arm.step(weight**0.5 * x, u, self._scratch)
        return u, v / s

    def A(self, row: int) -> F64:
        """A (d, d) of an arm."""
        return self._matrices(row).A

    def inv(self, row: int) -> F64:
        """A^-1 (d, d) of an arm: of a grown one the array that its steps change."""
        return self._matrices(row).inv

    def scale(self, row: int, gamma: float) -> None:
        """A <- gamma A + (1 - gamma) lam I; the inverse is left behind until ``refactor``."""
        arm = self._whole(row)
        arm.A *= gamma
        arm.A.flat[:: self.d + 1] += (1.0 - gamma) * self.lam

    def refactor(self, row: int) -> F64:
        """The inverse computed anew; returns it."""
        arm = self._whole(row)
        with one_thread():
            inv = np.linalg.inv(arm.A)
        arm.inv = (inv + inv.T) / 2.0
        return arm.inv

    def widen(self, d: int) -> None:
        """Follow a longer x, whose new entries were 0 so far: the padding is exact."""
        before, self.d, self._scratch = self.d, d, np.empty((d, d))
        for row, arm in enumerate(self._arms):
            if isinstance(arm, Young):
                self._arms[row] = Young(_padded(arm.X[: arm.m], d), _padded(arm.U[: arm.m], d))
                continue
            old = arm.grown(before) if isinstance(arm, Packed) else arm
            new = Grown(self.lam * np.eye(d), np.eye(d) / self.lam)
            new.A[:before, :before], new.inv[:before, :before] = old.A, old.inv
            self._arms[row] = new

    def nbytes(self, row: int) -> int:
        """Bytes of an arm."""
        arm = self._arms[row]
        held = (arm.X, arm.U) if isinstance(arm, Young) else (arm.A, arm.inv)
        return sum(a.nbytes for a in held)

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """``updates`` (S,) of the young, -1 of the others; their rows ``X``, ``U``; triangles."""
        young = [a for a in self._arms if isinstance(a, Young)]
        others = [a for a in self._arms if not isinstance(a, Young)]
        at = _triangle(self.d)
        packed = [a if isinstance(a, Packed) else _pack(a, at) for a in others]
        updates = [a.m if isinstance(a, Young) else -1 for a in self._arms]
        none, flat = np.zeros((0, self.d)), np.zeros((0, len(at)))
        return {
            "updates": np.array(updates, np.int64),
            "X": np.concatenate([none, *(a.X[: a.m] for a in young)]),
            "U": np.concatenate([none, *(a.U[: a.m] for a in young)]),
            "A": np.array([p.A for p in packed]) if packed else flat,
            "inv": np.array([p.inv for p in packed]) if packed else flat,
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become the arms of ``arrays()``; where only triangles are, one an arm, all are grown."""
        packed = zip(arrays["A"], arrays["inv"], strict=True)
        if "updates" not in arrays:
            self._arms = [Packed(*p) for p in packed]
            return
        self._arms, at = [], 0
        for m in arrays["updates"].tolist():
            if m < 0:
                self._arms.append(Packed(*next(packed)))
                continue
            rows = slice(at, at := at + m)
            self._arms.append(Young(arrays["X"][rows].copy(), arrays["U"][rows].copy()))

    # -- inside ------------------------------------------------------------------------------

    def _untouched(self) -> Young:
        return Young(np.zeros((0, self.d)), np.zeros((0, self.d)))

    def _matrices(self, row: int) -> Grown:
        """An arm's matrices; a young one stays young."""
        arm = self._arms[row]
        return arm.grown(self.lam) if isinstance(arm, Young) else self._whole(row)

    def _whole(self, row: int) -> Grown:
        """An arm that is grown from now on."""
        arm = self._arms[row]
        if isinstance(arm, Grown):
            return arm
        whole = arm.grown(self.lam) if isinstance(arm, Young) else arm.grown(self.d)
        self._arms[row] = whole
        return whole


def _longer(rows: F64) -> F64:
    """``rows`` with room for as many more, at least 4."""
    out = np.empty((max(4, 2 * len(rows)), rows.shape[1]))
    out[: len(rows)] = rows
    return out


def _padded(rows: F64, d: int) -> F64:
    out = np.zeros((len(rows), d))
    out[:, : rows.shape[1]] = rows
    return out


def _pack(arm: Grown, at: Ints) -> Packed:
    return Packed(arm.A.take(at), arm.inv.take(at))


@lru_cache(maxsize=8)
def _triangle(d: int) -> Ints:
    """Where the upper triangle, row by row, stands in a matrix (d, d)."""
    return np.asarray(np.ravel_multi_index(np.triu_indices(d), (d, d)))


@lru_cache(maxsize=8)
def _whole(d: int) -> Ints:
    """(d * d,) where each number of a matrix stands in its triangle."""
    at = np.zeros((d, d), np.int64)
    i, j = np.triu_indices(d)
    at[i, j] = at[j, i] = np.arange(len(i))
    return at.ravel()
