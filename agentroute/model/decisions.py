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

Kind = Literal["plan", "topology", "depth", "route", "refine", "verify"]
DecisionStatus = Literal["selected", "ambiguous", "abstained"]


class Decision(Part):
    """One choice, and the probability it was taken with.

    ``task_id`` is '' for a run-level kind. ``chosen`` holds the agents (route), or one word
    (topology, plan). ``propensity`` is the probability of ``chosen`` under the policy: marginal
    for one, ordered product without replacement for a team, 1.0 where nothing was sampled.
    ``policy_version`` is ``<sha256 of the base artefact or ''>@<folded up to seq>``. ``seq`` is 0
    until the row is committed; ``at`` is an ISO 8601 UTC time.
    """

    id: str
    seq: int = 0
    run_id: str
    task_id: str = ""
    kind: Kind
    attempt: int = Field(1, ge=1)
    policy: str
    policy_version: str = "@0"
    status: DecisionStatus = "selected"
    chosen: tuple[str, ...] = ()
    propensity: float = Field(1.0, ge=0, le=1)
    reason: str = ""
    seed: int = 0
    at: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRecord:
    """A decision with the arrays behind it: what one ledger row is made of.

    ``propensities`` (n,) marginal first-draw probability of each candidate, 0 for screened-out
    ones. ``exclusions`` maps agents that were not candidates to the reason (may be empty; code
    arrays below serve the hot path). ``excluded_rows`` (m,) rows of the card set with reason codes
    ``excluded_codes`` (m,) indexing ``reasons``. Non-route kinds leave ``request`` None and put
    what they looked at in ``context``.
    """

    decision: Decision
    request: Request | None = None
    scores: Scores | None = None
    propensities: F64 | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    excluded_rows: NDArray[np.int64] | None = None
    excluded_codes: NDArray[np.uint8] | None = None
    reasons: tuple[str, ...] = ()
