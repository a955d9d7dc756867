"""Single, dual or explore by two thresholds on the router's calibrated confidence (PRISM)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.calibration import calibrated, checked_knots
from agentroute.choosing.depth.checks import share, whole
from agentroute.choosing.depth.protocol import (
    Accept,
    AskMore,
    Escalate,
    Seen,
    Step,
    best_expected,
    majority,
)
from agentroute.model.scores import Scores

Mode = Literal["single", "dual", "explore"]


@dataclass(frozen=True)
class Confidence:
    """With p1 >= p2 the two best calibrated expectations: *single* from ``tau_c`` with a lead of
    ``tau_a``, *dual* from ``tau_c`` without it, else *explore*, ``k_max`` agents.

    A dual that disagrees asks a third agent, and the majority stands, whoever it is. Of an explore
    the majority of those that answered stands; without one, the answer of the agent that the router
    expects most of; where nobody answered, the task is refused.
    """

    tau_c: float = 0.6
    tau_a: float = 0.05
    k_max: int = 3
    calibration: Any = ()
    name: str = field(default="confidence", init=False)

    def __post_init__(self) -> None:
        share("tau_c", self.tau_c)
        share("tau_a", self.tau_a)
        whole("k_max", self.k_max, 3)
        object.__setattr__(self, "calibration", checked_knots(self.calibration))

    def mode_of(self, p1: float, p2: float) -> Mode:
        """Both bounds belong to the mode above them."""
        if p1 < self.tau_c:
            return "explore"
        return "single" if p1 - p2 >= self.tau_a - 1e-12 else "dual"

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """1, 2 or ``k_max``."""
        p = calibrated(self.calibration, scores.mean[np.isfinite(scores.mean)])
        if len(p) < 2:
            return 1, "confidence: single, there is one candidate"
        p2, p1 = (float(x) for x in np.partition(p, len(p) - 2)[-2:])
        mode = self.mode_of(p1, p2)
        k = {"single": 1, "dual": 2, "explore": self.k_max}[mode]
        return k, f"confidence: {mode}, {p1:.2f} before {p2:.2f}"

    def next(self, seen: Seen, rng: np.random.Generator) -> Step:
        """Accept what agrees; a third opinion on two that do not; then majority or the best."""
        n = len(seen.answers)
        if n and seen.sigma == 0:
            return Accept(tuple(a.agent for a in seen.answers), f"{n} of {n} agree")
        if n < 3 and seen.left and seen.asked < self.k_max:
            why = "two disagree: a third decides" if n else "nobody answered: one more"
            return AskMore(1, why)
        found: Accept | Escalate | None = majority(seen, f"the majority of {n} stands")
        top = best_expected(seen)
        return found or Accept(
            top or None, f"no majority of {n}: the most expected stands" if n else "nobody answered"
        )
