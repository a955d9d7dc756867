"""What the text's embedding alone says of each agent: ridge on what the means leave over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32, F64

GRID = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 1e6)
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """``weight`` (e, N) float32: an agent's residual is x . weight[:, a]; ``lam`` its penalty.

    W = (X'X + lam I)^-1 X'R. A residual that was not observed counts as no difference.
    """

    weight: F32
    lam: float

    @classmethod
    def learn(cls, x: F32, residual: F64, fold: I64) -> tuple[Profile, F64]:
        """The profile, and (m, N) predictions for each row by the profile of the other folds.

        ``lam`` has the least squared error over the folds, centred over agents.
        """
        x64, r = x.astype(np.float64), np.nan_to_num(residual)
        error = np.zeros(len(GRID))
        solvers = [_Ridge(x64[fold != k], r[fold != k]) for k in range(int(fold.max()) + 1)]
        for k, solver in enumerate(solvers):
            mine = fold == k
            for i, lam in enumerate(GRID):
                e = r[mine] - x64[mine] @ solver.weight(lam)
                error[i] += ((e - e.mean(axis=1, keepdims=True)) ** 2).sum()
        lam = GRID[int(np.argmin(error))]
        out = np.zeros_like(r)
        for k, solver in enumerate(solvers):
            out[fold == k] = x64[fold == k] @ solver.weight(lam)
        return cls(_Ridge(x64, r).weight(lam).astype(np.float32), lam), out


class _Ridge:
    """Ridge for any penalty after one eigendecomposition: W = Q (S + lam)^-1 Q'X'R."""

    def __init__(self, x: F64, r: F64) -> None:
        self.s, self.q = np.linalg.eigh(x.T @ x)
        self.b = self.q.T @ (x.T @ r)

    def weight(self, lam: float) -> F64:
        return np.asarray(self.q @ (self.b / (self.s + lam)[:, None]))
