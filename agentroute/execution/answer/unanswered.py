"""A task that ends without an answer: who was asked, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentroute.errors import NoCandidateError, RoutingError
from agentroute.execution.calls.caller import Called
from agentroute.execution.progress import Assignment
from agentroute.execution.results import TaskOutcome
from agentroute.model.decisions import Decision

_PASSING = ("circuit breaker is open", "expected cost exceeds the budget left")


def unable(
    work: Assignment, said: list[str], failed: list[list[Called]], e: RoutingError
) -> list[str]:
    """What was said, and why it ends here: after a failure that is no failure of its own."""
    if not failed or not said or not isinstance(e, NoCandidateError):
        return [*said, f"task '{work.task.id}': {e}"]
    busy = [f"{who}: {why}" for who, why in e.excluded.items() if why in _PASSING]
    why = f" ({'; '.join(busy)})" if busy else ""
    before = [words for words in said if words != said[-1]]
    return [*before, f"{said[-1]}; nobody else can do it{why}"]


def asked_of(failed: list[list[Called]], more: Iterable[str] = ()) -> tuple[str, ...]:
    """Everybody who failed, in the order in which they were asked, then ``more``; each once."""
    return tuple(dict.fromkeys([*(c.agent for calls in failed for c in calls), *more]))


def over(
    work: Assignment, status: Any, failed: list[list[Called]], said: list[str], attempt: int,
    decision: Decision | None = None,
) -> TaskOutcome:  # fmt: skip
    """The outcome of a task to which nobody has an answer."""
    return TaskOutcome(
        task_id=work.task.id,
        status=status,
        tried=asked_of(failed),
        said=tuple(said),
        attempt=max(attempt, work.attempt - 1),
        decision_id=decision.id if decision else "",
    )
