"""What became of a task: the value that goes through the graph in place of an exception."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentroute.model.calls import AgentReply
from agentroute.planning.lead import Report, ReportStatus

MISSING = 1_000  # characters of what went wrong with a task that its report repeats


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A task's end. ``said`` tells people in words what went wrong on the way, also on success.

    ``reply`` is the task's answer (of a team: joined), ``replies`` each agent's own; ``tried``
    all agents that were called or refused; ``sha`` the stored reply.
    """

    task_id: str
    status: ReportStatus
    agents: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    reply: AgentReply | None = None
    replies: dict[str, AgentReply] = field(default_factory=dict)
    sha: str | None = None
    said: tuple[str, ...] = ()
    attempt: int = 1
    issued: int = 1
    decision_id: str = ""

    def report(self) -> Report:
        """For the lead."""
        reply = self.reply or AgentReply()
        missing = "; ".join(dict.fromkeys(filter(None, [reply.incomplete, *self.said])))
        return Report(
            self.task_id, self.status, self.tried, self.issued, reply.text, reply.confidence,
            missing[:MISSING],
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """For the graph's state: plain JSON, the reply by reference."""
        return {
            "task_id": self.task_id,
            "status": self.status,
            "agents": list(self.agents),
            "tried": list(self.tried),
            "reply": self.sha,
            "said": list(self.said),
            "attempt": self.attempt,
            "issued": self.issued,
            "decision_id": self.decision_id,
        }

    @classmethod
    def from_state(cls, data: dict[str, Any], reply: AgentReply | None) -> TaskOutcome:
        """The inverse of ``state``, given the stored reply."""
        return cls(
            task_id=data["task_id"],
            status=data["status"],
            agents=tuple(data["agents"]),
            tried=tuple(data["tried"]),
            reply=reply,
            sha=data["reply"],
            said=tuple(data["said"]),
            attempt=data["attempt"],
            issued=data["issued"],
            decision_id=data["decision_id"],
        )


def speaking(replies: Mapping[str, AgentReply]) -> dict[str, AgentReply]:
    """The members of a team that do not abstain."""
    return {a: r for a, r in replies.items() if not r.abstained}
