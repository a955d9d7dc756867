"""What a whole run came to."""

from __future__ import annotations

from typing import Any, Literal

from agentroute.model.calls import AgentReply, Artifact
from agentroute.model.decisions import Decision
from agentroute.model.record import Part

RunStatus = Literal["completed", "degraded", "failed", "abstained", "waiting"]


class RunUsage(Part):
    """Sums over all calls of agents in a run, failed ones included."""

    calls: int = 0
    """Attempts that were made."""
    tokens: int = 0
    """Input and output together."""
    cost_usd: float = 0.0
    """What they cost."""
    wall_s: float = 0.0
    """From start to end."""


class RunResult(Part):
    """The answer of a run and how it came about."""

    run_id: str
    """UUIDv7."""
    status: RunStatus
    """How it ended."""
    topology: str
    """The shape it was run in."""
    answer: str
    """The text."""
    data: Any = None
    """The answer as JSON, where the last agent gave any."""
    degraded: tuple[str, ...] = ()
    """What was cut or failed, in words."""
    decisions: tuple[Decision, ...] = ()
    """Every choice, in seq order."""
    usage: RunUsage = RunUsage()
    """Sums over its calls."""
    artifacts: tuple[Artifact, ...] = ()
    """Files that stay."""
    replies: dict[str, AgentReply] = {}
    """Task id to its reply."""
    scores: tuple[dict[str, Any], ...] = ()
    """The verifier's rows."""
    waiting: dict[str, tuple[str, ...]] = {}
    """Task id to the agents that wait for an approval."""
    goal_missed: tuple[str, ...] = ()
    """What the graph's ``fail_when`` found."""
    output: Any = None
    """Set where ``output_type`` was asked for."""
