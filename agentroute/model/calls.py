"""What an agent is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from agentroute.model.record import Part
from agentroute.model.tasks import Task

# Beyond any real call. Sums over millions of calls then stay exact and fit a column of 64 bits.
MAX_TOKENS = 10**12
MAX_CPU_S = 1e9
MAX_COST_USD = 1e9


class Usage(Part):
    """What a call used. ``cost_usd`` None means: let the card's pricing say."""

    input_tokens: int = Field(0, ge=0, le=MAX_TOKENS)
    output_tokens: int = Field(0, ge=0, le=MAX_TOKENS)
    cpu_s: float = Field(0.0, ge=0, le=MAX_CPU_S)
    cost_usd: float | None = Field(None, ge=0, le=MAX_COST_USD)

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens


class Artifact(Part):
    """A file that a call left in its own folder. ``name`` is a plain file name."""

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00]+$")
    path: str
    media_type: str = "application/octet-stream"


class Citation(Part):
    """Where a statement comes from."""

    source: str
    locator: str = ""
    quote: str = ""


class AgentReply(Part):
    """An agent's answer. ``data`` is JSON for the next agent, ``text`` is for people.

    ``confidence`` in [0, 1] is the agent's own; ``abstained`` says that it does not know.
    """

    text: str = ""
    data: Any = None
    artifacts: tuple[Artifact, ...] = ()
    citations: tuple[Citation, ...] = ()
    confidence: float | None = Field(None, ge=0, le=1)
    abstained: bool = False
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class AgentCall:
    """What an agent is given.

    Shapes and units: ``inputs`` maps the id of a direct input (HYBRID: any ancestor) to its
    reply; ``transcript`` (SEQUENTIAL) lists ``(task_id, text)`` so far; ``deadline_s`` and
    ``budget_usd`` are what is left for this call. ``call_id`` is ``run:task:attempt:agent`` and
    serves as an idempotency key. Files go into ``workdir`` and nowhere else.
    """

    task: Task
    inputs: dict[str, AgentReply] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    call_id: str = ""
    deadline_s: float = 30.0
    budget_usd: float | None = None
    workdir: Path = Path()
    transcript: tuple[tuple[str, str], ...] = ()


OnChunk = Callable[[str], None]
