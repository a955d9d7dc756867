"""What a card alone says of an agent's quality on a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentroute.features.threads import one_thread
from agentroute.model.scores import F64, Request


@dataclass(frozen=True, slots=True)
class CardPrior:
    """m = clip(prior_quality + slope (cos - centre), 0, 1).

    ``cos`` is that of prompt and card; ``centre`` the cosine that says nothing. Similarity enters
    a learner here, as the mean that residuals are taken from, and nowhere else. Zero vectors
    (empty text) have cosine ``centre``.
    """

    slope: float = 0.5
    centre: float = 0.3

    def mean(self, request: Request) -> F64:
        """(n,) expected quality by the cards, in [0, 1]."""
        c = request.candidates
        if not self.slope or not request.embedding.any():
            return np.clip(c.prior, 0.0, 1.0)
        return np.clip(c.prior + self.slope * (cosines(request) - self.centre), 0.0, 1.0)


def cosines(request: Request) -> F64:
    """(n,) cosine of the prompt with each card, in [-1, 1]; 0 for zero vectors."""
    with one_thread():
        return (request.candidates.embedding @ request.embedding).astype(np.float64)
