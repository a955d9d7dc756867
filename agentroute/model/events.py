"""What a run tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from agentroute.model.record import Part

JUDGED = "judge.done"  # the note on a run that a judge beside the runs took up


EventType = Literal[
    "run.started",
    "plan.created",
    "decision.made",
    "agent.started",
    "agent.delta",
    "agent.finished",
    "agent.failed",
    "refine.finished",
    "verify.finished",
    "approval.needed",
    "run.finished",
]


class Event(Part):
    """One thing that happened; ``data`` depends on ``type``, ``at_s`` counts from the start."""

    type: EventType
    run_id: str
    task_id: str = ""
    agent: str = ""
    at_s: float = 0.0
    data: dict[str, Any] = {}


class Note(Part):
    """An event row of the ledger: a run's start and end, a lease, an approval, an alarm."""

    id: str
    run_id: str = ""
    type: str = Field(min_length=1)
    data: dict[str, Any] = Field(default_factory=dict)


Emit = Callable[[Event], None]
