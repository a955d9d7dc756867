"""What an agent says of itself: the capability card."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from agentroute.model.record import Part, json_only

Isolation = Literal["process", "inline"]
Status = Literal["draft", "shadow", "canary", "active", "retired"]

# Finite times the largest usage, so that no cost and no sum of costs overflows.
MAX_PRICE_USD = 1e9

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.\- ]{0,118}[A-Za-z0-9_.\-])?")

TEXT = "text"  # what every task has: its prompt
Key = Annotated[str, Field(min_length=1, max_length=120)]
# A plain top-level name: looking for a dotted one would import its parent.
Module = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Install = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-\[\],<>=!~]{0,119}$")]


class Skill(Part):
    """One thing an agent can do (A2A ``AgentSkill``)."""

    id: str = Field(min_length=1, max_length=120)
    """What tasks require it by."""
    name: str = ""
    """For people."""
    description: str = ""
    """What it is for."""
    tags: tuple[str, ...] = ()
    """Words that it goes under."""
    examples: tuple[str, ...] = ()
    """Prompts that it fits."""
    input_modes: tuple[str, ...] = ()
    """Media types; the card's where empty."""
    output_modes: tuple[str, ...] = ()
    """Media types; the card's where empty."""


class Pricing(Part):
    """What a call costs, in US dollars; all parts add up."""

    call_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    """A call."""
    cpu_s_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    """A measured CPU second (local agents)."""
    input_mtok_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    """A million tokens read."""
    output_mtok_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    """A million tokens written."""
    expected_usd: float | None = Field(
        None, ge=0, le=MAX_PRICE_USD, description="typical cost of one call"
    )
    """A typical call: what is known before the first one."""

    @property
    def stated_usd(self) -> float | None:
        """Expected dollars of a call, by the card alone; None where it does not say."""
        if self.expected_usd is not None:
            return self.expected_usd
        measured = self.cpu_s_usd or self.input_mtok_usd or self.output_mtok_usd
        return self.call_usd if self.call_usd and not measured else None


class Limits(Part):
    """Bounds on a single agent."""

    timeout_s: float = Field(30.0, gt=0, le=86_400)
    """Of one call."""
    max_attempts: int = Field(2, ge=1, le=10)
    """Calls of one task, the first included."""
    max_concurrency: int = Field(4, ge=1, le=10_000)
    """Calls at once."""
    cooldown_failures: int = Field(3, ge=1, le=1_000_000)
    """Failures in a row that open the breaker."""
    cooldown_s: float = Field(60.0, ge=0, le=31_536_000)
    """How long it stays open."""
    memory_mb: int = Field(16_384, ge=64, le=16_777_216)
    """Address space of each of its processes."""
    processes: int = Field(512, ge=1, le=1_000_000)
    """Processes and threads that it may add to those of the user."""
    open_files: int = Field(4_096, ge=32, le=1_000_000)
    """Files open at once, in each of its processes."""
    file_mb: int = Field(4_096, ge=1, le=16_777_216)
    """Size of each file that it writes."""

    def of_process(self) -> dict[str, int]:
        """What the operating system is asked to hold its processes to."""
        names = ("memory_mb", "processes", "open_files", "file_mb")
        return {name: getattr(self, name) for name in names}


class CapabilityCard(Part):
    """An agent's card: A2A AgentCard's field names, and ours beside them."""

    name: str
    """What it is called by."""
    title: str = Field("", max_length=512)
    """Its name for people, where that is another one."""
    description: str = Field(min_length=1, max_length=4_000)
    """What it does: routers read it."""
    version: str = "1"
    """Of the agent."""
    skills: tuple[Skill, ...] = ()
    """What it can do."""
    default_input_modes: tuple[str, ...] = ("text/plain",)
    """Media types that it reads."""
    default_output_modes: tuple[str, ...] = ("text/plain",)
    """Media types that it writes."""
    provider: str = ""
    """Who makes it."""
    url: str = ""
    """Where it is served, where it is."""
    documentation_url: str = ""
    """Where it is described."""

    requires: tuple[Key, ...] = (TEXT,)
    """What it must be given: ``text`` (a prompt), ``inputs`` (replies), or keys of their data."""
    provides: tuple[Key, ...] = ()
    """Keys of its replies' data; empty where it does not say."""
    libraries: dict[Module, Install] = Field(default_factory=dict)
    """Modules that its code imports, each with what to install: ``{radon: "PACKAGE[EXTRA]"}``."""

    entrypoint: str | None = None
    """``NAME.py:fn`` beside the card, ``module:fn``, ``card:NAME`` (another's code) or ``chat``."""
    isolation: Isolation = "process"
    """A killable process, or this one."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Handed to its code."""
    model: str | None = None
    """Of a chat card."""
    prompt: str | None = None
    """Of a chat card."""
    pricing: Pricing = Pricing()
    """What a call costs."""
    latency_s: float | None = Field(None, ge=0, description="typical seconds of one call")
    """Of a typical call."""
    prior_quality: float = Field(0.5, ge=0, le=1)
    """The owner's guess of the mean quality, in [0, 1]; 0.5 says nothing."""
    limits: Limits = Limits()
    """Bounds on it."""
    fallbacks: tuple[str, ...] = ()
    """Who is asked after it failed, in order."""
    requires_approval: bool = False
    """A human is asked before each call."""
    status: Status = "active"
    """draft and retired are never asked; shadow runs beside; canary gets a tenth."""
    outside: bool = False
    """Came from elsewhere: it cannot name code to run."""

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("must be 1 to 120 letters, digits, '.', '_', '-' or spaces inside")
        return value

    @field_validator("params")
    @classmethod
    def _params_are_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        return json_only(value)

    @model_validator(mode="after")
    def _outside_names_no_code(self) -> CapabilityCard:
        if self.outside and self.entrypoint is not None:
            raise ValueError("a card from outside cannot name code to run (entrypoint)")
        if self.entrypoint == "chat" and not self.prompt:
            raise ValueError("a chat card needs a prompt")
        ids = [s.id for s in self.skills]
        if len(set(ids)) != len(ids):
            raise ValueError("skill ids must be unique")
        return self

    @property
    def skill_ids(self) -> frozenset[str]:
        """The ids of the skills."""
        return frozenset(s.id for s in self.skills)

    def text(self) -> str:
        """The words a router may use as evidence: description, skills, tags and examples."""
        parts = [self.name.replace("_", " ").replace("-", " "), self.title, self.description]
        for s in self.skills:
            parts += [s.id.replace("_", " ").replace("-", " "), s.name, s.description]
            parts += [*s.tags, *s.examples]
        return ". ".join(dict.fromkeys(p.strip() for p in parts if p.strip()))
