"""Is the ledger what was written? Every row, every column, every array and every text."""

from __future__ import annotations

import sqlite3

from agentroute.ledger.chain import GENESIS, Anchor
from agentroute.ledger.insert import head
from agentroute.ledger.reader import Reader
from agentroute.ledger.verifying.contents import Refers, check_contents
from agentroute.ledger.verifying.pages import Link, Page, Reference, in_order, pages, sound
from agentroute.ledger.verifying.report import UNANCHORED, BadRowError, VerifyReport
from agentroute.ledger.verifying.row import check_row, references
from agentroute.ledger.verifying.structure import structure_problem


def verify(reader: Reader, anchor: Anchor | None = None) -> VerifyReport:
    """Compute the whole chain again, in one snapshot of the database.

    Finds what was edited, deleted, inserted, swapped or repeated, columns that do not say what the
    body says, changed arrays and texts, missing or returned contents, another structure; with an
    ``anchor`` also truncation and a chain that was written anew.

    Raises:
        LedgerError: the file cannot be read at all.
    """
    with reader.connection() as con:
        con.execute("BEGIN")
        try:
            return report_of(con, anchor)
        finally:
            con.execute("COMMIT")


def report_of(con: sqlite3.Connection, anchor: Anchor | None) -> VerifyReport:
    """What ``verify`` finds through this connection; the caller holds the snapshot."""
    seq, digest = head(con)
    at = Anchor(seq, digest.hex())
    caveat = UNANCHORED if anchor is None else _after(anchor, seq)
    try:
        if problem := structure_problem(con):
            raise BadRowError(0, problem)
        erased = check_contents(con, _check_chain(con, seq, anchor))
    except BadRowError as e:
        return VerifyReport(False, seq, at, 0, e.seq, e.problem, caveat)
    return VerifyReport(True, seq, at, erased, caveat=caveat)


def _after(anchor: Anchor, seq: int) -> str:
    """What an anchor that is older than the last row cannot know."""
    if anchor.seq >= seq:
        return ""
    return (
        f"the {seq - anchor.seq:,} rows after the anchor are known by no anchor: that they were "
        "cut off or written anew cannot be excluded"
    )


def _check_chain(con: sqlite3.Connection, last: int, anchor: Anchor | None) -> Refers:
    """Every row in order, and the contents that they refer to."""
    seq, prev, refers = 0, GENESIS, Refers()
    _check_anchor(anchor, 0, GENESIS)
    for page in pages(con, last):
        links, needed = sound(page, seq, prev) or _row_by_row(page, seq, prev, anchor)
        for found, _, digest in links if anchor is not None else ():
            _check_anchor(anchor, found, digest)
        if links:
            seq, _, prev = links[-1]
        needed.sort()  # the first row that needs a content is the one that is named
        for found, sha, kind in needed:
            refers.setdefault(sha, (found, kind))
    if anchor is not None and anchor.seq > seq:
        raise BadRowError(seq + 1, f"the anchor knows {anchor.seq} rows, {seq} are left")
    return refers


def _check_anchor(anchor: Anchor | None, seq: int, digest: bytes) -> None:
    if anchor is not None and anchor.seq == seq and anchor.hash != digest.hex():
        raise BadRowError(seq, "the chain is not the one of the anchor")


def _row_by_row(
    page: Page, seq: int, prev: bytes, anchor: Anchor | None
) -> tuple[list[Link], list[Reference]]:
    """Where a page is not sound: the first bad row, by name."""
    links: list[Link] = []
    needed: list[Reference] = []
    for table, row in in_order(page):
        seq += 1
        if row[0] != seq:
            what = "is missing" if row[0] > seq else "is there twice"
            raise BadRowError(min(seq, row[0]), f"the row {what}")
        body = check_row(table, row, prev)
        before, prev = prev, row[3]
        _check_anchor(anchor, seq, prev)
        links.append((seq, before, prev))
        needed += [(seq, sha, kind) for sha, kind in references(table, body)]
    return links, needed
