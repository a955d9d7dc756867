"""An agent that does several things well: a few directions of success for each arm, not one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.model.arrays import F32, F64, Ints

M, NEAREST, PULL = 8, 8, 0.5


class Facets:
    """cos' = cos + PULL max(0, max_j cos(e, T_aj) - max(0, cos)): near is who has a facet near.

    ``T`` (S, M, e) float64 sums of texts that arm a did well; ``used`` (S,) facets in use. A text
    opens a facet while one is free, then joins the nearest (sequential k-means, MacQueen 1967),
    so a fold is O(M e) whatever the number of arms. ``U`` (S, M, e) float32 are the unit facets
    for serving, derived from ``T``. Row 0, the arms without feedback, stays empty, and so does the
    last, which stands for arms beyond.

    A decision looks at the facets of the ``NEAREST`` candidates by cosine alone, and of those
    level with the last of them: the others are too far behind to come first by a facet.
    """

    def __init__(self) -> None:
        self.T: F64 = np.zeros((1, M, 0))
        self.U: F32 = np.zeros((1, M, 0), np.float32)
        self.used: Ints = np.zeros(1, np.int64)

    def lift(self, cos: F64, rows: Ints, embedding: F32) -> F64:
        """(n,) what facets add to the cosines ``cos`` (n,) of the arms ``rows`` (n,)."""
        n, out = len(cos), np.zeros(len(cos))
        if len(self.used) == 1:
            return out
        least = np.partition(cos, n - NEAREST)[n - NEAREST] if n > NEAREST else -1.0
        at = (cos >= least).nonzero()[0]
        near = self.U.take(rows.take(at), axis=0, mode="clip")  # the last row is never in use
        with one_thread():
            best = (near.reshape(-1, near.shape[2]) @ embedding).reshape(-1, M).max(axis=1)
        gap = best - np.maximum(cos.take(at), 0.0)
        out[at] = PULL * np.maximum(gap, 0.0)
        return out

    def own_lift(self, cos: float, row: int, e: F64) -> float:
        """The same for one arm in float64, from the truth ``T``."""
        if row >= len(self.used) or not self.used[row]:
            return 0.0
        return PULL * max(0.0, float((_unit(self.T[row]) @ e).max()) - max(0.0, cos))

    def fold(self, row: int, e: F64, weight: float) -> None:
        """A text that the arm did well, to the extent of ``weight`` > 0."""
        self._reach(row, len(e))
        j = int(self.used[row])
        if j < M:
            self.used[row] += 1
        else:
            j = int((_unit(self.T[row]) @ e).argmax())
        self.T[row, j] += weight * e
        self.U[row, j] = _unit(self.T[row, j])

    def reset(self, row: int) -> None:
        """Forget an arm."""
        if row < len(self.used):
            self.T[row] = self.U[row] = self.used[row] = 0

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, for a state."""
        return {"T": self.T.copy(), "used": self.used.copy()}

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Continue from ``arrays``."""
        self.T = np.array(arrays["T"], np.float64)
        self.used = np.array(arrays["used"], np.int64)
        self.U = _unit(self.T).astype(np.float32)

    def _reach(self, row: int, e: int) -> None:
        if row < len(self.used) - 1 and self.T.shape[2]:
            return
        old, size = self.T, max(row + 2, 2 * len(self.used))
        self.T, self.U = np.zeros((size, M, e)), np.zeros((size, M, e), np.float32)
        self.used = np.concatenate([self.used, np.zeros(size - len(self.used), np.int64)])
        if old.shape[2]:
            self.T[: len(old)], self.U[: len(old)] = old, _unit(old)


def _unit(t: F64) -> F64:
    """Vectors along the last axis scaled to length 1; zeros stay zeros."""
    length = np.sqrt((t * t).sum(axis=-1, keepdims=True))
    unit: F64 = np.divide(t, length, out=np.zeros_like(t), where=length > 0.0)
    return unit
