"""What a whole run came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

import orjson
from pydantic import Field, ValidationError, field_validator

from agentroute.errors import RunStateError, UsageError
from agentroute.model.calls import AgentReply, Artifact
from agentroute.model.decisions import Decision
from agentroute.model.ids import sha256
from agentroute.model.record import Part

MAX_METADATA = 16_384  # bytes: more belongs into a file, with its name here

RunStatus = Literal["completed", "degraded", "failed", "abstained", "waiting"]
RunState = Literal["new", "running", "waiting", "completed", "degraded", "failed", "abstained"]

ENDS: frozenset[RunState] = frozenset({"completed", "degraded", "failed", "abstained"})
_GOING: frozenset[RunState] = frozenset({"running", "waiting"})
# The events that move a run, from which states, and to which one; an end names itself.
RUN_STEPS: dict[str, tuple[frozenset[RunState], RunState | None]] = {
    "run.started": (frozenset({"new"}), "running"),
    "approval.needed": (_GOING, "waiting"),
    "approval.answered": (_GOING, "running"),
    "run.finished": (_GOING, None),
}


def next_state(state: RunState, event: str, end: str = "completed") -> RunState:
    """The state of a run after an event; ``end`` is the status that ``run.finished`` states.

    States go forward only: new, running, perhaps waiting and running again, one end. No event
    moves a run that has ended.

    Raises:
        RunStateError: the event cannot follow, or ``end`` is not an end.
    """
    before, after = RUN_STEPS.get(event, (frozenset({state}), state))
    if state not in before:
        raise RunStateError(
            f"a run that is {state} cannot take '{event}'",
            hint="a run starts once and ends once; begin a new one",
        )
    if after is not None:
        return after
    for known in ENDS:
        if known == end:
            return known
    raise RunStateError(f"'{end}' is not how a run ends", hint=", ".join(sorted(ENDS)))


Word = Annotated[str, Field(min_length=1, max_length=200)]


class Labels(Part):
    """What its caller says of a run, to find it again.

    No choice depends on it, but where a router keeps a session or a user with an agent: ``keys``.
    """

    tags: tuple[Word, ...] = Field((), max_length=64)
    """Words, in any number up to 64."""
    user: Word | None = None
    """On whose behalf."""
    session: Word | None = None
    """The conversation or batch that it belongs to."""
    metadata: dict[str, Any] = {}
    """Anything else that is JSON, up to 16 KiB."""

    @field_validator("metadata")
    @classmethod
    def _is_small_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(orjson.dumps(value))
        except TypeError as e:
            raise ValueError(f"is not JSON: {e}") from None
        if size > MAX_METADATA:
            raise ValueError(f"has {size:,} bytes of JSON, at most {MAX_METADATA:,} are kept")
        return value

    def written(self) -> dict[str, Any]:
        """What was said, as JSON has it; {} where nothing was."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def started(self) -> dict[str, Any]:
        """What the note of a run's start has of it: ``labels`` and ``keys``, if there are any."""
        parts = {"labels": self.written(), "keys": self.keys}
        return {name: part for name, part in parts.items() if part}

    @property
    def keys(self) -> dict[str, str]:
        """``session`` and ``user`` where they were given, each as 32 hex digits of a SHA-256.

        What routers tell sessions and users apart by: a name would be copied into every row, and
        one that looks like a secret would be redacted there, so that a replay saw another.
        """
        said = {"session": self.session, "user": self.user}
        return {k: _hashed(k, v) for k, v in said.items() if v is not None}


def _hashed(label: str, value: str) -> str:
    return sha256(f"{label}\0{value}".encode("utf-8", "surrogatepass"))[:32]


class Said(TypedDict, total=False):
    """Labels as a caller gives them."""

    tags: Sequence[str]
    user: str | None
    session: str | None
    metadata: Mapping[str, Any] | None


def labels_of(
    *,
    tags: Sequence[str] = (),
    user: str | None = None,
    session: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    resume: str | None = None,
) -> Labels:
    """The labels that a caller gives; none to a run that is resumed: it has those of its start.

    Raises:
        UsageError: they cannot be kept, or ``resume`` is set.
    """
    if isinstance(tags, str):
        raise UsageError("tags are a list of words", hint=f"tags=[{tags!r}]")
    try:
        made = Labels(tags=tuple(tags), user=user, session=session, metadata=dict(metadata or {}))
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(x) for x in first["loc"])
        raise UsageError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    if resume is not None and made.written():
        raise UsageError("a run that is resumed keeps the labels it was started with")
    return made


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
