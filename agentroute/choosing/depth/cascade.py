"""The cheapest that clears the bar first; the next only where its answer does not convince."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.calibration import calibrated, checked_knots
from agentroute.choosing.depth.checks import share, whole
from agentroute.choosing.depth.protocol import Accept, Answer, AskMore, Seen, Step, best_expected
from agentroute.model.candidates import Candidates
from agentroute.model.scores import Scores


@dataclass(frozen=True)
class Cascade:
    """One agent at a time, until an answer is at least ``accept_at`` sure, or ``k_max`` were asked.

    Asked first is the cheapest of those that the router expects ``clears_at`` of (None: as
    ``accept_at``), in order of price; then the others, the most expected first. How sure an answer
    is: a ``verifier``'s score where one is named; else what the router expects of its agent through
    ``calibration``. An agent's own confidence can lower that and never raise it: it is not to be
    trusted with its own acceptance.
    """

    accept_at: float = 0.7
    k_max: int = 3
    clears_at: float | None = None
    verifier: str | None = None
    calibration: Any = ()
    name: str = field(default="cascade", init=False)

    def __post_init__(self) -> None:
        share("accept_at", self.accept_at)
        whole("k_max", self.k_max)
        if self.clears_at is not None:
            share("clears_at", self.clears_at)
        object.__setattr__(self, "calibration", checked_knots(self.calibration))

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """One, the first of the cascade."""
        return 1, "cascade: the cheapest that clears the bar first"

    def ranked(self, scores: Scores, candidates: Candidates) -> Scores:
        """See ``Ranks``: who clears the bar by price, unknown prices last; then the others."""
        p = calibrated(self.calibration, scores.mean)
        clears = p >= (self.accept_at if self.clears_at is None else self.clears_at)
        if not clears.any():
            return scores
        cost = np.where(np.isnan(candidates.cost_usd), np.inf, candidates.cost_usd)
        place = np.lexsort((-scores.mean, cost))
        rank = np.empty(len(p))
        rank[place] = np.arange(len(p))
        # Above every other utility, and further apart than ties and margins.
        wanted = np.where(clears, 2.0 + (len(p) - rank) / 10.0, scores.mean + scores.bonus)
        return replace(scores, bonus=np.asarray(wanted - scores.mean))

    def certainty(self, a: Answer) -> float:
        """How sure an answer is, in [0, 1]."""
        if a.verified is not None:
            return a.verified
        p = float(calibrated(self.calibration, a.expected))
        return p if a.confidence is None else min(p, a.confidence)

    def next(self, seen: Seen, rng: np.random.Generator) -> Step:
        """Accept what is sure enough, else the next agent, else the surest with a word on it."""
        best = max(seen.answers, key=self.certainty, default=None)
        sure = 0.0 if best is None else self.certainty(best)
        if best is not None and sure >= self.accept_at:
            return Accept((best.agent,), f"{sure:.2f} sure, at least {self.accept_at:.2f}")
        if seen.asked < self.k_max and seen.left:
            return AskMore(1, f"{sure:.2f} sure, below {self.accept_at:.2f}: the next one")
        why = f"no answer was {self.accept_at:.2f} sure; the surest, at {sure:.2f}, stands"
        return Accept(best_expected(seen) if best is None else (best.agent,), why, short=why)
