"""Stage one of two: a cheap score that keeps the best L candidates for the router."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.prior import cosines
from agentroute.errors import ConfigError
from agentroute.features.vectors import LATENCY_S
from agentroute.model.arrays import F64
from agentroute.model.candidates import Request


@dataclass(frozen=True, slots=True)
class Screening:
    """0.5 similarity + 0.35 reputation + 0.15 stability (Symphony-Coord, arXiv 2602.00966).

    ``keep`` is L. Similarity is (cos + 1) / 2, 0.5 for an empty text; reputation the card's prior
    quality times the share of calls without error; stability 0.4 (1 - load)
    + 0.4 (1 - latency / 2 s) + 0.2 available. An agent at its limit (load >= 1) is not available
    and comes after all that are.
    """

    keep: int = 32

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ConfigError(f"keep is {self.keep}", field="screening.keep", hint="at least 1")

    def score(self, request: Request) -> F64:
        """(n,) screening score in [0, 1]."""
        c = request.candidates
        sim = (cosines(request) + 1.0) / 2.0
        load = np.minimum(np.maximum(c.load, 0.0), 1.0)
        slow = np.minimum(c.latency_s / LATENCY_S, 1.0)
        slow[np.isnan(slow)] = 0.5
        stability = 0.4 * (1.0 - load) + 0.4 * (1.0 - slow) + 0.2 * (load < 1.0)
        return 0.5 * sim + 0.35 * c.prior * c.success + 0.15 * stability

    def keep_rows(self, request: Request) -> NDArray[np.int64] | None:
        """Positions of the best L in their old order, or None where nobody is left out.

        An agent at its limit is left out while another is available.
        """
        free = request.candidates.load < 1.0
        if len(free) <= self.keep and (free.all() or not free.any()):
            return None
        s = self.score(request)
        if free.any():
            s = np.where(free, s, -np.inf)
        return _best(s, self.keep)


def _best(s: F64, keep: int) -> NDArray[np.int64]:
    """Ascending positions of the ``keep`` largest above -inf; of those level, the first."""
    least = np.partition(s, len(s) - keep)[len(s) - keep] if len(s) > keep else -np.inf
    at = np.flatnonzero((s >= least) & (s > -np.inf))
    if len(at) > keep:
        level = at[s[at] == least]
        at = np.setdiff1d(at, level[len(level) - (len(at) - keep) :])
    return at
