"""Who is asked for, by what rules, and what was ruled: the words of a decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from agentroute.choosing.depth import Depth
from agentroute.choosing.depth.fixed import Fixed
from agentroute.choosing.policy import Policy
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.objective import Objective
from agentroute.model.tasks import Task
from agentroute.planning.selecting.selector import Shaping

ONE = Fixed(1)
EQUAL = Objective()


@dataclass(frozen=True, slots=True)
class Ask:
    """The question: who does ``task`` in this attempt?

    ``given`` are the keys that earlier tasks handed over; ``exclude`` agents already tried;
    ``only`` a single agent with ``policy`` and ``reason`` saying why it is not a free choice
    (pinned, retry, fallback); ``k`` how many, None as the depth policy says; ``keys`` as a
    request has them.
    """

    task: Task
    attempt: int = 1
    upstream: tuple[str, ...] = ()
    given: Collection[str] = ()
    stage: int = 0
    exclude: Collection[str] = ()
    only: str | None = None
    policy: str = ""
    reason: str = ""
    budget_left_usd: float | None = None
    left_s: float | None = None
    k: int | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A committed decision, the shadow agents that run beside it, what deciding itself cost.

    ``record`` is what the decision rested on.
    """

    decision: Decision
    shadows: tuple[str, ...] = ()
    known: bool = False
    cost_usd: float = 0.0
    record: DecisionRecord | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How this run chooses: policy, depth, objective and seed.

    ``shaping`` picks its shape where that is learned, exploring with ``shape_exploration``.
    """

    policy: Policy
    depth: Depth = ONE
    objective: Objective = EQUAL
    seed: int = 0
    shaping: Shaping | None = None
    shape_exploration: float = 0.05
