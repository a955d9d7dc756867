"""When an agent is no longer what it was: a change-point test on its residuals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import ConfigError
from agentroute.model.arrays import F64

DELTA = 0.25


class PageHinkley:
    """One-sided test per arm that quality has dropped (Page 1954; Hinkley 1971).

    With e = observed - predicted: m <- max(0, m - e - delta); an alarm where m > threshold.
    The first ``burn_in`` rows of an arm are not tested: there the prediction is still the card's.
    ``delta``, half of the smallest drop worth a reset, decides how rare false alarms are: with
    the defaults none in 3 million rows of a fair coin (0.15 gave one in 18,000), and an agent
    that dies is found after about 10 rows, one that falls from 0.9 to 0.5 after about 34.
    ``threshold`` None switches the test off.
    """

    def __init__(
        self, threshold: float | None = 6.0, delta: float = DELTA, burn_in: int = 30
    ) -> None:
        if (threshold is not None and threshold <= 0) or delta < 0 or burn_in < 0:
            raise ConfigError("drift needs threshold > 0, delta >= 0, burn_in >= 0", field="router")
        self.threshold, self.delta, self.burn_in = threshold, delta, burn_in
        self.m: F64 = np.zeros(4)
        self.seen: NDArray[np.int64] = np.zeros(4, np.int64)
        self.alarms = 0

    def dropped(self, row: int, e: float) -> bool:
        """Fold the residual ``e`` of an arm; True (and start over) where its quality dropped."""
        if self.threshold is None:
            return False
        self._reach(row)
        self.seen[row] += 1
        if self.seen[row] <= self.burn_in:
            return False
        self.m[row] = max(0.0, self.m[row] - e - self.delta)
        if self.m[row] <= self.threshold:
            return False
        self.m[row], self.seen[row] = 0.0, 0
        self.alarms += 1
        return True

    def arrays(self, size: int) -> dict[str, NDArray[np.generic]]:
        """Copies of the first ``size`` rows, for a state."""
        self._reach(size - 1)
        return {"m": self.m[:size].copy(), "seen": self.seen[:size].copy()}

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from ``arrays``."""
        self.m = np.array(arrays["m"], np.float64)
        self.seen = np.array(arrays["seen"], np.int64)

    def _reach(self, row: int) -> None:
        while row >= len(self.m):
            self.m = np.concatenate([self.m, np.zeros_like(self.m)])
            self.seen = np.concatenate([self.seen, np.zeros_like(self.seen)])
