"""Terms of a score: one alone, and the sum of several."""

from __future__ import annotations

import numpy as np

from agentroute.model.arrays import F64
from agentroute.model.scores import Scores


def plain(mean: F64, term: str) -> Scores:
    """Scores of one term and no bonus."""
    return Scores(mean, np.zeros(len(mean)), {term: mean})


def total(parts: dict[str, F64]) -> F64:
    """The sum of the terms, rounding kept inside [0, 1]."""
    return np.asarray(np.clip(sum(parts.values()), 0.0, 1.0))
