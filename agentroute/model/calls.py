"""What an agent is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from agentroute.model.record import Part
from agentroute.model.tasks import Task

INPUTS = "inputs"  # what a card requires that works on whatever earlier tasks replied

# Beyond any real call. Sums over millions of calls then stay exact and fit a column of 64 bits.
MAX_TOKENS = 10**12
MAX_CPU_S = 1e9
MAX_COST_USD = 1e9


class Usage(Part):
    """What a call used."""

    input_tokens: int = Field(0, ge=0, le=MAX_TOKENS)
    """Tokens read."""
    output_tokens: int = Field(0, ge=0, le=MAX_TOKENS)
    """Tokens written."""
    cpu_s: float = Field(0.0, ge=0, le=MAX_CPU_S)
    """CPU seconds of the call's process."""
    cost_usd: float | None = Field(None, ge=0, le=MAX_COST_USD)
    """None means: the card's pricing says."""

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens


UNSENT = Usage()  # of a call that failed before anybody could be paid for it


class Artifact(Part):
    """A file that a call left in its own folder."""

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00]+$")
    """A plain file name."""
    path: str
    """Where it is; inside the call's folder."""
    media_type: str = "application/octet-stream"
    """As on the web."""


class Citation(Part):
    """Where a statement comes from."""

    source: str
    """A file, a page, a table."""
    locator: str = ""
    """Where in it."""
    quote: str = ""
    """The words themselves."""


class AgentReply(Part):
    """An agent's answer."""

    text: str = ""
    """For people."""
    data: Any = None
    """JSON, for the next agent."""
    artifacts: tuple[Artifact, ...] = ()
    """Files in the call's folder."""
    citations: tuple[Citation, ...] = ()
    """What it rests on."""
    confidence: float | None = Field(None, ge=0, le=1)
    """The agent's own, in [0, 1]."""
    abstained: bool = False
    """It does not know."""
    incomplete: str = Field("", max_length=500)
    """Why this is not the whole answer; '' where it is. The run then ends ``degraded``."""
    usage: Usage = Usage()
    """What it took."""


@dataclass(frozen=True, slots=True)
class AgentCall:
    """What an agent is given."""

    task: Task
    """What to do."""
    inputs: dict[str, AgentReply] = field(default_factory=dict)
    """Replies of the direct inputs (HYBRID: of all ancestors) by task id."""
    params: dict[str, Any] = field(default_factory=dict)
    """The task's, over the card's."""
    call_id: str = ""
    """``run:task:attempt:agent``; serves as an idempotency key."""
    deadline_s: float = 30.0
    """Seconds that are left for this call."""
    budget_usd: float | None = None
    """Money that is left for this call."""
    workdir: Path = Path()
    """Where files go, and nowhere else."""
    transcript: tuple[tuple[str, str], ...] = ()
    """SEQUENTIAL: ``(task_id, text)`` of the tasks before, in order."""


ASKED_AGAIN = "asked_again"  # of a call's params: a lead's words on why the task is repeated


def handed_over(inputs: Mapping[str, AgentReply]) -> frozenset[str]:
    """What earlier tasks give: ``inputs`` where any replied, and the keys of their data."""
    keys = {k for r in inputs.values() if isinstance(r.data, dict) for k in r.data}
    return frozenset(keys | {INPUTS} if inputs else keys)


OnChunk = Callable[[str], None]
