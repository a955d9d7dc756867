"""What came of a decision: as a row, and as what a router folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from agentroute.model.candidates import Request
from agentroute.model.record import Part


class Outcome(Part):
    """What a call did: measured, not judged. ``quality`` is None, or 0 where the call failed.

    ``reply`` is the SHA-256 of the reply's JSON in the text store: what a resume reads.
    """

    decision_id: str
    agent: str
    quality: float | None = Field(None, ge=0, le=1)
    cost_usd: float = Field(0.0, ge=0)
    latency_s: float = Field(0.0, ge=0)
    tokens: int = Field(0, ge=0)
    error: str | None = None
    shadow: bool = False
    reply: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a router learns from: one for each agent that ran and each first feedback, in seq order.

    ``quality`` is None where nothing is known of it; ``weight`` in (0, 1] is the share of credit.
    """

    seq: int
    decision_id: str
    request: Request
    agent: str
    quality: float | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    weight: float = 1.0
    propensity: float = 1.0
    at: str = ""


class Feedback(Part):
    """What a verifier or a user says of a result. ``score`` in [0, 1].

    ``target`` is ``run`` or ``decision`` and ``target_id`` its id. The first feedback for a
    (decision, agent) is folded; later ones are stored and listed.
    """

    id: str
    target: Literal["run", "decision"]
    target_id: str
    agent: str | None = None
    score: float = Field(ge=0, le=1)
    source: str = Field("user", min_length=1, max_length=200)
    method: str = ""
    derived_from: str | None = None
    idempotency_key: str | None = None
