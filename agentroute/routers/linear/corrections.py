"""What folded outcomes say against the fitted model, agent by agent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates
from agentroute.routers.parts.index import ArmIndex


class Corrections:
    """delta_a = sum w r / (sum w + kappa): the mean residual of an agent, shrunk to 0.

    r is observed quality minus the fitted model's guess, which does not move; so the order of
    rows does not matter beyond rounding. ``kappa`` is how many rows the fit is worth.
    """

    def __init__(self, kappa: float) -> None:
        self.kappa = kappa
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.arms = ArmIndex()
        self.sums: F64 = np.zeros((1, 2))  # residuals, weights; row 0 the agents without rows

    def of(self, candidates: Candidates) -> F64:
        """(n,) delta of the candidates."""
        delta = self.sums[:, 0] / (self.sums[:, 1] + self.kappa)
        return np.asarray(delta[self.arms.rows(candidates)])

    def add(self, agent: str, residual: float, weight: float) -> None:
        """Fold one row."""
        row = self.arms.add(agent)
        if row == len(self.sums):
            self.sums = np.vstack([self.sums, np.zeros((1, 2))])
        self.sums[row] += (weight * residual, weight)

    def meta(self) -> dict[str, Any]:
        """The agents."""
        return {"arms": self.arms.names, "kappa": self.kappa}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Sums (S, 2)."""
        return {"corrections": self.sums.copy()}

    def load(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``meta`` and ``arrays``."""
        self.arms, self.kappa = ArmIndex(meta["arms"]), meta["kappa"]
        self.sums = arrays["corrections"].copy()
