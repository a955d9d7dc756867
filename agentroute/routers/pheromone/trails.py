"""Pheromone trails: how much each edge is worth for each kind of task, evaporating lazily."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64

NEUTRAL = 0.5
TINY = 1e-100


class Trails:
    """tau[row, slot] in [tau_min, 1]: one row for a (kind of task, source), one slot an agent.

    An event on kind t with weight w evaporates that whole specialist by (1 - rho w), and moves the
    trail of the one edge that was used towards the quality q it brought:
        tau <- tau + max(1 / (v + 2), eta) w (q - tau),  v the visits of the edge so far,
    a signed, graded deposit whose baseline is the trail itself, so that failures repel and tau
    estimates E[q]. A rejected result (``gate``) never adds: its deposit is min(0, .).

    Evaporation is lazy: row r holds d with tau = d * scale[kind of r], and an event multiplies one
    scale. Values are clamped when read, and before a deposit, which equals clamping at every step:
    a decaying value that meets tau_min stays there. So an event is O(1) in the size of the table.

    An edge nobody walked reads as the mean of the walked ones in its row, 0.5 in an empty row.
    """

    def __init__(self, *, rho: float = 0.001, eta: float = 0.01, tau_min: float = 0.02) -> None:
        self.rho, self.eta, self.tau_min = rho, eta, tau_min
        self.kinds: dict[str, int] = {}
        self.rows: dict[tuple[str, str], int] = {}
        self.scale: list[float] = []
        self.kind_of: list[int] = []
        self.sum: list[float] = []
        self.walked: list[int] = []
        self.d, self.visits = np.zeros((4, 16)), np.zeros((4, 16))
        self._view()

    def row(self, kind: str, source: str) -> int | None:
        """The row of a kind and source; None before its first deposit."""
        return self.rows.get((kind, source))

    def open_row(self, kind: str, source: str) -> int:
        """The row of a kind and source, a new one where there is none."""
        key = (kind, source)
        if key not in self.rows:
            self.rows[key] = len(self.rows)
            self.kind_of.append(self._kind(kind))
            self.sum.append(0.0)
            self.walked.append(0)
            if len(self.rows) > len(self.d):
                self._grow(2 * len(self.rows), self.d.shape[1])
        return self.rows[key]

    def evaporate(self, kind: str, weight: float = 1.0) -> None:
        """One event of a kind: all its trails by (1 - rho weight), O(1)."""
        t = self._kind(kind)
        s = self.scale[t] * (1.0 - self.rho * weight)
        self.scale[t] = s
        if s < TINY:
            self._rescale(t)

    def deposit(self, row: int, slot: int, quality: float, weight: float, *, gate: bool) -> float:
        """Walk an edge with what it brought; returns the change of tau. O(1)."""
        if slot >= self.d.shape[1]:
            self._grow(len(self.d), 2 * slot + 2)
        i, s, low = row * self.d.shape[1] + slot, self.scale[self.kind_of[row]], self.tau_min
        d, visits = self._d, self._visits  # flat views: a scalar costs a third of an array's
        v, old = visits[i], d[i]
        tau = old * s if v else self.unwalked(row)
        tau = low if tau < low else tau
        step = 1.0 / (v + 2.0)
        change = weight * (step if step > self.eta else self.eta) * (quality - tau)
        if change > 0.0 and not gate:
            change = 0.0
        new = tau + change
        new = low if new < low else (1.0 if new > 1.0 else new)
        d[i] = new / s
        visits[i] = v + weight
        self.sum[row] += new / s - old
        if not v:
            self.walked[row] += 1
        return new - tau

    def unwalked(self, row: int) -> float:
        """What an edge of this row reads as before anybody walked it: the mean of the others."""
        if not self.walked[row]:
            return NEUTRAL
        return self._clamp(self.sum[row] * self.scale[self.kind_of[row]] / self.walked[row])

    def read(self, row: int, slots: NDArray[np.int64]) -> tuple[F64, F64]:
        """(n,) trails and visits of the edges from a row to the agents at ``slots``.

        A slot at or beyond the table's width is an agent that nobody ever walked to.
        """
        inside = slots < self.d.shape[1]
        at = np.where(inside, slots, 0)
        v = np.where(inside, self.visits[row, at], 0.0)
        tau = np.clip(self.d[row, at] * self.scale[self.kind_of[row]], self.tau_min, 1.0)
        return np.where(v > 0.0, tau, self.unwalked(row)), v

    def arrays(self, slots: int) -> dict[str, NDArray[Any]]:
        """Everything, for the first ``slots`` agents; row keys are in ``meta``."""
        n = len(self.rows)
        self._grow(max(len(self.d), n), max(self.d.shape[1], slots))
        return {
            "d": self.d[:n, :slots].copy(),
            "visits": self.visits[:n, :slots].copy(),
            "scale": np.array(self.scale),
            "kind_of": np.array(self.kind_of, np.int64),
            "sum": np.array(self.sum),
            "walked": np.array(self.walked, np.int64),
        }

    def meta(self) -> dict[str, Any]:
        """Names of the kinds and keys of the rows, as JSON."""
        return {"kinds": list(self.kinds), "rows": [list(k) for k in self.rows]}

    def load(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from ``meta()`` and ``arrays()``."""
        self.kinds = {k: i for i, k in enumerate(meta["kinds"])}
        self.rows = {(k, s): i for i, (k, s) in enumerate(meta["rows"])}
        self.scale = arrays["scale"].tolist()
        self.kind_of, self.sum = arrays["kind_of"].tolist(), arrays["sum"].tolist()
        self.walked = arrays["walked"].tolist()
        n, slots = arrays["d"].shape
        size = (max(4, n), max(16, slots))
        self.d, self.visits = np.zeros(size), np.zeros(size)
        self.d[:n, :slots], self.visits[:n, :slots] = arrays["d"], arrays["visits"]
        self._view()

    def _kind(self, kind: str) -> int:
        if kind not in self.kinds:
            self.kinds[kind] = len(self.kinds)
            self.scale.append(1.0)
        return self.kinds[kind]

    def _clamp(self, tau: float) -> float:
        return min(max(tau, self.tau_min), 1.0)

    def _rescale(self, t: int) -> None:
        """Fold a scale that became tiny into its rows; once in hundreds of thousands of events."""
        for r, k in enumerate(self.kind_of):
            if k == t:
                self.d[r] *= self.scale[t]
                self.sum[r] *= self.scale[t]
        self.scale[t] = 1.0

    def _grow(self, rows: int, slots: int) -> None:
        more = [(0, rows - len(self.d)), (0, slots - self.d.shape[1])]
        if more != [(0, 0), (0, 0)]:
            self.d, self.visits = np.pad(self.d, more), np.pad(self.visits, more)
            self._view()

    def _view(self) -> None:
        self._d: Any = self.d.reshape(-1).data
        self._visits: Any = self.visits.reshape(-1).data
