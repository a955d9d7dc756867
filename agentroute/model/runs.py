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


class Verdict(Part):
    """What the verifiers' scores say of an answer, held against what is asked of it."""

    score: float
    """The lowest verified score of a task, from 0 to 1."""
    accept_at: float
    """The score from which on the answer is accepted."""
    accepted: bool
    """Whether it was reached."""
    tasks: dict[str, float] = {}
    """Task id to its verified score."""
    words: str
    """All of it in one line; the answer starts with it where it was not accepted."""


class TaskEnd(Part):
    """How one task ended."""

    status: Literal["ok", "abstained", "failed", "skipped"]
    """``ok`` has a reply."""
    agents: tuple[str, ...] = ()
    """Who answered; several where a team did."""
    tried: tuple[str, ...] = ()
    """Everybody that was called or refused."""
    said: tuple[str, ...] = ()
    """What went wrong on the way, in words."""


class TaskResult(TaskEnd):
    """One task's answer and how it came about."""

    reply: AgentReply | None = None
    """The reply itself; of a team, the joined one. None where there is none."""

    @property
    def agent(self) -> str:
        """Who answered; '' where nobody did, or a team."""
        return self.agents[0] if len(self.agents) == 1 else ""

    @property
    def text(self) -> str:
        """The reply's words; '' where there is no reply."""
        return self.reply.text if self.reply else ""

    @property
    def data(self) -> Any:
        """The reply's JSON."""
        return self.reply.data if self.reply else None

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The reply's files."""
        return self.reply.artifacts if self.reply else ()


class RunResult(Part):
    """The answer of a run and how it came about."""

    run_id: str
    """UUIDv7."""
    status: RunStatus
    """How it ended."""
    topology: str
    """The shape it was run in."""
    answer: str
    """The text; one that was not accepted starts with the verdict's words and an empty line.

    Where everybody who was asked failed, it is a refusal: who was asked and why not. '' where
    nobody was asked.
    """
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
    tasks: dict[str, TaskEnd] = {}
    """Task id to how it ended, in the plan's order."""
    scores: tuple[dict[str, Any], ...] = ()
    """The verifier's rows."""
    verdict: Verdict | None = None
    """Whether the scores suffice; None where nothing was scored."""
    waiting: dict[str, tuple[str, ...]] = {}
    """Task id to the agents that wait for an approval."""
    goal_missed: tuple[str, ...] = ()
    """What the graph's ``fail_when`` found."""
    output: Any = None
    """Set where ``output_type`` was asked for."""

    @property
    def results(self) -> dict[str, TaskResult]:
        """Task id to its answer (text, data, files), who gave it and how the task ended."""
        return {
            v: TaskResult(**end.model_dump(), reply=self.replies.get(v))
            for v, end in self.tasks.items()
        }
