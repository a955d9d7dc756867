"""What came of a decision: as a row, and as what a router folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from agentroute.model.candidates import Request
from agentroute.model.record import Part

EMBEDDERS = "embedder:"  # in front of an embedder's id: an outcome of what it used
PLANNERS = "planner:"  # in front of a planner's name: an outcome of its own model calls
ROUTERS = "router:"  # in front of a policy's name: an outcome of its own model calls


class Outcome(Part):
    """What a call did: measured, not judged."""

    decision_id: str
    """The decision that it is an outcome of."""
    agent: str
    """Who was called; ``router:NAME`` for what a router's own model calls used."""
    quality: float | None = Field(None, ge=0, le=1)
    """None, or 0 where the call failed."""
    cost_usd: float = Field(0.0, ge=0)
    """What it cost, failed or not."""
    latency_s: float = Field(0.0, ge=0)
    """From the call to its end."""
    tokens: int = Field(0, ge=0)
    """Input and output together."""
    error: str | None = None
    """None, or what went wrong."""
    shadow: bool = False
    """Run beside, its reply unused."""
    reply: str | None = None
    """SHA-256 of the reply's JSON in the text store: what a resume reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a router folds: one for each agent that ran and each first feedback, in seq order."""

    seq: int
    """The ledger row it comes from."""
    decision_id: str
    """The decision it belongs to."""
    request: Request
    """What was asked."""
    agent: str
    """Who ran."""
    quality: float | None = None
    """In [0, 1]; None where nothing is known of it."""
    cost_usd: float | None = None
    """None where nothing is known of it."""
    latency_s: float | None = None
    """None where nothing is known of it."""
    weight: float = 1.0
    """In (0, 1]: the share of credit."""
    propensity: float = 1.0
    """Probability that the decision was taken with."""
    at: str = ""
    """Time of the row, ISO 8601, UTC."""


class Feedback(Part):
    """What a verifier or a user says of a result; the first for a (decision, agent) is folded."""

    id: str
    """UUIDv7."""
    target: Literal["run", "decision"]
    """What ``target_id`` names."""
    target_id: str
    """Id of a run or a decision."""
    agent: str | None = None
    """Who is judged; None for all that took part."""
    score: float = Field(ge=0, le=1)
    """0 useless, 1 right."""
    source: str = Field("user", min_length=1, max_length=200)
    """Who says so: user, test, verifier, ..."""
    method: str = ""
    """How it was found."""
    derived_from: str | None = None
    """Id of the feedback on a run that this one was made from."""
    credit: str = Field("", max_length=500)
    """By which rule the score of several was parted; '' for one agent's own, and in old rows."""
    shares: dict[str, dict[str, float]] = {}
    """Decision id to agent to its part of the score; parts add up to 1. {} where they are equal."""
    idempotency_key: str | None = None
    """A repeated call with the same key adds no row."""
