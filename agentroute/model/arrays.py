"""The arrays of the decision path."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


F64 = NDArray[np.float64]
