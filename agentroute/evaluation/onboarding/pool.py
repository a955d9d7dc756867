"""The tasks of a ledger that can be asked again by themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from agentroute.errors import RowUnreadableError
from agentroute.ledger import ERASED, Ledger
from agentroute.model.candidates import Request
from agentroute.model.plans import AgentUse, Plan
from agentroute.model.tasks import Task

MOST = 500
LOOK_BACK = 5_000
_ASKED = "SELECT id FROM decisions WHERE kind = 'route' ORDER BY seq DESC LIMIT ?"
_DONE = (
    "SELECT d.id FROM decisions AS d JOIN outcomes AS o ON o.decision_id = d.id AND o.agent = ?1"
    " WHERE d.kind = 'route' AND NOT o.shadow ORDER BY d.seq DESC LIMIT ?2"
)


@dataclass(frozen=True, slots=True)
class Past:
    """A task as it was once given, without its pin, and the decision that gave it."""

    task: Task
    decision_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Pool:
    """Distinct past tasks, newest first, and how many others there were, by reason."""

    tasks: tuple[Past, ...]
    left_out: Counter[str] = field(default_factory=Counter)


def past_tasks(ledger: Ledger, agent: str) -> Pool:
    """The latest 500 distinct tasks, among the last 5,000 route decisions, new to ``agent``.

    Tasks that build on others' replies cannot be asked alone, and what was erased not again.
    """
    left: Counter[str] = Counter()
    done = {
        _key(p.task) for i in _ids(ledger, _DONE, (agent, LOOK_BACK)) if (p := _past(ledger, i))
    }
    kept: dict[str, Past] = {}
    seen: set[str] = set()
    for decision_id in _ids(ledger, _ASKED, (LOOK_BACK,)):
        past = _past(ledger, decision_id)
        if past is None:
            left["cannot be asked alone, or were erased"] += 1
            continue
        key = _key(past.task)
        if key in seen:
            continue
        seen.add(key)
        if key in done:
            left[f"were asked of {agent} already"] += 1
        elif len(kept) == MOST:
            left[f"are older than the latest {MOST}"] += 1
        else:
            kept[key] = past
    return Pool(tuple(kept.values()), left)


def known_agents(ledger: Ledger) -> set[str]:
    """Who was ever called: what a router expects of the others is their cards' word alone."""
    return {str(a) for (a,) in ledger.query("SELECT DISTINCT agent FROM outcomes")}


def verifiers_of(ledger: Ledger, past: Past) -> tuple[AgentUse, ...]:
    """Who scored the task when it was given; nobody where its run had other tasks beside it."""
    notes = ledger.notes(past.run_id, "run.started")
    text = ledger.text(str(notes[0].data.get("plan", ""))) if notes else None
    if text is None:
        return ()
    plan = Plan.model_validate_json(text)
    return plan.verifiers if len(plan.tasks) == 1 else ()


def _ids(ledger: Ledger, sql: str, values: tuple[object, ...]) -> list[str]:
    return [str(i) for (i,) in ledger.query(sql, values)]


def _past(ledger: Ledger, decision_id: str) -> Past | None:
    try:
        record = ledger.record(decision_id)
    except RowUnreadableError:
        return None
    if record.request is None or not _stands_alone(record.request):
        return None
    d = record.decision
    return Past(_bare(record.request.task), d.id, d.run_id)


def _stands_alone(request: Request) -> bool:
    task = request.task
    texts = [task.prompt, *(m.text for m in task.history)]
    return not task.depends_on and not request.upstream and ERASED not in texts


def _bare(task: Task) -> Task:
    """The task for one agent: neither pinned, nor asked of several, nor weighed."""
    return task.model_copy(update={"agent": None, "depth": "one", "weight": 1.0})


def _key(task: Task) -> str:
    """The same for tasks that differ in their ids alone, which graphs give."""
    return task.model_dump_json(exclude={"id", "deadline_s", "budget_usd"})
