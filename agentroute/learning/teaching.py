"""What somebody says of a result: as a checked row, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentroute.choosing.policy import Policy
from agentroute.config.settings import FeedbackQuota
from agentroute.errors import (
    UnknownAgentError,
    UnknownDecisionError,
    UnknownRunError,
    UsageError,
    did_you_mean,
)
from agentroute.learning.observe import Folding
from agentroute.learning.sources import Tally
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Feedback, Observation


def feedback_row(
    ledger: Ledger,
    target_id: str,
    *,
    score: float,
    source: str = "user",
    agent: str | None = None,
    method: str = "",
    idempotency_key: str | None = None,
    registered: Container[str] = (),
) -> Feedback:
    """Feedback on the run or the decision of that id.

    Raises:
        UsageError: the score is not in [0, 1], or the agent took no part.
        UnknownDecisionError: neither a run nor a decision has this id.
        UnknownAgentError: nobody of that name was asked.
    """
    if not 0.0 <= score <= 1.0:
        raise UsageError(f"a score is between 0 and 1, not {score}", hint="--score 0.9")
    about = ledger.decisions(target_id)
    target: Literal["run", "decision"] = "run" if about else "decision"
    about = about or [ledger.decision(target_id)]
    if agent is not None:
        _took_part(ledger, about, agent, registered)
    return Feedback(
        id=uuid7(),
        target=target,
        target_id=target_id,
        agent=agent,
        score=score,
        source=source,
        method=method,
        idempotency_key=idempotency_key,
    )


def find_run(ledger: Ledger, words: str) -> str:
    """The id of a run: ``last``, an id, or the start of one.

    Raises:
        UnknownRunError: there is no run yet, or none of that id.
        UsageError: the start of several runs' ids.
    """
    found = find_target(ledger, words) if words == "last" else words
    if words != "last" and not ledger.decisions(words) and not ledger.notes(words):
        runs = [i for i in ledger.ids(words) if ledger.decisions(i) or ledger.notes(i)]
        if len(runs) > 1:
            raise UsageError(
                f"'{words}' begins the ids of several runs",
                hint="for example " + ", ".join(runs[:3]),
            )
        if not runs:
            raise UnknownRunError(f"no run '{words}' is in the ledger", hint="agentroute runs ls")
        found = runs[0]
    return found


def find_target(ledger: Ledger, words: str) -> str:
    """The id of a run or a decision: ``last`` (the latest run), an id, or the start of one.

    Raises:
        UnknownRunError: there is no run yet.
        UsageError: the start of several ids, or of none.
    """
    if words == "last":
        latest = ledger.runs(1)
        if not latest:
            raise UnknownRunError("there is no run in the ledger yet", hint="agentroute run")
        return latest[0].run_id
    found = ledger.ids(words)
    if words in found:
        return words
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownDecisionError(
            f"no run or decision '{words}' is in the ledger", hint="agentroute runs ls"
        )
    raise UsageError(f"'{words}' is the start of several ids", hint=", ".join(found[:3]))


def _took_part(
    ledger: Ledger, about: Sequence[Decision], agent: str, registered: Container[str]
) -> None:
    """Refuse a word on an agent that did nothing of this."""
    took = {a for d in about for a in d.chosen if d.kind in ("route", "refine", "verify")}
    ids = {d.id for d in about}
    for run_id in {d.run_id for d in about}:
        took |= {o.agent for o in ledger.outcomes(run_id) if o.decision_id in ids}
    if agent in took:
        return
    if agent not in registered:
        raise UnknownAgentError(agent, took)
    raise UsageError(f"'{agent}' took no part in it", hint=did_you_mean(agent, took))


@dataclass(frozen=True, slots=True)
class Taught:
    """What a row of feedback taught."""

    learned: bool
    """Whether it moved the routers."""
    reason: str
    """Why it did not: duplicate, expired, muted, quota or unknown; '' where it did."""
    observations: tuple[Observation, ...]
    """What they folded of it."""
    beyond: tuple[str, ...]
    """The agents of whom its source had said as much as its quota lets one name."""


def taught_by(
    ledger: Ledger,
    seq: int,
    weights: Mapping[str, float],
    quota: FeedbackQuota | None,
    tally: Tally | None = None,
) -> Taught:
    """What the row at ``seq`` taught, from the rows before it alone.

    ``tally`` has heard these rows; without one all feedback is read again.
    """
    folding = Folding(ledger, weights=weights, quota=quota, tally=tally)
    observed = [o for _, some in folding.steps(seq - 1, seq) for o in some]
    reason = "" if observed else next(iter(folding.counts - Counter({"folded": 0})), "unknown")
    beyond = tuple(sorted(folding.tally.beyond(seq)))
    return Taught(bool(observed), reason, tuple(observed), beyond)


def standing_row(ledger: Ledger, target_id: str, key: str) -> Feedback:
    """The feedback on a target that was given under an idempotency key.

    Raises:
        UsageError: the key was given with feedback on something else.
    """
    row = next((f for f in ledger.feedback(target_id) if f.idempotency_key == key), None)
    if row is None:
        raise UsageError(
            f"the key '{key}' was given with feedback on something else",
            hint="a key names one word on one result",
        )
    return row


async def believed(policy: Policy, seen: Sequence[Observation]) -> dict[str, float]:
    """Expected utility that a policy now gives each agent on the task it was judged on.

    Empty where asking the router costs a model's call.
    """
    if policy.router.taxonomy.compute in ("generative", "ensemble"):
        return {}
    out = {}
    for o in seen:
        scores = await policy.scores(o.request)
        at = np.flatnonzero(o.request.candidates.names == o.agent)
        if len(at) and np.isfinite(scores.mean[at[0]]):
            out[o.agent] = round(float(scores.mean[at[0]]), 4)
    return out
