"""One run as one HTML page: what came of it, when what was called, and why who."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from agentroute.inspector.charts import dag
from agentroute.inspector.links import NOWHERE, Links
from agentroute.inspector.money import usd
from agentroute.inspector.page import Section, render
from agentroute.inspector.timeline import Bar, timeline
from agentroute.inspector.tree import tree
from agentroute.ledger import Ledger
from agentroute.ledger.explaining.explanation import Explanation
from agentroute.ledger.rows.decode import Row
from agentroute.model.decisions import Decision
from agentroute.model.events import Note
from agentroute.model.outcomes import Outcome
from agentroute.model.plans import Plan

if TYPE_CHECKING:
    from agentroute.ledger.queries import RunSummary

EXPLAINED = 20


def run_page(ledger: Ledger, run_id: str, *, made_by: str = "") -> str:
    """The page of a run, from its rows alone; ``made_by`` is the command that made it.

    Raises:
        UnknownRunError: there is none.
    """
    run, rows = ledger.run(run_id), ledger.run_rows(run_id)
    sections = [*run_sections(ledger, run, rows), *_why(ledger, _decisions(rows))]
    seq, digest = ledger.head()
    footer = f"Run {run_id}. Ledger {ledger.path.name}, head {seq}:{digest[:16]}. {made_by}"
    return render(run_title(run), sections, lead=run_lead(run), footer=footer)


def run_title(run: RunSummary) -> str:
    """A run by the name of its graph."""
    return f"Run {run.about.get('name') or ''}".strip()


def run_lead(run: RunSummary) -> str:
    """What a run came to, in one line."""
    score = "not scored" if run.score is None else f"score {run.score:.2f}"
    return (
        f"{run.status}, {score}; started {run.started_at[:19].replace('T', ' ')} UTC, "
        f"{run.calls} calls, {run.failed} failed, {usd(run.cost_usd)} USD, {run.tokens:,} tokens"
    )


def run_sections(
    ledger: Ledger, run: RunSummary, rows: list[Row], *, links: Links = NOWHERE, task: str = ""
) -> list[Section]:
    """What is wrong, the answer, the task graph, the calls over time and every choice.

    ``task`` is selected in all of them.
    """
    decisions, finished = _decisions(rows), _note(rows, "run.finished")
    sections = [
        *_warned(finished),
        _answer(ledger, finished),
        _tasks(ledger, rows, decisions, links, task),
        _calls(rows, decisions, run.started_at, links, task),
        tree(rows, links, selected=task),
    ]
    return [s for s in sections if s is not None]


def _decisions(rows: list[Row]) -> list[Decision]:
    return [r.value for r in rows if isinstance(r.value, Decision)]


def _note(rows: list[Row], kind: str) -> Note | None:
    found = [r.value for r in rows if isinstance(r.value, Note) and r.value.type == kind]
    return found[-1] if found else None


def _warned(finished: Note | None) -> list[Section]:
    """What is known to be wrong comes before the answer."""
    if finished is None:
        return [Section("Not finished", "No end of this run is in the ledger.")]
    said = [str(x) for x in finished.data.get("degraded", ())]
    status = str(finished.data.get("status", ""))
    if status == "completed" and not said:
        return []
    return [Section(f"This result is {status}", notes=list(said))]


def _answer(ledger: Ledger, finished: Note | None) -> Section | None:
    sha = finished.data.get("answer") if finished else None
    if not sha:
        return None
    words = ledger.text(sha)
    return Section("Answer", pre="[erased]" if words is None else words)


def _tasks(
    ledger: Ledger, rows: list[Row], decisions: list[Decision], links: Links, task: str
) -> Section | None:
    plan = plan_of(ledger, _note(rows, "run.started"))
    if plan is None:
        return None
    routes = [d for d in decisions if d.kind == "route"]
    who = {d.task_id: ", ".join(d.chosen) or "nobody" for d in routes}
    edges = [(a, b) for a, b, _ in plan.graph().edges]
    chart = dag(
        plan.choice.stats.generations,
        edges,
        title="The tasks and who did them",
        notes=who,
        marked=[task],
        links={d.task_id: links.decision(d.id) for d in routes},
    )
    return Section("Tasks", f"{plan.topology}: {plan.choice.reason}", chart, anchor="tasks")


def plan_of(ledger: Ledger, started: Note | None) -> Plan | None:
    """The plan that a run's first note names; None where there is none, or it was erased."""
    text = ledger.text(str(started.data.get("plan", ""))) if started else None
    try:
        return None if text is None else Plan.model_validate_json(text)
    except ValueError:  # of another release, or no plan
        return None


def _calls(
    rows: list[Row], decisions: list[Decision], started_at: str, links: Links, task: str
) -> Section | None:
    zero = datetime.fromisoformat(started_at).timestamp()
    tasks = {d.id: d.task_id or d.kind for d in decisions}
    bars = []
    for row in rows:
        o = row.value
        if isinstance(o, Outcome):
            end = datetime.fromisoformat(row.at).timestamp() - zero
            label = f"{tasks.get(o.decision_id, '')} · {o.agent}"
            note = "failed" if o.error else f"{o.latency_s:.3g} s"
            hot = bool(task) and tasks.get(o.decision_id) == task
            href = links.decision(o.decision_id)
            bars.append(Bar(label, end - o.latency_s, end, bool(o.error), note, href, hot))
    if not bars:
        return None
    cut = f"The first 60 of {len(bars)} calls." if len(bars) > 60 else ""
    chart = timeline(bars, title="Each call from start to end")
    return Section("Calls over time", cut, chart, anchor="calls")


def _why(ledger: Ledger, decisions: list[Decision]) -> list[Section]:
    """Each choice among several, part by part."""
    routes = [d for d in decisions if d.kind == "route"]
    found = [ledger.explain(d.id, cases=0) for d in routes[:EXPLAINED]]
    sections = [_explained(e) for e in found if len(e.candidates) > 1]
    if len(routes) > EXPLAINED:
        words = f"{len(routes) - EXPLAINED} more choices are not shown; agentroute explain ID is"
        sections.append(Section("Further choices", words))
    return sections


def _explained(e: Explanation) -> Section:
    terms = sorted({k for s in e.candidates[:8] for k in s.terms})
    rows = [
        (
            s.agent,
            f"{s.propensity:.3f}",
            "" if s.mean is None else f"{s.mean:.3f}",
            f"{s.bonus:.3f}",
            *(f"{s.terms.get(t, 0.0):+.3f}" for t in terms),
            s.calls,
        )
        for s in e.candidates[:8]
    ]
    left = [f"left out ({why}): {', '.join(who[:6])}" for why, who in e.excluded.items()]
    chosen = frozenset(i for i, s in enumerate(e.candidates[:8]) if s.agent in e.decision.chosen)
    return Section(
        f"Why: {e.decision.task_id}, attempt {e.decision.attempt}",
        e.headline,
        columns=("agent", ">chance", ">expected", ">unknown", *(f">{t}" for t in terms), ">calls"),
        rows=rows,
        marked=chosen,
        notes=list(left),
    )
