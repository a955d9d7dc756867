"""``runs ls`` and ``runs show``: what was done, by whom, and what it was worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit, open_ledger, seconds, table
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.ledger import Ledger

runs_app = typer.Typer(help="Look at past runs.", no_args_is_help=True)


STATUSES = ("completed", "degraded", "failed", "abstained", "waiting", "unfinished")
RUN_HELP = "A run's id, the start of one, or 'last'."
PLACE = 60  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(runs_app, name="runs")


@runs_app.command("ls")
def ls(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    status: Annotated[str | None, typer.Option("--status", help="Only runs that ended so.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Only runs with this tag; repeatable.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only runs of this user.")] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="Only runs of this session.")
    ] = None,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """The latest runs, newest first."""
    from agentroute.errors import UsageError, did_you_mean
    from agentroute.model.runs import labels_of

    wanted = labels_of(tags=tag or (), user=user, session=session)
    if status is not None and status not in STATUSES:
        hint = did_you_mean(status, STATUSES)
        raise UsageError(f"no run ends '{status}'", hint=hint or "known: " + ", ".join(STATUSES))
    with open_ledger(config, db) as ledger:
        found = ledger.runs(limit, status, labels=wanted if wanted.written() else None)
    if as_json:
        emit(found)
        return
    labelled = any(r.about.get("labels") for r in found)
    rows = [
        (
            r.run_id,
            r.started_at[:19].replace("T", " "),
            r.about.get("name") or "",
            r.status,
            r.calls,
            "" if r.score is None else f"{r.score:.2f}",
            usd(r.cost_usd),
            *([said_of(r.about)] if labelled else []),
        )
        for r in found
    ]
    columns = ["run", "started", "what", "status", ">calls", ">score", ">usd"]
    table("", [*columns, *(["labels"] if labelled else [])], rows)


def said_of(about: Mapping[str, Any]) -> str:
    """A run's labels in a line: tags, then user and session."""
    labels = about.get("labels") or {}
    named = [f"{key} {labels[key]}" for key in ("user", "session") if key in labels]
    return ", ".join([*labels.get("tags", ()), *named])


@runs_app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "last",
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Every choice of one run: who, how likely, what it cost, how it was scored, and why.

    Below it, how the same step was decided in the latest runs: the course of learning.
    """
    from agentroute.cli.parts.views import show_waiting
    from agentroute.execution.history import History
    from agentroute.learning.teaching import find_run

    with open_ledger(config, db) as ledger:
        run_id = find_run(ledger, run_id)
        waiting = History.load(ledger, run_id).waiting
        summary = ledger.run(run_id)
        rows = choices(ledger, run_id)
        history = learning(ledger, summary.about)
    if as_json:
        emit({"run": summary, "choices": rows, "history": history})
        return
    about = summary.about.get("name") or ""
    typer.echo(f"{run_id}  {about}  {summary.status}, started {summary.started_at[:19]}")
    if labels := said_of(summary.about):
        typer.echo(f"labels: {labels}")
    cells = [
        (
            r["kind"],
            r["task"],
            _named(r["chosen"]),
            f"{r['propensity']:.3f}",
            "" if r["score"] is None else f"{r['score']:.2f}",
            "" if r["latency_s"] is None else seconds(r["latency_s"]),
            "" if r["cost_usd"] is None else usd(r["cost_usd"]),
            r["error"] or r["reason"],
        )
        for r in rows
    ]
    columns = ["kind", "task", "chosen", ">p", ">score", ">took", ">usd", "why"]
    table("", columns, cells)
    for task, steps in history.items():
        _show_history(task, steps)
    if summary.status == "waiting":
        show_waiting(run_id, waiting, db)


def _named(chosen: list[str], most: int = 5) -> str:
    """Who was chosen, or which tasks a lead ordered: the first few, and how many more."""
    more = len(chosen) - most
    return (", ".join(chosen[:most]) or "nobody") + (f" and {more} more" if more > 0 else "")


def choices(ledger: Ledger, run_id: str) -> list[dict[str, Any]]:
    """One row a decision: what was chosen, measured and said."""
    outcomes: dict[str, list[Any]] = {}
    for o in ledger.outcomes(run_id):
        if not o.shadow:
            outcomes.setdefault(o.decision_id, []).append(o)
    said: dict[str, list[float]] = {}
    for f in ledger.feedback(run_id):
        said.setdefault(f.target_id, []).append(f.score)
    return [_choice(d, outcomes.get(d.id, []), said.get(d.id)) for d in ledger.decisions(run_id)]


def _choice(d: Any, outcomes: list[Any], said: list[float] | None) -> dict[str, Any]:
    return {
        "id": d.id,
        "kind": d.kind,
        "task": d.task_id,
        "attempt": d.attempt,
        "chosen": list(d.chosen),
        "status": d.status,
        "propensity": d.propensity,
        "score": sum(said) / len(said) if said else None,
        "latency_s": sum(o.latency_s for o in outcomes) if outcomes else None,
        "cost_usd": sum(o.cost_usd for o in outcomes) if outcomes else None,
        "error": next((o.error for o in outcomes if o.error), None),
        "reason": d.reason,
    }


def learning(ledger: Ledger, about: dict[str, Any], last: int = 60) -> dict[str, list[Any]]:
    """Contested tasks of this graph over its latest runs, oldest first: ``[agent, score]``."""
    name = about.get("name")
    if not name:
        return {}
    same = [r for r in ledger.runs(400) if r.about.get("name") == name]
    steps: dict[str, list[Any]] = {}
    for r in reversed(same[:last]):
        for c in choices(ledger, r.run_id):
            if c["kind"] == "route" and c["chosen"] and c["attempt"] == 1:
                steps.setdefault(c["task"], []).append([c["chosen"][0], c["score"]])
    return {t: s for t, s in steps.items() if len({a for a, _ in s}) > 1}


def _show_history(task: str, steps: list[Any]) -> None:
    from agentroute.inspector.charts import sparkline

    agents = sorted({a for a, _ in steps})
    marks = dict(zip(agents, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", strict=False))
    typer.echo(f"{task}, the latest {len(steps)} runs, oldest first:")
    typer.echo("  who    " + "".join(marks.get(a, "?") for a, _ in steps))
    typer.echo("  score  " + sparkline([0.0 if s is None else s for _, s in steps]))
    half = max(1, len(steps) // 2)
    for a in agents:
        early, late = (sum(x == a for x, _ in part) for part in (steps[:half], steps[half:]))
        typer.echo(
            f"  {marks.get(a, '?')} {a}: {early} of the first {half}, "
            f"{late} of the last {len(steps) - half}"
        )
