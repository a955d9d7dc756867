"""How noisy rewards are: the unit that exploration is measured in."""

from __future__ import annotations

START = 0.25
ROWS = 2.0


class Noise:
    """Running mean square of the residuals r - r_hat, each taken before its row was folded.

    It starts at 1/4, the largest variance of a quality in [0, 1], with the weight of two rows. A
    bonus of alpha * sigma * width narrows where a verifier is exact and stays wide where
    quality is a coin (the variance-aware bonus of Zhou et al. 2021, with one sigma for all).
    """

    def __init__(self, total: float = START * ROWS, rows: float = ROWS) -> None:
        self.total, self.rows = total, rows

    def add(self, residual: float, weight: float) -> None:
        """Fold one residual."""
        self.total += weight * residual * residual
        self.rows += weight

    @property
    def sigma(self) -> float:
        """Standard deviation, in units of quality."""
        return float((self.total / self.rows) ** 0.5)
