"""What a result is worth: quality, cost and latency under weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentroute.model.arrays import F64


@dataclass(frozen=True, slots=True)
class Bounds:
    """Clipping range of ``log1p`` cost and latency: 5th and 95th percentile of recent outcomes."""

    cost_lo: float = 0.0
    cost_hi: float = 0.0
    latency_lo: float = 0.0
    latency_hi: float = 0.0


NEUTRAL = 0.5


def _scaled(x: F64, lo: float, hi: float) -> F64:
    if hi <= lo:
        return np.full(np.shape(x), NEUTRAL)
    with np.errstate(invalid="ignore"):
        y = np.clip((np.log1p(x) - lo) / (hi - lo), 0.0, 1.0)
    return np.where(np.isnan(y), NEUTRAL, y)


@dataclass(frozen=True, slots=True)
class Objective:
    """Weights of quality, cost and latency, given at the call; no refit is needed to change them.

    Utility = (w_q q + w_c (1 - c') + w_l (1 - l')) / (w_q + w_c + w_l), where c' and l' are
    ``log1p`` of cost (USD) and latency (s), scaled by ``bounds`` and clipped to [0, 1].
    A missing value, or bounds without width, is neutral: 0.5.
    """

    quality: float = 1.0
    cost: float = 0.0
    latency: float = 0.0
    bounds: Bounds = Bounds()

    def __post_init__(self) -> None:
        w = (self.quality, self.cost, self.latency)
        if not all(np.isfinite(w)) or min(w) < 0 or sum(w) <= 0:
            raise ValueError("objective weights must be finite, not negative, and not all zero")

    def cost_term(self, cost_usd: F64) -> F64:
        """1 - c', shape of the input, in [0, 1]."""
        return 1.0 - _scaled(cost_usd, self.bounds.cost_lo, self.bounds.cost_hi)

    def latency_term(self, latency_s: F64) -> F64:
        """1 - l', shape of the input, in [0, 1]."""
        return 1.0 - _scaled(latency_s, self.bounds.latency_lo, self.bounds.latency_hi)

    @property
    def quality_share(self) -> float:
        """w_q over the sum of the weights: how much of a unit of quality is utility."""
        return self.quality / (self.quality + self.cost + self.latency)

    def parts(self, q: F64, cost_usd: F64, latency_s: F64) -> dict[str, F64]:
        """The weighted terms, which add up to the utility. Zero-weight terms are left out."""
        total = self.quality + self.cost + self.latency
        out = {"quality": self.quality / total * q}
        if self.cost:
            out["cost"] = self.cost / total * self.cost_term(cost_usd)
        if self.latency:
            out["latency"] = self.latency / total * self.latency_term(latency_s)
        return out

    def utility(self, q: F64, cost_usd: F64, latency_s: F64) -> F64:
        """Utility in [0, 1] for q in [0, 1]."""
        return np.asarray(sum(self.parts(q, cost_usd, latency_s).values()))


QUALITY_ONLY = Objective()
