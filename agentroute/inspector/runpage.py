"""One run as one HTML page: what came of it, when what was called, and why who."""

from __future__ import annotations

from datetime import datetime

from agentroute.inspector.charts import dag
from agentroute.inspector.page import Section, render
from agentroute.inspector.timeline import Bar, timeline
from agentroute.ledger import Ledger
from agentroute.ledger.explaining.explanation import Explanation
from agentroute.ledger.rows.decode import Row
from agentroute.model.decisions import Decision
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.plans import Plan

EXPLAINED = 20


def run_page(ledger: Ledger, run_id: str, *, made_by: str = "") -> str:
    """The page of a run, from its rows alone; ``made_by`` is the command that made it.

    Raises:
        UnknownRunError: there is none.
    """
    run, rows = ledger.run(run_id), ledger.run_rows(run_id)
    decisions = [r.value for r in rows if isinstance(r.value, Decision)]
    finished = _note(rows, "run.finished")
    sections = [
        *_warned(finished),
        _answer(ledger, finished),
        _tasks(ledger, rows, decisions),
        _calls(rows, decisions, run.started_at),
        _choices(rows, decisions),
        *_why(ledger, decisions),
    ]
    score = "not scored" if run.score is None else f"score {run.score:.2f}"
    lead = (
        f"{run.status}, {score}; started {run.started_at[:19].replace('T', ' ')} UTC, "
        f"{run.calls} calls, {run.failed} failed, {run.cost_usd:.4g} USD, {run.tokens:,} tokens"
    )
    title = f"Run {run.about.get('name') or ''}".strip()
    seq, digest = ledger.head()
    footer = f"Run {run_id}. Ledger {ledger.path.name}, head {seq}:{digest[:16]}. {made_by}"
    return render(title, [s for s in sections if s is not None], lead=lead, footer=footer)


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
    return [Section(f"This result is {status}", notes=said)]


def _answer(ledger: Ledger, finished: Note | None) -> Section | None:
    sha = finished.data.get("answer") if finished else None
    if not sha:
        return None
    words = ledger.text(sha)
    return Section("Answer", pre="[erased]" if words is None else words)


def _tasks(ledger: Ledger, rows: list[Row], decisions: list[Decision]) -> Section | None:
    started = _note(rows, "run.started")
    text = ledger.text(started.data["plan"]) if started else None
    if text is None:
        return None
    plan = Plan.model_validate_json(text)
    who = {d.task_id: ", ".join(d.chosen) or "nobody" for d in decisions if d.kind == "route"}
    edges = [(a, b) for a, b, _ in plan.graph().edges]
    chart = dag(plan.choice.stats.generations, edges, title="The tasks and who did them", notes=who)
    return Section("Tasks", f"{plan.topology}: {plan.choice.reason}", chart)


def _calls(rows: list[Row], decisions: list[Decision], started_at: str) -> Section | None:
    zero = datetime.fromisoformat(started_at).timestamp()
    tasks = {d.id: d.task_id or d.kind for d in decisions}
    bars = []
    for row in rows:
        o = row.value
        if isinstance(o, Outcome):
            end = datetime.fromisoformat(row.at).timestamp() - zero
            label = f"{tasks.get(o.decision_id, '')} · {o.agent}"
            note = "failed" if o.error else f"{o.latency_s:.3g} s"
            bars.append(Bar(label, end - o.latency_s, end, bool(o.error), note))
    if not bars:
        return None
    cut = f"The first 60 of {len(bars)} calls." if len(bars) > 60 else ""
    return Section("Calls over time", cut, timeline(bars, title="Each call from start to end"))


def _choices(rows: list[Row], decisions: list[Decision]) -> Section:
    outcomes: dict[str, list[Outcome]] = {}
    said: dict[str, list[Feedback]] = {}
    for row in rows:
        if isinstance(row.value, Outcome):
            outcomes.setdefault(row.value.decision_id, []).append(row.value)
        elif isinstance(row.value, Feedback):
            said.setdefault(row.value.target_id, []).append(row.value)
    table = []
    for d in decisions:
        calls, words = outcomes.get(d.id, []), said.get(d.id, [])
        table.append(
            (
                d.kind,
                d.task_id,
                ", ".join(d.chosen) or "nobody",
                f"{d.propensity:.3f}",
                f"{sum(f.score for f in words) / len(words):.2f}" if words else "",
                f"{sum(o.latency_s for o in calls):.3g}" if calls else "",
                f"{sum(o.cost_usd for o in calls):.3g}" if calls else "",
                next((o.error for o in calls if o.error), None) or d.reason,
            )
        )
    columns = ("kind", "task", "chosen", ">chance", ">score", ">s", ">USD", "why")
    return Section("Every choice", columns=columns, rows=table)


def _why(ledger: Ledger, decisions: list[Decision]) -> list[Section]:
    """Each choice among several, part by part."""
    routes = [d for d in decisions if d.kind == "route"]
    found = [ledger.explain(d.id, cases=0) for d in routes[:EXPLAINED]]
    sections = [_explained(e) for e in found if len(e.standings) > 1]
    if len(routes) > EXPLAINED:
        words = f"{len(routes) - EXPLAINED} more choices are not shown; agentroute explain ID is"
        sections.append(Section("Further choices", words))
    return sections


def _explained(e: Explanation) -> Section:
    terms = sorted({k for s in e.standings[:8] for k in s.terms})
    rows = [
        (
            s.agent,
            f"{s.propensity:.3f}",
            "" if s.mean is None else f"{s.mean:.3f}",
            f"{s.bonus:.3f}",
            *(f"{s.terms.get(t, 0.0):+.3f}" for t in terms),
            s.calls,
        )
        for s in e.standings[:8]
    ]
    left = [f"left out ({why}): {', '.join(who[:6])}" for why, who in e.excluded.items()]
    chosen = frozenset(i for i, s in enumerate(e.standings[:8]) if s.agent in e.decision.chosen)
    return Section(
        f"Why: {e.decision.task_id}, attempt {e.decision.attempt}",
        e.headline,
        columns=("agent", ">chance", ">expected", ">unknown", *(f">{t}" for t in terms), ">calls"),
        rows=rows,
        marked=chosen,
        notes=left,
    )
