"""The audit trail: its head, its rows, and whether they are what was written."""

from __future__ import annotations

import orjson

from agentroute.errors import UsageError
from agentroute.inspector.links import address
from agentroute.inspector.page import Cell, Section
from agentroute.inspector.web.chained import sealed
from agentroute.inspector.web.desk import LINKS, Desk, Page, Query, whole
from agentroute.ledger.chain import TABLES

SHOWN = 100
# What of each table is shown in a line: whom it is about, and what it says.
_SAID = {
    "decisions": "run_id, kind || ' ' || task_id || ': ' || chosen",
    "outcomes": "decision_id, agent || CASE WHEN failed THEN ' failed' ELSE '' END",
    "feedback": "target || ':' || target_id, source || ': ' || round(score, 3)",
    "events": "run_id, type",
}
_ROWS = " UNION ALL ".join(
    f"SELECT * FROM (SELECT seq, at, '{t}', {said} FROM {t} WHERE seq < ?1 AND seq >= ?2)"
    for t, said in _SAID.items()
)


def page(desk: Desk, query: Query) -> Page:
    """Head, size, and rows before ``before``, newest first."""
    ledger = desk.ledger
    seq, digest = ledger.head()
    before = min(whole(query, "before", seq + 1, low=1), seq + 1)
    low = max(1, before - SHOWN)
    rows = sorted(ledger.query(_ROWS, (before, low)), reverse=True)
    notes: list[str | Cell] = []
    if low > 1:
        notes.append(Cell("older", address("/ledger", before=low)))
    if before <= seq:
        notes.append(Cell("newest", "/ledger"))
    table = [
        (Cell(str(n), LINKS.row(n)), Cell(at[:23].replace("T", " "), mono=True), what,
         _about(what, who), said)
        for n, at, what, who, said in rows
    ]  # fmt: skip
    head = Section(
        "Head",
        f"{seq:,} rows. Kept elsewhere, the head finds a cut end or a chain written anew: "
        "agentroute ledger verify --anchor FILE.",
        notes=[Cell("check all rows now", "/ledger/verify")],
        pre=f"{seq}:{digest}",
    )
    shown = Section(
        "Rows",
        columns=(">row", "at (UTC)", "kind", "about", "=says"),
        rows=list(table),
        notes=notes,
    )
    return Page("Ledger", [head, shown], ident=str(ledger.path))


def _about(what: str, who: str) -> Cell:
    if what == "feedback":
        kind, _, who = who.partition(":")
        href = LINKS.run(who) if kind == "run" else LINKS.decision(who)
    elif what == "outcomes":
        href = LINKS.decision(who)
    else:
        href = LINKS.run(who) if who else ""
    return Cell(who[:13], href, mono=True)


def verify_page(desk: Desk, query: Query) -> Page:
    """Every row, column, array and text against its hash; the answer holds for this head."""
    report = desk.once(("verify",), desk.ledger.verify)
    title = "As it was written" if report.ok else "NOT as it was written"
    first, *rest = report.words().splitlines()
    section = Section(first, "", notes=list(rest))
    return Page(title, [section])


def row_page(desk: Desk, query: Query) -> Page:
    """The row ``seq`` as it is stored."""
    seq = whole(query, "seq", 0)
    found = sealed(desk.ledger, seq)
    if found.table not in TABLES:
        raise UsageError(f"there is no row {seq}", hint=f"the last is {desk.ledger.head()[0]}")
    said = Section(
        f"{found.table}, {found.at}",
        notes=[
            Cell(found.words, tone="ok" if found.ok else "bad"),
            f"hash {found.hash}",
            *_neighbours(desk, seq),
        ],
        pre=_pretty(found.body),
    )
    return Page(f"Row {seq}", [said])


def _neighbours(desk: Desk, seq: int) -> list[str | Cell]:
    last = desk.ledger.head()[0]
    near = [("the row before", seq - 1), ("the row after", seq + 1)]
    return [Cell(words, LINKS.row(n)) for words, n in near if 1 <= n <= last]


def _pretty(body: bytes) -> str:
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
