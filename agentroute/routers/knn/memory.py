"""A bounded memory of tasks and what agents scored on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64


class TaskMemory:
    """A ring of M tasks: ``keys`` (M, d) float32, ``quality`` (M, S) float32, NaN where unseen.

    ``abstain`` (M,) marks tasks nobody should answer, ``decisions`` names the decision that each
    task is of ('' for none). The oldest task makes room for a new one.
    """

    def __init__(self, capacity: int, d: int, arms: int) -> None:
        self.capacity = capacity
        self.size = self.next = 0
        self.keys: F32 = np.zeros((0, d), np.float32)
        self.quality: F32 = np.zeros((0, arms), np.float32)
        self.abstain: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.decisions: list[str] = []
        self._places: dict[str, int] = {}

    def place_of(self, decision: str) -> int | None:
        """Where the task of a decision is, None where it is not (any more)."""
        return self._places.get(decision)

    def put(self, key: F64, decision: str = "") -> int:
        """Store a task, return its place."""
        place = self.next
        if place >= len(self.keys):
            self._grow(min(self.capacity, max(64, 2 * len(self.keys))))
        self.keys[place] = key
        self.quality[place] = np.nan
        self.abstain[place] = False
        self._name(place, decision)
        self.size = max(self.size, place + 1)
        self.next = (place + 1) % self.capacity
        return place

    def _name(self, place: int, decision: str) -> None:
        if place < len(self.decisions):
            self._places.pop(self.decisions[place], None)
            self.decisions[place] = decision
        else:
            self.decisions.append(decision)
        if decision:
            self._places[decision] = place

    def fill(
        self,
        keys: F32,
        quality: F32,
        abstain: NDArray[np.bool_],
        decisions: Sequence[str] | None = None,
    ) -> None:
        """Replace everything; the last ``capacity`` tasks stay."""
        tail = slice(-self.capacity, None)
        self.keys, self.quality = keys[tail].copy(), quality[tail].copy()
        self.abstain = abstain[tail].copy()
        self.size = len(self.keys)
        self.decisions = list(decisions or [""] * len(keys))[tail]
        self._places = {d: i for i, d in enumerate(self.decisions) if d}
        self.next = self.size % self.capacity

    def widen(self, d: int, arms: int) -> None:
        """Longer keys (padded with 0) and more arms (padded with NaN)."""
        if d > self.keys.shape[1]:
            self.keys = _pad(self.keys, d, 0.0)
        if arms > self.quality.shape[1]:
            self.quality = _pad(self.quality, max(arms, 2 * self.quality.shape[1]), np.nan)

    def nearest(self, key: F64, k: int) -> tuple[NDArray[np.int64], F64]:
        """Places and similarities of the ``k`` nearest tasks, nearest first (ties: older place)."""
        with one_thread():
            s = self.keys[: self.size] @ key.astype(np.float32)
        near = np.argpartition(-s, k - 1)[:k] if k < self.size else np.arange(self.size)
        near = near[np.lexsort((near, -s[near]))]
        return near, s[near].astype(np.float64)

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self.keys)
        pad = [(0, more), (0, 0)]
        self.keys = np.pad(self.keys, pad)
        self.quality = np.pad(self.quality, pad, constant_values=np.nan)
        self.abstain = np.pad(self.abstain, (0, more))


def _pad(a: F32, width: int, value: float) -> F32:
    return np.pad(a, [(0, 0), (0, width - a.shape[1])], constant_values=value)
