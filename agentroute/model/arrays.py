"""The arrays of the decision path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]


MAX_CHARS = 20_000  # embedders read this much of a text and no more


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


def normalise(x: F32) -> F32:
    """Rows scaled to length 1; rows of zeros stay zeros."""
    n = np.linalg.norm(x, axis=-1, keepdims=True)
    return (x / np.where(n > 0, n, 1.0)).astype(np.float32)
