"""A number of agents that no answer changes: always the same, or more where the choice is close."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.checks import whole
from agentroute.model.scores import Scores


@dataclass(frozen=True)
class Fixed:
    """Always ``k`` agents."""

    k: int = 1

    def __post_init__(self) -> None:
        whole("k", self.k)

    @property
    def name(self) -> str:
        """``one`` or ``fixed(k)``."""
        return "one" if self.k == 1 else f"fixed({self.k})"

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """``k``, whatever the scores."""
        return self.k, "" if self.k == 1 else f"always {self.k} agents"


@dataclass(frozen=True)
class Overlap:
    """``k`` agents where the first choice is ambiguous (the top two within the margin), else 1."""

    k: int = 2
    name: str = field(default="overlap", init=False)

    def __post_init__(self) -> None:
        whole("k", self.k)

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """``k`` on an ambiguous choice."""
        if choice.status != "ambiguous":
            return 1, ""
        return self.k, f"the choice is ambiguous: {self.k} agents answer"
