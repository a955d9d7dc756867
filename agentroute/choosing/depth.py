"""How many agents a task gets. Sans-IO: looks at the scores and the first choice, says a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentroute.choosing.decide import Choice
from agentroute.errors import ConfigError, did_you_mean
from agentroute.model.plans import AgentUse, Spec
from agentroute.model.scores import Scores


class Depth(Protocol):
    """A depth policy."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """The number of agents, at least 1, and the reason in words ('' where there is none)."""


@dataclass(frozen=True)
class Fixed:
    """Always ``k`` agents."""

    k: int = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError("must be at least 1", field="depth.k", hint="1 is the default")

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
    name: str = "overlap"

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """``k`` on an ambiguous choice."""
        if choice.status != "ambiguous":
            return 1, ""
        return self.k, f"the choice is ambiguous: {self.k} agents answer"


_KINDS = {"one": Fixed, "fixed": Fixed, "overlap": Overlap}


def make_depth(spec: Spec) -> Depth:
    """A depth policy from ``one``, ``overlap`` or ``{name: fixed, k: 3}``.

    Raises:
        ConfigError: an unknown name or parameter.
    """
    use = AgentUse.of(spec, field="depth")
    name, given = use.name, use.params
    if name not in _KINDS:
        hint = did_you_mean(name, _KINDS)
        raise ConfigError(f"no depth policy is called '{name}'", field="depth", hint=hint)
    unknown = set(given) - {"k"}
    if unknown:
        raise ConfigError(f"has no parameter '{min(unknown)}'", field="depth", hint="known: k")
    k = given.get("k", 1 if _KINDS[name] is Fixed else 2)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ConfigError("must be a whole number from 1 up", field="depth.k")
    return Fixed(k) if _KINDS[name] is Fixed else Overlap(k)
