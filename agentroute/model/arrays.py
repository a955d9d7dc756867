"""The arrays of the decision path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]


@runtime_checkable
class Embedder(Protocol):
    """Turns text into vectors. ``id`` names the space: state learned in one never fits another."""

    id: str
    dim: int

    def encode(self, texts: Sequence[str]) -> F32:
        """(n, dim) float32, rows L2-normalised; an empty text is a row of zeros.

        Deterministic, and a row does not depend on its neighbours. An implementation may bound
        how much of a text it reads, and says so.
        """


def or_nan(values: Iterable[float | None]) -> F64:
    """(n,) the values as an array, NaN where there is none."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
