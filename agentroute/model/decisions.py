"""What was decided, what came of it, and what was said of it: the ledger's rows as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agentroute.model.arrays import F64
from agentroute.model.candidates import Request
from agentroute.model.record import Part
from agentroute.model.scores import Scores

Kind = Literal["plan", "topology", "depth", "route", "refine", "verify", "lead"]
DecisionStatus = Literal["selected", "ambiguous", "abstained"]


class Decision(Part):
    """One choice, and the probability it was taken with."""

    id: str
    """UUIDv7."""
    seq: int = 0
    """Place in the ledger; 0 until the row is committed."""
    run_id: str
    """The run it belongs to."""
    task_id: str = ""
    """'' for a run-level kind."""
    kind: Kind
    """Which of the choices of a run."""
    attempt: int = Field(1, ge=1)
    """Closed attempts of this run, task and kind, plus 1."""
    policy: str
    """What the ledger calls the policy."""
    policy_version: str = "@0"
    """``<sha256 of the base artefact or ''>@<folded up to seq>``."""
    status: DecisionStatus = "selected"
    """Whether the choice was clear, close, or nobody."""
    chosen: tuple[str, ...] = ()
    """The agents (route), or one word (topology, plan)."""
    propensity: float = Field(1.0, ge=0, le=1)
    """Of ``chosen``: marginal for one, ordered product for a team, 1 where not sampled."""
    reason: str = ""
    """Why, in words."""
    seed: int = 0
    """Of the generator that drew it."""
    at: str = ""
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRecord:
    """A decision with the arrays behind it: what one ledger row is made of."""

    decision: Decision
    """The choice itself."""
    request: Request | None = None
    """What was asked; None where the kind is not route."""
    scores: Scores | None = None
    """What the router said of all n candidates."""
    propensities: F64 | None = None
    """(n,) probability to be drawn first; 0 for screened-out ones."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """What a kind without a request looked at."""
    excluded_rows: NDArray[np.int64] | None = None
    """(m,) rows of the card set that were not candidates."""
    excluded_codes: NDArray[np.uint8] | None = None
    """(m,) index into ``reasons`` for each of them."""
    reasons: tuple[str, ...] = ()
    """Why agents were not candidates."""
