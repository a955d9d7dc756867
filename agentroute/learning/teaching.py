"""What a person says of a result, as a checked feedback row."""

from __future__ import annotations

from typing import Literal

from agentroute.errors import UsageError
from agentroute.ledger import Ledger
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Feedback


def feedback_row(
    ledger: Ledger,
    target_id: str,
    *,
    score: float,
    source: str = "user",
    agent: str | None = None,
    method: str = "",
    idempotency_key: str | None = None,
) -> Feedback:
    """Feedback on the run or the decision of that id.

    Raises:
        UsageError: the score is not in [0, 1].
        UnknownDecisionError: neither a run nor a decision has this id.
    """
    if not 0.0 <= score <= 1.0:
        raise UsageError(f"a score is between 0 and 1, not {score}", hint="--score 0.9")
    target: Literal["run", "decision"] = "run" if ledger.decisions(target_id) else "decision"
    if target == "decision":
        ledger.decision(target_id)
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
