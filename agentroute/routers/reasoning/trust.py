"""How far each kind of evidence is to be trusted: one shared ridge regression, learned online."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F64


class Trust:
    """Ridge regression of quality on evidence phi (k,), pulled towards stated weights w0.

    A = lam I + sum g^age w phi phi', b = lam w0 + sum g^age w q phi, weights = A^-1 b; the prior
    does not fade: A <- g A + (1 - g) lam I. ``lam`` is in observations, ``g`` the memory.
    """

    def __init__(self, w0: F64, *, lam: float = 10.0, g: float = 0.9995) -> None:
        self.w0, self.lam, self.g = w0, lam, g
        self.A = lam * np.eye(len(w0))
        self.b = lam * w0
        self.weights: F64 = w0.copy()

    def add(self, phi: F64, quality: F64, weight: float = 1.0) -> None:
        """Fold m rows ``phi`` (m, k) with ``quality`` (m,) as one step of the memory."""
        self._forget()
        with one_thread():
            self.A += weight * phi.T @ phi
            self.b += weight * phi.T @ quality
            self.weights = np.asarray(np.linalg.solve(self.A, self.b), np.float64)

    def _forget(self) -> None:
        keep = 1.0 - self.g
        self.A *= self.g
        self.A.flat[:: len(self.w0) + 1] += keep * self.lam
        self.b *= self.g
        self.b += keep * self.lam * self.w0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """A, b and the weights."""
        return {"A": self.A.copy(), "b": self.b.copy(), "weights": self.weights.copy()}

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``arrays()``."""
        self.A, self.b = np.array(arrays["A"]), np.array(arrays["b"])
        self.weights = np.array(arrays["weights"])


class Scope:
    """The evidence below which nobody's card or record covers a task.

    It is ``tau``, or two standard deviations below the mean evidence of tasks that went well
    (both fade by 2 % a task), whichever is lower: from its own choices a router can learn that
    weak evidence suffices, never that it does not, since it would not see what it refused.
    ``fixed`` (from labels) stands over both.
    """

    WIDTH, ENOUGH, STEP = 0.03, 20, 0.02

    def __init__(self, tau: float) -> None:
        self.tau = tau
        self.count, self.mean, self.var, self.fixed = 0.0, 0.0, 0.0, float("nan")

    def threshold(self) -> float:
        """The evidence at which ``out_of_scope`` is one half."""
        if not np.isnan(self.fixed):
            return self.fixed
        if self.count < self.ENOUGH:
            return self.tau
        return min(self.tau, self.mean - 2.0 * float(np.sqrt(self.var)))

    def out_of_scope(self, evidence: float) -> float:
        """1 / (1 + exp((evidence - threshold) / 0.03)); 0 where there is no text to judge by."""
        if np.isnan(evidence):
            return 0.0
        z = np.clip((evidence - self.threshold()) / self.WIDTH, -50.0, 50.0)
        return float(1.0 / (1.0 + np.exp(z)))

    def add(self, evidence: float) -> None:
        """One task that went well (exponentially weighted mean and variance)."""
        if np.isnan(evidence):
            return
        self.count += 1.0
        step = max(1.0 / self.count, self.STEP)
        d = evidence - self.mean
        self.mean += step * d
        self.var = (1.0 - step) * (self.var + step * d * d)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """One row of numbers."""
        return {"scope": np.array([self.count, self.mean, self.var, self.fixed])}

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``arrays()``."""
        self.count, self.mean, self.var, self.fixed = map(float, arrays["scope"])
