"""How many agents a task gets. Sans-IO: looks at the scores and the first choice, says a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from agentroute.choosing.decide import Choice
from agentroute.config.plugins import PartKind, is_object
from agentroute.errors import ConfigError
from agentroute.model.plans import AgentUse, Spec
from agentroute.model.scores import Scores


@runtime_checkable
class Depth(Protocol):
    """A depth policy. It keeps no state: what it says depends on what it is shown alone."""

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
        _check_k(self.k)

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
        _check_k(self.k)

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """``k`` on an ambiguous choice."""
        if choice.status != "ambiguous":
            return 1, ""
        return self.k, f"the choice is ambiguous: {self.k} agents answer"


def _check_k(k: Any) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ConfigError("must be a whole number from 1 up", field="depth.k")


DEPTHS = PartKind(
    "depth policy", "depth", "agentroute.depths",
    own={"one": Fixed, "fixed": Fixed, "overlap": Overlap},
)  # fmt: skip


def make_depth(spec: Spec | Depth, *, trusted: bool = False) -> Depth:
    """A depth policy from ``one``, ``overlap``, ``{name: fixed, k: 3}``, or the policy itself.

    Only a ``trusted`` spec, from the user's own settings or Python, may name ``module:Class``.

    Raises:
        ConfigError: an unknown name or parameter, code from an untrusted spec, or no depth policy.
    """
    made: Any = spec
    name = ""
    if not is_object(spec):
        use = AgentUse.of(spec, field="depth")
        name = use.name
        made = DEPTHS.make(name, DEPTHS.find(name, trusted=trusted), use.params)
    hint = "how_many(scores, choice) returns a number and a reason"
    depth: Depth = DEPTHS.checked(made, Depth, name=name, lacks="name or how_many", hint=hint)
    return depth
