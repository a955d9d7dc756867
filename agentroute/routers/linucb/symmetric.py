"""A row of symmetric matrices that are saved as triangles, and unpacked when one is asked for.

A choice among the agents of a long ledger needs the loaded matrices of none of them: only an
update does, of its own arm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64


class Symmetric:
    """S symmetric matrices (d, d), float64; ``packed()`` and ``load`` keep every bit of them.

    Example:
        >>> m = Symmetric(2)
        >>> m.append(np.array([[1.0, 2.0], [2.0, 5.0]]))
        >>> m.packed().tolist()
        [[1.0, 2.0, 5.0]]
    """

    def __init__(self, d: int) -> None:
        self.d = d
        self._whole: list[F64 | None] = []
        self._packed: NDArray[Any] = np.zeros((0, d * (d + 1) // 2))
        self._from: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._whole)

    def __iter__(self) -> Iterator[F64]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> F64:
        whole = self._whole[row]
        if whole is None:
            whole = self._packed[row].take(self._unpacking()).reshape(self.d, self.d)
            self._whole[row] = whole
        return whole

    def __setitem__(self, row: int, matrix: F64) -> None:
        self._whole[row] = matrix

    def append(self, matrix: F64) -> None:
        """One more."""
        self._whole.append(matrix)

    def packed(self) -> F64:
        """Their upper triangles, row by row (S, d (d + 1) / 2)."""
        at = np.ravel_multi_index(np.triu_indices(self.d), (self.d, self.d))
        return np.array(
            [self._packed[i] if m is None else m.take(at) for i, m in enumerate(self._whole)]
        )

    def load(self, packed: NDArray[Any]) -> None:
        """Become the matrices of ``packed()``."""
        self._packed, self._whole = packed, [None] * len(packed)

    def _unpacking(self) -> NDArray[np.int64]:
        """(d * d,) where each number of a matrix stands in its triangle."""
        if self._from is None:
            at = np.zeros((self.d, self.d), np.int64)
            i, j = np.triu_indices(self.d)
            at[i, j] = at[j, i] = np.arange(len(i))
            self._from = at.ravel()
        return self._from
