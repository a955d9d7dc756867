"""One run: tasks, calls and choices, one of the tasks selected in all of them."""

from __future__ import annotations

from agentroute.inspector.links import address
from agentroute.inspector.page import Cell, Section
from agentroute.inspector.runpage import run_lead, run_sections, run_title
from agentroute.inspector.web.desk import LINKS, Desk, Page, Query
from agentroute.learning.teaching import find_target


def page(desk: Desk, query: Query) -> Page:
    """The run ``id`` (or the start of one, or 'last'), with ``task`` selected."""
    ledger = desk.ledger
    run_id, task = query.get("id", "last"), query.get("task", "")
    rows = ledger.run_rows(run_id)
    if not rows:
        run_id = find_target(ledger, run_id)
        rows = ledger.run_rows(run_id)
    run = ledger.run(run_id)
    sections = run_sections(ledger, run, rows, links=LINKS, task=task)
    more: list[str | Cell] = [
        Cell("compare with another run", address("/compare", a=run_id)),
        f"as one file: agentroute report {run_id}",
    ]
    if task:
        more.insert(0, Cell(f"task '{task}' is marked; show all alike", LINKS.run(run_id)))
    sections.append(Section("More", notes=more))
    return Page(run_title(run), sections, lead=f"{run_lead(run)}.", ident=run_id)
