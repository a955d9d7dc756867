"""Two runs side by side."""

from __future__ import annotations

from typing import Any

from agentroute.inspector.comparing import Comparison, Did, compare, totals
from agentroute.inspector.money import usd
from agentroute.inspector.page import Cell, Section
from agentroute.inspector.web.desk import LINKS, Desk, Page, Query
from agentroute.inspector.web.forms import Field, form
from agentroute.learning.teaching import find_target


def page(desk: Desk, query: Query) -> Page:
    """The runs ``a`` and ``b``; the form where one is missing."""
    a, b = query.get("a", "").strip(), query.get("b", "").strip()
    ask = form("/compare", "Compare", [Field("a", "a run", a), Field("b", "another", b)])
    if not (a and b):
        said = Section("Name two runs", "The whole id, its start, or 'last'.")
        return Page("Compare", [said], form=ask)
    found = compare(desk.ledger, _run(desk, a), _run(desk, b))
    return Page("Compare", [_sums(desk, found), _tasks(found)], form=ask)


def _run(desk: Desk, words: str) -> str:
    return words if desk.ledger.decisions(words) else find_target(desk.ledger, words)


def _sums(desk: Desk, found: Comparison) -> Section:
    rows: list[tuple[Any, ...]] = [
        ("run", *(Cell(i[:13], LINKS.run(i), mono=True) for i in (found.a, found.b)))
    ]
    rows += totals(desk.ledger, found)
    alike = {True: "The answers are the same text.", False: "The answers differ."}
    words = "" if found.answers_alike is None else alike[found.answers_alike]
    marked = frozenset(
        i for i, r in enumerate(rows) if r[0] not in ("run", "started") and r[1] != r[2]
    )
    return Section("As a whole", words, columns=("", "first", "second"), rows=rows, marked=marked)


def _tasks(found: Comparison) -> Section:
    columns = ("task", "first", ">score", ">s", ">USD", "second", ">score", ">s", ">USD")
    rows = [(p.task, *_did(p.a), *_did(p.b)) for p in found.tasks]
    other = [i for i, p in enumerate(found.tasks) if p.differs]
    return Section(
        "Task by task",
        f"{len(other)} of {len(found.tasks)} were done by others; they are marked.",
        columns=columns,
        rows=rows,
        marked=frozenset(other),
    )


def _did(d: Did | None) -> tuple[Any, ...]:
    if d is None:
        return ("not there", "", "", "")
    who = ", ".join(d.chosen) or "nobody"
    again = f" ({d.attempts} choices)" if d.attempts > 1 else ""
    return (
        Cell(f"{who}{again}", LINKS.decision(d.decision_id)),
        "" if d.score is None else f"{d.score:.2f}",
        f"{d.latency_s:.3g}",
        usd(d.cost_usd),
    )
