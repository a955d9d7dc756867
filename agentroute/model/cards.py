"""What an agent says of itself: the capability card."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from agentroute.model.record import Part

Isolation = Literal["process", "inline"]
Status = Literal["draft", "shadow", "canary", "active", "retired"]

# Finite times the largest usage, so that no cost and no sum of costs overflows.
MAX_PRICE_USD = 1e9

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,119}$")


class Skill(Part):
    """One thing an agent can do (A2A ``AgentSkill``)."""

    id: str = Field(min_length=1, max_length=120)
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    input_modes: tuple[str, ...] = ()
    output_modes: tuple[str, ...] = ()


class Pricing(Part):
    """What a call costs, in US dollars. All parts add up.

    ``cpu_s_usd`` is per measured CPU second (local agents), ``*_mtok_usd`` per million tokens.
    """

    call_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    cpu_s_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    input_mtok_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    output_mtok_usd: float = Field(0.0, ge=0, le=MAX_PRICE_USD)
    expected_usd: float | None = Field(
        None, ge=0, le=MAX_PRICE_USD, description="typical cost of one call"
    )


class Limits(Part):
    """Bounds on a single agent."""

    timeout_s: float = Field(30.0, gt=0, le=86_400)
    max_attempts: int = Field(2, ge=1, le=10)
    max_concurrency: int = Field(4, ge=1, le=10_000)
    cooldown_failures: int = Field(3, ge=1)
    cooldown_s: float = Field(60.0, ge=0)


class CapabilityCard(Part):
    """An agent's card: A2A AgentCard's field names, and ours beside them.

    ``entrypoint`` is one of ``NAME.py:fn`` (a file beside the card), ``module:fn``, ``card:NAME``
    (another card's code, called with ``params``) or ``chat`` (a model and a prompt). A card that
    came from outside has none: it cannot name code to run. ``prior_quality`` is the owner's
    guess of the mean quality in [0, 1]; 0.5 says nothing.
    """

    name: str
    description: str = Field(min_length=1, max_length=4_000)
    version: str = "1"
    skills: tuple[Skill, ...] = ()
    default_input_modes: tuple[str, ...] = ("text/plain",)
    default_output_modes: tuple[str, ...] = ("text/plain",)
    provider: str = ""
    url: str = ""
    documentation_url: str = ""

    entrypoint: str | None = None
    isolation: Isolation = "process"
    params: dict[str, Any] = Field(default_factory=dict)
    model: str | None = None
    prompt: str | None = None
    pricing: Pricing = Pricing()
    latency_s: float | None = Field(None, ge=0, description="typical seconds of one call")
    prior_quality: float = Field(0.5, ge=0, le=1)
    limits: Limits = Limits()
    fallbacks: tuple[str, ...] = ()
    requires_approval: bool = False
    status: Status = "active"
    outside: bool = False

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str) -> str:
        if not NAME.match(value):
            raise ValueError("must be 1 to 120 letters, digits, '.', '_', '-' or spaces")
        return value

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
        parts = [self.name.replace("_", " ").replace("-", " "), self.description]
        for s in self.skills:
            parts += [s.id.replace("_", " ").replace("-", " "), s.name, s.description]
            parts += [*s.tags, *s.examples]
        return ". ".join(dict.fromkeys(p.strip() for p in parts if p.strip()))
