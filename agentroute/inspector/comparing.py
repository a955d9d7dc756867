"""Two runs side by side: who did each task, how well, how fast and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentroute.inspector.money import usd
from agentroute.ledger import Ledger
from agentroute.model.decisions import Decision
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.record import Part

if TYPE_CHECKING:
    from agentroute.ledger.queries import RunSummary


class Did(Part):
    """What a run made of one task."""

    decision_id: str
    """Of the last choice of an agent."""
    chosen: tuple[str, ...]
    """Who was chosen in it."""
    attempts: int
    """How many choices there were."""
    score: float | None = None
    """Mean of what was said of the last choice."""
    latency_s: float
    """Sum of the calls of all attempts."""
    cost_usd: float
    """The same in USD."""
    failed: int
    """How many calls failed."""


class Pair(Part):
    """A task of one run, and the one of the same name in the other."""

    task: str
    """Its name."""
    a: Did | None = None
    """In the first run; None where it has no such task."""
    b: Did | None = None
    """In the second."""

    @property
    def differs(self) -> bool:
        """Whether other agents did it, or one run alone has it."""
        return self.a is None or self.b is None or self.a.chosen != self.b.chosen


class Comparison(Part):
    """Two runs, task by task."""

    a: str
    """The first run."""
    b: str
    """The second."""
    tasks: tuple[Pair, ...]
    """In the order of the first, then what the second alone has."""
    answers_alike: bool | None = None
    """Whether the answers are the same text; None where one has none."""


def compare(ledger: Ledger, a: str, b: str) -> Comparison:
    """The two runs of these ids, by the names of their tasks.

    Raises:
        UnknownRunError: there is no such run.
    """
    for run_id in (a, b):
        ledger.run(run_id)
    first, second = _did(ledger, a), _did(ledger, b)
    answers = [_answer(ledger, run_id) for run_id in (a, b)]
    return Comparison(
        a=a,
        b=b,
        tasks=tuple(
            Pair(task=t, a=first.get(t), b=second.get(t)) for t in dict.fromkeys([*first, *second])
        ),
        answers_alike=answers[0] == answers[1] if all(answers) else None,
    )


def totals(ledger: Ledger, found: Comparison) -> tuple[tuple[str, str, str], ...]:
    """What both runs came to: (what, of the first, of the second)."""
    runs = [ledger.run(run_id) for run_id in (found.a, found.b)]
    pairs = zip(*(_summed(r) for r in runs), strict=True)
    return tuple((what, mine, other) for (what, mine), (_, other) in pairs)


def _summed(r: RunSummary) -> list[tuple[str, str]]:
    return [
        ("started", r.started_at[:19].replace("T", " ")),
        ("graph", str(r.about.get("name") or "")),
        ("shape", str(r.about.get("topology") or "")),
        ("status", r.status),
        ("score", "" if r.score is None else f"{r.score:.2f}"),
        ("calls", f"{r.calls} ({r.failed} failed)"),
        ("tokens", f"{r.tokens:,}"),
        ("USD", usd(r.cost_usd)),
    ]


def _answer(ledger: Ledger, run_id: str) -> str:
    notes = ledger.notes(run_id, "run.finished")
    return str(notes[-1].data.get("answer") or "") if notes else ""


def _did(ledger: Ledger, run_id: str) -> dict[str, Did]:
    rows = [r.value for r in ledger.run_rows(run_id)]
    by: dict[str, list[Decision]] = {}
    called = {o.decision_id for o in rows if isinstance(o, Outcome)}
    for d in rows:
        if not isinstance(d, Decision) or (d.kind == "lead" and d.id not in called):
            continue  # a round of a lead names tasks, and nobody who did one
        if d.kind in ("route", "refine", "verify", "lead"):
            by.setdefault(d.task_id or d.kind, []).append(d)
    return {task: _task(ds, rows) for task, ds in by.items()}


def _task(decisions: list[Decision], rows: Sequence[object]) -> Did:
    ids, last = {d.id for d in decisions}, decisions[-1]
    calls = [o for o in rows if isinstance(o, Outcome) and o.decision_id in ids]
    said = [f.score for f in rows if isinstance(f, Feedback) and f.target_id == last.id]
    return Did(
        decision_id=last.id,
        chosen=last.chosen,
        attempts=len(decisions),
        score=sum(said) / len(said) if said else None,
        latency_s=sum(o.latency_s for o in calls),
        cost_usd=sum(o.cost_usd for o in calls),
        failed=sum(o.error is not None for o in calls),
    )
