"""What somebody says of a run or a decision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agentroute.model.record import Part


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
