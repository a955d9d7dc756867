"""All that a router may look at for one choice."""

from __future__ import annotations

from dataclasses import dataclass

from agentroute.model.arrays import F32
from agentroute.model.candidates import Candidates
from agentroute.model.objective import QUALITY_ONLY, Objective
from agentroute.model.tasks import Task


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """All that a router may look at for one choice.

    ``embedding`` (e,) float32 of the prompt; ``upstream`` the agents that made the direct inputs;
    ``stage`` the topological generation of the task; ``recorded`` a chat model's recorded reply
    that is to be used in place of a call (replay).
    """

    task: Task
    embedding: F32
    candidates: Candidates
    objective: Objective = QUALITY_ONLY
    upstream: tuple[str, ...] = ()
    stage: int = 0
    recorded: bytes | None = None
