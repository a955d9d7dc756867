"""Which row of a router's arrays belongs to which agent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from agentroute.model.candidates import Candidates, CardSet


class ArmIndex:
    """Names to rows, in the order of their first feedback; row 0 stands for the agents without.

    The rows of a card set are looked up once and cached under its SHA-256, so that a decision
    costs one gather, not a loop over agents. The cache is no part of the state.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._rows = {name: i + 1 for i, name in enumerate(names)}
        self._cache: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        """Rows in use, row 0 included."""
        return len(self._rows) + 1

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    @property
    def names(self) -> list[str]:
        """Agents in row order, from row 1 on."""
        return list(self._rows)

    def get(self, name: str) -> int:
        """The row of ``name``, 0 where it has none."""
        return self._rows.get(name, 0)

    def add(self, name: str) -> int:
        """The row of ``name``, a new one at the end where it had none."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = len(self._rows) + 1
            self._cache.clear()
        return row

    def rows(self, candidates: Candidates) -> NDArray[np.int64]:
        """Rows (n,) of the candidates."""
        return self.slots(candidates.cards)[candidates.rows]

    def slots(self, cards: CardSet) -> NDArray[np.int64]:
        """Rows (N,) of all agents of a card set."""
        rows = self._cache.get(cards.sha256)
        if rows is None:
            rows = np.fromiter((self.get(n) for n in cards.names), np.int64, len(cards.names))
            self._cache[cards.sha256] = rows
        return rows


class ArmMeans:
    """Weighted running means of one number for each arm; row 0 stays empty.

    ``sum`` and ``weight`` (S,) float64.
    """

    def __init__(self) -> None:
        self.sum = np.zeros(4)
        self.weight = np.zeros(4)

    def add(self, row: int, value: float, weight: float = 1.0) -> None:
        """Fold one value into a row."""
        while row >= len(self.sum):
            self.sum = np.concatenate([self.sum, np.zeros_like(self.sum)])
            self.weight = np.concatenate([self.weight, np.zeros_like(self.weight)])
        self.sum[row] += weight * value
        self.weight[row] += weight

    def reset(self, row: int) -> None:
        """Forget a row."""
        if row < len(self.sum):
            self.sum[row] = self.weight[row] = 0.0

    def take(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums and weights (n,) at ``rows``."""
        inside = np.where(rows < len(self.sum), rows, 0)
        return self.sum[inside], self.weight[inside]

    def shrunk(
        self, rows: NDArray[np.int64], prior: NDArray[np.float64], strength: float
    ) -> NDArray[np.float64]:
        """(n,) posterior means: the prior counts as ``strength`` observations."""
        s, w = self.take(rows)
        return (s + strength * prior) / (w + strength)

    def arrays(self, size: int) -> dict[str, NDArray[np.float64]]:
        """Copies of the first ``size`` rows, for a state."""
        self.add(size - 1, 0.0, 0.0)
        return {"sum": self.sum[:size].copy(), "weight": self.weight[:size].copy()}

    def load(self, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Continue from ``arrays``."""
        self.sum = np.array(arrays["sum"], np.float64)
        self.weight = np.array(arrays["weight"], np.float64)
