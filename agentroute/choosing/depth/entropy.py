"""As many agents as the router is undecided between."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.checks import share, whole
from agentroute.errors import ConfigError
from agentroute.model.scores import Scores


@dataclass(frozen=True)
class Entropy:
    """``exp(H(p))`` agents, rounded, from 1 to ``k_max``: the number that could as well be best.

    H is the entropy of ``p = softmax((mean + bonus) / temperature)``: agents whose utilities lie
    further apart than the temperature do not compete.
    """

    k_max: int = 3
    temperature: float = 0.02
    name: str = field(default="entropy", init=False)

    def __post_init__(self) -> None:
        whole("k_max", self.k_max)
        if not share("temperature", self.temperature):
            raise ConfigError("must be above 0", field="depth.temperature")

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """1 to ``k_max``; screened-out candidates (NaN) do not count."""
        u = scores.mean + scores.bonus
        u = u[np.isfinite(u)]
        if len(u) < 2:
            return 1, ""
        w = np.exp((u - u.max()) / self.temperature)
        p = w / w.sum()
        h = float(-(p * np.log(np.maximum(p, 1e-300))).sum())
        k = min(self.k_max, max(1, round(math.exp(h))))
        return k, "" if k == 1 else f"{math.exp(h):.1f} agents could be best: {k} answer"
