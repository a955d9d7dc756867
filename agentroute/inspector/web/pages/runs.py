"""All runs, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from agentroute.inspector.links import address
from agentroute.inspector.money import usd
from agentroute.inspector.page import Cell, Section
from agentroute.inspector.web.desk import LINKS, Desk, Page, Query, whole
from agentroute.inspector.web.forms import Field, form
from agentroute.inspector.web.listing import UNFINISHED, Listed, Wanted, listed
from agentroute.model.runs import RunStatus

if TYPE_CHECKING:
    from agentroute.ledger.queries import RunSummary

COLUMNS = (
    "run", "started (UTC)", "graph", "status", ">decisions", ">calls", ">failed", ">score",
    ">USD", "agents",
)  # fmt: skip
TONES = {"completed": "ok", "failed": "bad", "degraded": "note", "abstained": "note"}


def page(desk: Desk, query: Query) -> Page:
    """A page of runs: ``status``, ``graph``, ``text`` and ``before`` of the query."""
    wanted = Wanted(
        query.get("status", ""), query.get("graph", "").strip(), query.get("text", "").strip()
    )
    before = whole(query, "before", 0) or None
    found = listed(desk.ledger, wanted, before)
    section = Section(
        "Newest first" if before is None else f"Before row {before}",
        columns=COLUMNS,
        rows=[run_row(r) for r in found.runs],
        notes=list(_notes(found, wanted, before)),
    )
    return Page("Runs", [section], form=_form(wanted))


def _form(wanted: Wanted) -> Any:
    words = [("", "any"), *((s, s) for s in (*get_args(RunStatus), UNFINISHED))]
    return form(
        "/",
        "Show",
        [
            Field("status", "status", wanted.status, choices=words),
            Field("graph", "graph", wanted.graph),
            Field("text", "words of a task, an answer or an id", wanted.text),
        ],
    )


def _notes(found: Listed, wanted: Wanted, before: int | None) -> list[str | Cell]:
    notes: list[str | Cell] = []
    if not found.runs:
        notes.append("no run is in the ledger yet" if wanted.everything() else "no such run")
    if found.older is not None:
        if len(found.runs) < 50:
            notes.append(f"looked through {found.looked:,} runs")
        asked = {"status": wanted.status, "graph": wanted.graph, "text": wanted.text}
        notes.append(Cell("older", address("/", **asked, before=found.older)))
    if before is not None:
        notes.append(
            Cell("newest", address("/", status=wanted.status, graph=wanted.graph, text=wanted.text))
        )
    return notes


def run_row(r: RunSummary) -> tuple[Any, ...]:
    """A run as a row of the table."""
    most = sorted(r.agents, key=lambda a: (-r.agents[a], a))
    who = ", ".join(most[:4]) + (f" and {len(most) - 4} more" if len(most) > 4 else "")
    name = str(r.about.get("name") or "")
    return (
        Cell(r.run_id[:13], LINKS.run(r.run_id), mono=True),
        Cell(r.started_at[:19].replace("T", " "), mono=True),
        Cell(name, address("/", graph=name) if name else ""),
        Cell(r.status, tone=TONES.get(r.status, "")),
        r.decisions,
        r.calls,
        r.failed or "",
        "" if r.score is None else f"{r.score:.2f}",
        usd(r.cost_usd),
        who,
    )
