"""What a call will cost and how long it will take, learned beside quality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates
from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.parts.index import ArmMeans


class CostHead:
    """Per arm a ridge of log1p(cost in USD) over x, with a matrix of its own, and a mean latency.

    Residuals are taken from ``base``: the price known at the arm's first cost (its card's, or
    else that cost itself). Arms without an observation keep what the candidates say; NaN stays
    NaN, which the objective takes as neutral.
    """

    def __init__(self, d: int, *, lam: float) -> None:
        self.bank = ArmBank(d, lam=lam, serve_widths=False)
        self.base: F64 = np.full(4, np.nan)
        self.latency = ArmMeans()

    def update(
        self,
        row: int,
        x: F64,
        *,
        cost_usd: float | None,
        latency_s: float | None,
        card_usd: float,
        weight: float,
        gamma: float,
    ) -> None:
        """Fold what a call cost; either may be None."""
        if latency_s is not None:
            self.latency.add(row, float(np.log1p(latency_s)), weight)
        if cost_usd is None:
            return
        self.reach(row)
        y = float(np.log1p(cost_usd))
        if np.isnan(self.base[row]):
            self.base[row] = y if np.isnan(card_usd) else np.log1p(card_usd)
        self.bank.update(row, x, y - self.base[row], weight=weight, gamma=gamma)

    def costs(self, x: F64, rows: NDArray[np.int64], candidates: Candidates) -> F64:
        """Expected cost (n,) in USD."""
        inside = np.where(rows < self.bank.size, rows, 0)
        learned = np.expm1(np.maximum(self.base[inside] + self.bank.means(x)[inside], 0.0))
        return np.where(np.isnan(learned), candidates.cost_usd, learned)

    def latencies(self, rows: NDArray[np.int64], candidates: Candidates) -> F64:
        """Expected latency (n,) in seconds."""
        s, w = self.latency.take(rows)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(w > 0, np.expm1(s / w), candidates.latency_s)

    def reset(self, row: int) -> None:
        """Forget an arm."""
        if row < self.bank.size:
            self.bank.reset(row)
            self.base[row] = np.nan
        self.latency.reset(row)

    def reach(self, row: int) -> None:
        """Make rows up to ``row``."""
        while self.bank.size <= row:
            self.bank.add()
        while row >= len(self.base):
            self.base = np.concatenate([self.base, np.full(len(self.base), np.nan)])

    def arrays(self, size: int) -> dict[str, NDArray[np.generic]]:
        """Everything, for a state; ``size`` rows."""
        self.reach(size - 1)
        out = {f"bank.{k}": v for k, v in self.bank.arrays().items()}
        out |= {f"latency.{k}": v for k, v in self.latency.arrays(size).items()}
        return {**out, "base": self.base[:size].copy()}

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from ``arrays``."""
        self.bank.load({k[5:]: v for k, v in arrays.items() if k.startswith("bank.")})
        self.latency.load({k: arrays[f"latency.{k}"] for k in ("sum", "weight")})  # type: ignore[misc]
        self.base = np.array(arrays["base"], np.float64)
