"""Whether those who were chosen may be called: a human's word, and the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentroute.execution.budget import Price
from agentroute.execution.history import APPROVAL_NEEDED
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.ruling import Ruling
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody must be asked before the agent may be called."""

    approval_id: str


def approval(
    ledger: Ledger, registry: Registry, run: Run, work: Assignment, decision: Decision
) -> Waiting | None:
    """Ask once for the agents that need it; None when there is nothing (more) to ask."""
    need = [a for a in decision.chosen if registry[a].card.requires_approval]
    approval_id = f"{work.task.id}#{decision.attempt}"
    if not need or approval_id in run.history.answers:
        return None
    question = {
        "approval_id": approval_id, "task_id": work.task.id, "agents": need,
        "prompt": work.task.prompt[:500], "decision_id": decision.id,
    }  # fmt: skip
    run.pending[approval_id] = question
    if run.history.questions.get(work.task.id) != approval_id:
        note = Note(id=uuid7(), run_id=run.run_id, type=APPROVAL_NEEDED, data=question)
        ledger.append(note)
        run.history.noted(note)
    run.emit("approval.needed", work.task.id, ",".join(need), approval_id=approval_id)
    return Waiting(approval_id)


def too_dear(
    run: Run, work: Assignment, ruling: Ruling, price: Callable[[str], Price]
) -> str | None:
    """Why the estimate does not fit what is left, before any call; else None."""
    left, chosen = run.purse(work).left_usd, ruling.decision.chosen
    if left is None or ruling.known:
        return None
    need = sum(price(a).usd or 0.0 for a in chosen)
    if need <= left * (1 + 1e-9):
        return None
    return (
        f"task '{work.task.id}': {', '.join(chosen)} were not called: they are expected to cost "
        f"${need:.4g}, ${left:.4g} are left"
    )
