"""Ridge regressions of many arms as arrays: float64 truth, float32 for serving."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64
from agentroute.routers.linucb.grams import Grams
from agentroute.routers.linucb.widths import Widths

REFACTOR_EVERY = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """``own`` (S,) mean by the parameters of every arm of the bank; ``shared`` (n,), None where
    nothing is shared, and squared width ``w2`` (n,) of the arms asked for. The mean of arm a is
    own[a] + shared.
    """

    own: F64
    shared: F64 | None
    w2: F64


class ArmBank:
    """Arms with a ridge each over x (d,), tied by a shared ridge over z (k,) (Li et al. 2010).

    k = 0 is disjoint LinUCB (their Algorithm 1), d = 0 one shared model, both the hybrid
    (Algorithm 2). Row 0 is the untouched arm: every agent without feedback is served by it, so
    it costs no memory of its own.

    Truth, float64, S rows: ``A(row)`` (d, d) = lam I + sum x x', kept by ``Grams`` as the arm's
    age allows; ``b`` (S, d) = sum r x; ``B`` (S, d, k) = sum x z'; ``Z`` (S, k, k) = sum z z';
    ``c`` (S, k) = sum r z; ``n`` (S,) updates, ``since`` (S,) updates after the last refactoring.
    Derived: ``inv(row)`` = A^-1, ``theta`` = A^-1 b, ``C`` = A^-1 B; ``A0`` (k, k), ``b0`` (k,) of
    the shared ridge = sum over arms of its Schur complements Z - B'C and c - B' theta.
    Serving, float32: ``theta32`` (S, d), ``C32`` (S, k, d), and ``widths`` (see ``Widths``; None
    where only means are asked for).
    """

    TRUTH = ("b", "B", "Z", "c", "theta", "C", "n", "since")

    def __init__(self, d: int, k: int = 0, *, lam: float = 1.0, serve_widths: bool = True) -> None:
        self.d, self.k, self.lam = d, k, lam
        self.size = 1
        self.widths = Widths(d, lam=lam) if serve_widths else None
        self.grams = Grams(d, lam=lam)
        self.grams.add()
        self.A, self.inv = self.grams.A, self.grams.inv
        self._allocate(4)
        self.A0 = lam * np.eye(k)
        self.b0 = np.zeros(k)
        self._solve_shared()

    # -- scoring -----------------------------------------------------------------------------

    def means(self, x: F64) -> F64:
        """Means x' theta (S,) of all arms, where there is no shared part."""
        with one_thread():
            m: F32 = self.theta32[: self.size] @ x.astype(np.float32)
        return m.astype(np.float64)

    def predict(self, x: F64, z: F64 | None, rows: NDArray[np.int64]) -> Prediction:
        """Mean and squared width of the arms at ``rows`` (n,), ``z`` (n, k) of these agents.

        With g = B' A^-1 x: mean = x' theta - g' beta + z' beta, and squared width =
        x' A^-1 x + (z - g)' A0^-1 (z - g): the four terms of Li et al. 2010, Algorithm 2, as
        one quadratic form.
        """
        x32 = x.astype(np.float32)
        with one_thread():
            own = (self.theta32[: self.size] @ x32).astype(np.float64)
            w2 = self.w2(x32, rows)
            if z is None or not self.k:
                return Prediction(own, None, w2)
            g = (self.C32[: self.size].reshape(self.size * self.k, self.d) @ x32).reshape(
                self.size, self.k
            )
            u = z - g[rows]
            w2 += ((u @ self.A0_inv) * u).sum(axis=1)
            return Prediction(own - g @ self.beta, z @ self.beta, np.maximum(w2, 0.0))

    def mean(self, x: F64, z: F64 | None, row: int) -> float:
        """The mean of one arm, ``z`` (k,) of its agent: what it costs does not grow with S."""
        x32 = x.astype(np.float32)
        own = float(self.theta32[row] @ x32)
        if z is None or not self.k:
            return own
        return own + float((z - self.C32[row] @ x32) @ self.beta)

    def w2(self, x: F32, rows: NDArray[np.int64]) -> F64:
        """Squared widths x' A^-1 x (n,) of an arm's own part."""
        assert self.widths is not None
        return self.widths.of(x, rows)

    def entries(self, n: int) -> int:
        """Numbers that the squared widths of ``n`` arms read."""
        return self.widths.entries(n) if self.widths else 0

    def own_theta(self, rows: NDArray[np.int64]) -> F64:
        """Theta - C beta (n, d): what is the arm's own in its mean."""
        return np.asarray(self.theta[rows] - self.C[rows] @ self.beta)

    # -- learning ----------------------------------------------------------------------------

    def add(self, theta: F64 | None = None) -> int:
        """A new arm with prior mean ``theta`` (d,); other arms stay bit-equal. Returns its row."""
        if self.size == len(self.b):
            self._grow(2 * self.size)
        row, self.size = self.size, self.size + 1
        self.grams.add()
        if self.widths:
            self.widths.add()
        if theta is not None:
            self.b[row] = self.lam * theta
            self.theta[row] = theta
            self.theta32[row] = theta
        return row

    def update(
        self,
        row: int,
        x: F64,
        r: float,
        *,
        z: F64 | None = None,
        weight: float = 1.0,
        gamma: float = 1.0,
    ) -> None:
        """One weighted observation ``r`` of an arm: Sherman-Morrison, O(d^2), whatever S is.

        ``gamma`` < 1 forgets first (Russac et al. 2019): A <- gamma A + (1 - gamma) lam I; that is
        of full rank, so the arm is refactored instead, O(d^3).
        """
        s0, t0 = self._schur(row)
        if gamma < 1.0:
            self._forget(row, gamma)
        u, step, gathered = self.grams.step(row, x, weight)
        self._add(row, x, r, z, weight)
        self.n[row] += 1
        self.since[row] += 1
        if gamma < 1.0 or self.since[row] >= REFACTOR_EVERY:
            self._refactor(row)
        else:
            self._follow(row, x, r, z, step)
            self._narrow(row, u, gathered)
        self._settle(row, s0, t0)

    def reset(self, row: int) -> None:
        """Forget all of an arm."""
        s0, t0 = self._schur(row)
        for name in ("b", "B", "Z", "c", "n", "theta", "C"):
            getattr(self, name)[row] = 0
        self.since[row] = 0
        self.grams.reset(row)
        self._serve(row)
        if self.widths:
            self.widths.reset(row)
        self._settle(row, s0, t0)

    def widen(self, d: int) -> None:
        """Follow a longer x: its new entries were 0 so far, so the padding is exact."""
        old = {name: getattr(self, name)[: self.size] for name in self.TRUTH}
        self.d = d
        self.grams.widen(d)
        self._allocate(max(4, self.size))
        for name, arms in old.items():
            target = getattr(self, name)[: self.size]
            target[tuple(slice(n) for n in arms.shape)] = arms
        if self.widths:
            self.widths.widen(self.grams)
        self._serve_all()

    # -- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Truth and what is derived incrementally, so that a loaded bank goes on bit-equal."""
        out = {name: getattr(self, name)[: self.size].copy() for name in self.TRUTH}
        widths = self.widths.arrays() if self.widths else {}
        return {**out, **self.grams.arrays(), **widths, "A0": self.A0.copy(), "b0": self.b0.copy()}

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from ``arrays()`` of a bank with the same d and k."""
        self.size = len(arrays["n"])
        self._allocate(max(4, self.size))
        for name in self.TRUTH:
            getattr(self, name)[: self.size] = arrays[name]
        self.grams.load(arrays)
        if self.widths:
            self.widths.load(arrays, self.grams)
        self.A0, self.b0 = (np.array(arrays[m], np.float64) for m in ("A0", "b0"))
        self._solve_shared()
        self._serve_all()

    # -- inside ------------------------------------------------------------------------------

    def _allocate(self, capacity: int) -> None:
        s, d, k = capacity, self.d, self.k
        self.b, self.theta = np.zeros((s, d)), np.zeros((s, d))
        self.B, self.C = np.zeros((s, d, k)), np.zeros((s, d, k))
        self.Z, self.c = np.zeros((s, k, k)), np.zeros((s, k))
        self.n, self.since = np.zeros(s, np.int64), np.zeros(s, np.int64)
        self.theta32: F32 = np.zeros((s, d), np.float32)
        self.C32: F32 = np.zeros((s, k, d), np.float32)

    def _grow(self, capacity: int) -> None:
        names = (*self.TRUTH, "theta32", "C32")
        old = {name: getattr(self, name)[: self.size] for name in names}
        self._allocate(capacity)
        for name, value in old.items():
            getattr(self, name)[: self.size] = value

    def _forget(self, row: int, gamma: float) -> None:
        self.grams.scale(row, gamma)
        for name in ("b", "B", "Z", "c"):
            getattr(self, name)[row] *= gamma

    def _add(self, row: int, x: F64, r: float, z: F64 | None, weight: float) -> None:
        wx = weight * x
        self.b[row] += r * wx
        if z is not None and self.k:
            self.B[row] += np.outer(wx, z)
            self.Z[row] += weight * np.outer(z, z)
            self.c[row] += weight * r * z

    def _follow(self, row: int, x: F64, r: float, z: F64 | None, step: F64) -> None:
        """Theta += step (r - x' theta), and the same for C."""
        self.theta[row] += step * (r - x @ self.theta[row])
        if z is not None and self.k:
            self.C[row] += np.outer(step, z - x @ self.C[row])
        self._serve(row)

    def _narrow(self, row: int, u: F64, gathered: bool) -> None:
        """The inverse has lost u u'."""
        if self.widths is None:
            return
        sums = self.grams.sums(row) if gathered else None
        if sums is not None:
            self.widths.put(row, sums)
        self.widths.subtract(row, u)

    def _refactor(self, row: int) -> None:
        sums = self.grams.refactor(row)
        inv = sums.inv(self.d)
        with one_thread():
            self.theta[row] = inv @ self.b[row]
            self.C[row] = inv @ self.B[row]
        self.since[row] = 0
        if self.widths:
            self.widths.put(row, sums)
        self._serve(row)

    def _serve(self, row: int) -> None:
        self.theta32[row] = self.theta[row]
        self.C32[row] = self.C[row].T

    def _serve_all(self) -> None:
        for row in range(self.size):
            self._serve(row)

    def _schur(self, row: int) -> tuple[F64, F64]:
        bt = self.B[row].T
        return self.Z[row] - bt @ self.C[row], self.c[row] - bt @ self.theta[row]

    def _settle(self, row: int, s0: F64, t0: F64) -> None:
        if not self.k:
            return
        s1, t1 = self._schur(row)
        self.A0 += s1 - s0
        self.b0 += t1 - t0
        self._solve_shared()

    def _solve_shared(self) -> None:
        inv = np.linalg.inv(self.A0)
        self.A0_inv = (inv + inv.T) / 2.0
        self.beta = self.A0_inv @ self.b0
