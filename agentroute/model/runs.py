"""What a whole run came to."""

from __future__ import annotations

from typing import Any, Literal

from agentroute.model.calls import AgentReply, Artifact
from agentroute.model.decisions import Decision
from agentroute.model.record import Part

RunStatus = Literal["completed", "degraded", "failed", "abstained", "waiting"]


class RunUsage(Part):
    """Sums over all calls of a run, router and planner calls included."""

    calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    wall_s: float = 0.0


class RunResult(Part):
    """The answer of a run and how it came about.

    ``degraded`` says in words what was cut or failed; ``replies`` maps each task to its reply;
    ``scores`` are the verifier's rows; ``goal_missed`` names what the graph's ``fail_when``
    found; ``output`` is set when ``output_type`` was asked for.
    """

    run_id: str
    status: RunStatus
    topology: str
    answer: str
    data: Any = None
    degraded: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    usage: RunUsage = RunUsage()
    artifacts: tuple[Artifact, ...] = ()
    replies: dict[str, AgentReply] = {}
    scores: tuple[dict[str, Any], ...] = ()
    goal_missed: tuple[str, ...] = ()
    output: Any = None
