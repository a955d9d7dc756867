"""What a card alone says of an agent's quality on a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.features.threads import one_thread
from agentroute.features.vectors import silent
from agentroute.model.arrays import F32, F64
from agentroute.model.candidates import Request


@dataclass(frozen=True, slots=True)
class CardPrior:
    """m = squashed(prior_quality + slope (cos - centre)), in (0, 1).

    ``cos`` is that of prompt and card; ``centre`` the cosine that says nothing. Similarity enters
    a learner here, as the mean that residuals are taken from, and nowhere else. An empty text
    (zero vector) says nothing.
    """

    slope: float = 0.5
    centre: float = 0.3

    def mean(self, request: Request) -> F64:
        """(n,) expected quality by the cards, in [0, 1]."""
        return squashed(request.candidates.prior + self.shift(request))

    def shift(self, request: Request) -> F64:
        """(n,) slope (cos - centre): what similarity adds; 0 for an empty prompt or card."""
        if not self.slope or silent(request.embedding):
            return np.zeros(len(request.candidates))
        cos = cosines(request)
        shift = self.slope * (cos - self.centre)
        shift[cos == 0.0] = 0.0
        return shift


def unit_interval(x: F64) -> F64:
    """Values of ``x`` cut to [0, 1]; ``np.clip`` takes four times as long on short arrays."""
    return np.minimum(np.maximum(x, 0.0), 1.0)


TAIL = 0.1  # of [0, 1] at either end: where a squashed value never quite arrives


def squashed(x: F64) -> F64:
    """``x`` bent into (0, 1): itself between 0.1 and 0.9, and beyond in the same order.

    A cut at 0 would make all cards alike that are far from a prompt, and the choice a coin flip:

    >>> squashed(np.array([-0.4, -0.1, 0.5, 1.2])).round(3).tolist()
    [0.001, 0.014, 0.5, 0.995]
    """
    low, high = np.minimum(x, TAIL), np.maximum(x, 1.0 - TAIL)
    ends = TAIL * np.exp(low / TAIL - 1.0) - low - high - TAIL * np.exp((1.0 - high) / TAIL - 1.0)
    return np.asarray(x + ends + 1.0)


def cosines(request: Request) -> F64:
    """(n,) cosine of the prompt with each card, in [-1, 1]; 0 for zero vectors."""
    with one_thread():
        return (request.candidates.embedding @ request.embedding).astype(np.float64)


def serving_cosines(matrix: F32, rows: NDArray[np.int64], embedding: F32) -> F64:
    """(n,) products of ``embedding`` (e,) with the ``rows`` (n,) of ``matrix`` (N, e)."""
    few = 2 * len(rows) < len(matrix)
    with one_thread():
        cos = matrix[rows] @ embedding if few else (matrix @ embedding).take(rows)
    return cos.astype(np.float64)
