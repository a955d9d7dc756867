"""Whether anybody speaks of a prompt at all: by what cards claim, and by what was done well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.candidates import Request
from agentroute.routers.linucb.sayings import CardWords

CLAIM, LOOSE = 0.31, 0.15
LEAST, MEMORY, SIGMAS = 1_000.0, 2_000.0, 2.8
PROVEN, LIKELY = 3.0, 0.5


class Scope:
    """out_of_scope = 1/2 - margin / (2 CLAIM), margin the largest of fit_a - bar_a, cut to [0, 1].

    ``fit_a`` is how near a prompt is to what agent a says of itself and did well. ``bar_a`` is
    ``CLAIM`` for a card that gives examples: they say what it is for. A card without examples
    delimits nothing; beside such that do it claims what shares a word with it or is nearer than
    ``LOOSE``, and where no candidate gives examples nobody is refused. Once ``LEAST`` successes
    were seen, the bar of an agent with ``PROVEN`` of them is mean - SIGMAS deviations of the fits
    at which agents succeed (the last ``MEMORY`` or so); and where mean and bonus of such an agent
    reach ``LIKELY`` it is tried, since what is refused is never learned.
    The constants were chosen on train rows of clinc150 and on the questions of ``pedalworks``.
    """

    def __init__(self) -> None:
        self.sums: F64 = np.zeros(3)  # weight, fit, fit squared

    def fold(self, fit: float, weight: float) -> None:
        """A success, to the extent of ``weight`` > 0, at this fit."""
        self.sums *= 1.0 - min(1.0, weight) / MEMORY
        self.sums += weight * np.array([1.0, fit, fit * fit])

    def bar(self) -> float | None:
        """Below it agents do not succeed, as far as has been seen; None while too little has."""
        if self.sums[0] < LEAST:
            return None
        mean, square = self.sums[1:] / self.sums[0]
        return float(mean - SIGMAS * max(square - mean * mean, 0.0) ** 0.5)

    def out_of_scope(self, request: Request, fit: F64, proof: F64, hoped: F64) -> float:
        """In [0, 1], at 0.5 and above nobody should be called.

        ``fit``, ``proof`` (counted successes) and ``hoped`` (mean and bonus) are (n,), by candidate.
        """
        bars = self._bars(request, fit, proof, hoped)
        if bars is None:
            return 0.0
        margin = float((fit - bars).max())
        return min(max(0.5 - margin / (2.0 * CLAIM), 0.0), 1.0)

    def _bars(self, request: Request, fit: F64, proof: F64, hoped: F64) -> F64 | None:
        c, words = request.candidates, CardWords.of(request.candidates.cards)
        limited: NDArray[np.bool_] = np.where(c.rows >= 0, words.limited[c.rows], False)
        learned, bars = self.bar(), np.where(limited, CLAIM, LOOSE)
        proven = proof >= PROVEN if learned is not None else np.zeros(len(fit), bool)
        if not limited.any() and not proven.any():
            return None
        named = ~(limited | proven) & words.naming(request.task.prompt, c.rows)
        bars[named] = np.minimum(bars[named], fit[named])
        if learned is not None:
            bars[proven] = max(learned, LOOSE)
            likely = proven & (hoped >= LIKELY)
            bars[likely] = np.minimum(bars[likely], fit[likely])
        return bars
