"""Probe answers that disagree ask for more (ACAR, arXiv 2602.21231), with what it left open closed.

The probes are different agents, asked one after another, so that two that agree cost two calls.
The extra answers of the lite mode vote, so they can change the answer. Agreement is audited at
random: a share of the agreeing tasks is asked further, which measures P(wrong | agreement).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.checks import share, whole
from agentroute.choosing.depth.protocol import Accept, AskMore, Escalate, Seen, Step, majority
from agentroute.errors import ConfigError
from agentroute.model.scores import Scores

Mode = Literal["single", "lite", "full"]
MODES = ("auto", "single", "lite", "full")


@dataclass(frozen=True)
class Sigma:
    """``probes`` answers first, two at once and then one by one; sigma says the mode.

    sigma 0 is *single*: the answer stands. Below 1 is *lite*: ``lite`` more agents answer, and the
    majority of all stands. 1 is *full*: ``full`` more. Without a majority whoever joins judges.
    ``audit`` is the share of agreements that are looked at as if they were lite. ``mode`` overrides
    what sigma says.
    """

    probes: int = 3
    lite: int = 1
    full: int = 2
    audit: float = 0.05
    mode: str = "auto"
    name: str = field(default="sigma", init=False)

    def __post_init__(self) -> None:
        whole("probes", self.probes)
        whole("lite", self.lite)
        whole("full", self.full)
        share("audit", self.audit)
        if self.mode not in MODES:
            raise ConfigError("is no mode", field="depth.mode", hint=", ".join(MODES))

    @property
    def k_max(self) -> int:
        """The probes and the larger of both modes."""
        return self.probes + max(self.lite, self.full)

    @property
    def at_once(self) -> int:
        """How many probes are asked before anything is compared."""
        return min(2, self.probes)

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """The first probes."""
        return self.at_once, f"sigma: {self.at_once} of {self.probes} probes"

    def next(self, seen: Seen, rng: np.random.Generator) -> Step:
        """More probes while they disagree, then by the mode, then the majority or a judge."""
        if not seen.answers:
            return self._more(seen, 1, "no probe answered") or Accept(None, "nobody answered")
        if seen.asked >= self.probes or not seen.left:
            return self._by_mode(seen, rng)
        if seen.sigma > 0 or len(seen.answers) < self.at_once:
            why = f"sigma {seen.sigma:.2f} after {len(seen.answers)} answers: one probe more"
            return AskMore(1, why)
        return self._by_mode(seen, rng)

    def _by_mode(self, seen: Seen, rng: np.random.Generator) -> Step:
        if seen.asked > self.probes or (seen.sigma == 0 and seen.asked > self.at_once):
            return self._settled(seen)
        mode = self.mode_of(seen.sigma)
        said = f"sigma {seen.sigma:.2f}: {mode}"
        if self.mode != "auto":
            said += f" (mode {self.mode} is set)"
        if mode == "single":
            return self._audited(seen, said, rng)
        extra = self._more(seen, self.lite if mode == "lite" else self.full, said)
        return extra or self._settled(seen)

    def mode_of(self, sigma: float) -> Mode:
        """What a disagreement asks for, or what is set."""
        if self.mode != "auto":
            return self.mode  # type: ignore[return-value]
        return "single" if sigma == 0 else "lite" if sigma < 1 else "full"

    def _audited(self, seen: Seen, said: str, rng: np.random.Generator) -> Step:
        stands = tuple(a.agent for a in seen.groups[0])
        if not self.audit or not seen.left or self.mode != "auto":
            return Accept(stands, said)
        if rng.random() < self.audit:
            return AskMore(min(self.lite, seen.left), f"{said}; audited at random", self.audit)
        return Accept(stands, said, 1.0 - self.audit)

    def _more(self, seen: Seen, k: int, said: str) -> AskMore | None:
        k = min(k, seen.left, self.k_max - seen.asked)
        return AskMore(k, f"{said}, {k} more") if k > 0 else None

    def _settled(self, seen: Seen) -> Step:
        said = f"sigma {seen.sigma:.2f} over {len(seen.answers)} answers"
        found: Any = majority(seen, f"{said}: the majority stands")
        return found or Escalate(f"{said}: no majority, whoever joins judges")
