"""Settings: ``agentroute.yaml`` and ``AGENTROUTE_*`` variables, strict keys, known origins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from agentroute.config.paths import SCHEME, database_file, database_url
from agentroute.config.yaml import Document, load_yaml, problem
from agentroute.errors import ConfigError, LedgerError
from agentroute.model.plans import Synthesis, Written
from agentroute.model.record import Part

FILE = "agentroute.yaml"
PREFIX = "AGENTROUTE_"

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ObjectiveSettings(Part):
    """Weights of quality, cost and latency."""

    quality: float = Field(1.0, ge=0)
    cost: float = Field(0.0, ge=0)
    latency: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not (self.quality or self.cost or self.latency):
            raise ValueError("one of quality, cost and latency must be above 0")
        return self


class FeedbackWeights(Part):
    """From 0 (not learned from) to 1, by who says how good a result was."""

    user: float = Field(1.0, ge=0, le=1)
    test: float = Field(1.0, ge=0, le=1)
    verifier: float = Field(0.5, ge=0, le=1)
    self: float = Field(0.25, ge=0, le=1)


class FeedbackQuota(Part):
    """How much the words of one named source may weigh on one agent, once several have spoken."""

    share: float = Field(0.5, ge=0)
    """Of the weight of what all others said of the agent."""
    allowance: float = Field(5.0, ge=0)
    """And so much more: 1 is a word of a user."""


class OtelSettings(Part):
    """Where spans of runs are sent."""

    endpoint: str = Field(min_length=8, pattern=r"^https?://")
    """The whole address of an OTLP endpoint, as ``http://localhost:4318/v1/traces``."""
    content: bool = False
    """Whether texts of tasks and answers are sent too."""


class JudgeSettings(Part):
    """Who judges results that no verifier scored, when their runs are over."""

    name: str = Field(min_length=1)
    """An agent: ``judge_chat``, or another that verifies."""
    share: float = Field(1.0, ge=0, le=1)
    """Of such runs, how many are judged; drawn by the run's id."""
    capacity: int = Field(256, ge=1, le=100_000)
    """Runs that wait for it at most; more are dropped, and said."""
    drain_s: float = Field(30.0, ge=0, le=3_600)
    """Seconds that closing waits for what is not judged yet."""


class BudgetSettings(Part):
    """Bounds of one run."""

    usd: float | None = Field(None, ge=0)
    seconds: Seconds = 300.0
    max_concurrency: int = Field(8, ge=1, le=1024)


class Settings(Part):
    """Everything that a file or the environment may set; paths are relative to the file."""

    version: int = Field(1, ge=1, le=1)
    """Layout of this file."""
    agents: tuple[str, ...] = ()
    """Folders of agents, before the standard places."""
    graphs: tuple[str, ...] = ()
    """Folders of graphs, before the standard places."""
    db: str = "sqlite:///agentroute.db"
    """The ledger, a ``sqlite:///`` URL."""
    out: str = "agentroute-out"
    """Folder for artefacts."""
    state: str = "agentroute-state"
    """Folder for learned state: fitted routers and snapshots."""
    embedder: Written = "wordllama"
    """What turns text into vectors: a name, or a mapping with ``name`` and parameters."""
    router: Written = "default"
    """A name, or a mapping with ``name`` and parameters."""
    exploration: float = Field(0.05, ge=0, le=1)
    """Epsilon: share of choices spread over the candidates."""
    abstain_at: float = Field(0.5, ge=0, le=1)
    """Nobody is called where out-of-scope is at or above this."""
    margin: float = Field(0.02, ge=0, le=1)
    """The top two within this are marked ambiguous."""
    screen: int | None = Field(None, ge=1)
    """Keep the best so many before routing; None keeps all."""
    depth: Written = "one"
    """How many agents for a task: a name, or a mapping."""
    refine: Written = "refiner"
    """Who joins the answers: an agent's name, or a mapping."""
    accept_at: float = Field(0.5, ge=0, le=1)
    """A verified answer below this is tried once more, then handed over as degraded; 0: never."""
    synthesis: Synthesis | None = None
    """Work answers that do not agree out again in a closer shape: ``{theta: 0.5, most: 2}``."""
    lead: Written = "rule"
    """Who leads a hierarchical run where a graph does not say: ``rule``, an agent, or a mapping."""
    judge: JudgeSettings | None = None
    """Have results without a verifier judged beside: ``{name: judge_chat, share: 0.2}``."""
    topology: Written = "auto"
    """In what shape: ``auto`` (by rule), a shape, or ``learned``, where a graph does not say."""
    planner: Written = "default"
    """Who splits words into tasks: ``default``, ``one``, ``offline``, ``library``, ``chat``, or
    your own as ``module:NAME``."""
    feedback_weights: FeedbackWeights = FeedbackWeights()
    """How much a word of each kind of source weighs in learning."""
    feedback_quota: FeedbackQuota | None = FeedbackQuota()
    """How much of it one named source (``user:NAME``) may be, an agent; null: no bound."""
    credit: Written = "equal"
    """How a score of several is parted: equal, task_weight, last_hop, discounted, leave_one_out,
    shapley."""
    objective: ObjectiveSettings = ObjectiveSettings()
    """Weights of quality, cost and latency."""
    budget: BudgetSettings = BudgetSettings()
    """Bounds of one run."""
    otel: OtelSettings | None = None
    """Send the spans of each run: ``{endpoint: URL, content: false}``; needs the extra ``otel``."""
    seed: int = Field(0, ge=0)
    """Of all random choices."""

    @field_validator("judge", mode="before")
    @classmethod
    def _named_judge(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("db")
    @classmethod
    def _is_sqlite(cls, value: str) -> str:
        if not value.startswith(SCHEME):
            raise ValueError("only sqlite:/// URLs are supported")
        try:
            database_file(value)
        except LedgerError as e:
            raise ValueError(f"{e}; {e.hint}") from None
        return value


def settings_of(**values: Any) -> Settings:
    """Settings of values that somebody gave in Python.

    Raises:
        ConfigError: a name or number that is not accepted; names the field.
    """
    try:
        return Settings(**values)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(first["msg"].removeprefix("Value error, "), field=where) from None


class Origin(Part):
    """A setting's value and where it came from."""

    key: str
    value: Any
    origin: str


def find_file(cwd: Path | None = None) -> Path | None:
    """``agentroute.yaml`` here or in a parent folder."""
    here = (cwd or Path.cwd()).resolve()
    return next((d / FILE for d in [here, *here.parents] if (d / FILE).is_file()), None)


def load_settings(
    path: Path | None = None, *, env: Mapping[str, str] = os.environ, cwd: Path | None = None
) -> tuple[Settings, list[Origin]]:
    """The settings in force, with the origin of each key.

    Environment (``AGENTROUTE_DB``, ``AGENTROUTE_BUDGET__USD``) stands over the file, the file over
    the defaults.

    Raises:
        ConfigError: with file, line, field and hint.
    """
    file = path or find_file(cwd)
    doc = load_yaml(file) if file else Document({}, "<defaults>")
    data = dict(doc.data or {}) if isinstance(doc.data, (dict, type(None))) else doc.data
    if not isinstance(data, dict):
        raise ConfigError("must be a mapping of keys to values", path=doc.path, line=1)
    from_env = _from_env(env)
    for keys, value in from_env.items():
        _put(data, keys, value)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as e:
        bad = tuple(str(p) for p in e.errors()[0]["loc"])
        if bad in from_env:
            doc = Document(data, PREFIX + "__".join(bad).upper())
        raise problem(Settings, doc, e, ConfigError) from None
    if file:
        settings = _resolve(settings, file.parent)
    return settings, _origins(settings, doc, data, from_env)


def _from_env(env: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    skip = {"AGENTROUTE_PATH"}
    names = {n for n in env if n.startswith(PREFIX) and n not in skip}
    return {tuple(n.removeprefix(PREFIX).lower().split("__")): env[n] for n in sorted(names)}


def _put(data: dict[str, Any], keys: tuple[str, ...], value: str) -> None:
    for key in keys[:-1]:
        inner = data.get(key)
        data[key] = inner = dict(inner) if isinstance(inner, dict) else {}
        data = inner
    data[keys[-1]] = value


def _resolve(settings: Settings, base: Path) -> Settings:
    def fix(p: str) -> str:
        return str(base / Path(p).expanduser())

    return settings.model_copy(
        update={
            "agents": tuple(map(fix, settings.agents)),
            "graphs": tuple(map(fix, settings.graphs)),
            "out": fix(settings.out),
            "state": fix(settings.state),
            "db": database_url(base / database_file(settings.db)),
        }
    )


def _origins(
    settings: Settings,
    doc: Document,
    data: dict[str, Any],
    from_env: Mapping[tuple[str, ...], str],
) -> list[Origin]:
    out = []
    for key, value in settings.model_dump(mode="json").items():
        if any(k[0] == key for k in from_env):
            origin = "environment"
        elif key in data:
            origin = f"{doc.path}:{doc.line((key,))}"
        else:
            origin = "default"
        out.append(Origin(key=key, value=value, origin=origin))
    return out
