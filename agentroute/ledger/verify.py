"""Is the ledger what was written? Every row, every column, every array and every text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from agentroute.errors import LedgerTamperedError
from agentroute.ledger.chain import GENESIS, TABLES, Anchor, link
from agentroute.ledger.insert import head
from agentroute.ledger.reader import Reader
from agentroute.ledger.rows.entries import COLUMNS, columns
from agentroute.ledger.structure import structure_problem
from agentroute.model.ids import sha256

_PAGE = 2000
# Events that keep a text by its name, and under which key.
TEXTS = {"run.started": ("plan",), "run.finished": ("answer",)}
Refers = dict[str, tuple[int, str]]  # sha -> the first row that needs it, and its kind
UNANCHORED = (
    "without an anchor it cannot be excluded that the last rows were cut off, "
    "or that everything was written anew"
)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` found. ``bad_seq`` is the first bad row (0: not about one row).

    ``head`` is to be kept elsewhere as the next anchor; ``erased`` counts texts that were erased
    by a recorded event; ``caveat`` says what this check cannot know.
    """

    ok: bool
    rows: int
    head: Anchor
    erased: int = 0
    bad_seq: int | None = None
    problem: str = ""
    caveat: str = ""

    def words(self) -> str:
        """What was found, for people; the head is what to keep elsewhere as the next anchor."""
        if not self.ok:
            where = f"row {self.bad_seq}: " if self.bad_seq else ""
            return f"NOT as it was written. {where}{self.problem}"
        lines = [f"{self.rows:,} rows are as they were written", f"head {self.head}"]
        if self.erased:
            lines.insert(1, f"{self.erased} texts were erased, each by a recorded event")
        return "\n".join([*lines, self.caveat] if self.caveat else lines)

    def raise_if_bad(self) -> None:
        """Raise ``LedgerTamperedError`` unless all is well."""
        if not self.ok:
            raise LedgerTamperedError(
                f"row {self.bad_seq}: {self.problem}",
                seq=self.bad_seq or 0,
                hint="restore a backup; later rows cannot be trusted",
            )


class _Bad(Exception):
    def __init__(self, seq: int, problem: str) -> None:
        super().__init__(problem)
        self.seq, self.problem = seq, problem


_Stored = tuple[Any, ...]  # seq, table, body, prev, hash, packed, and the table's columns


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
            return _report(con, anchor)
        finally:
            con.execute("COMMIT")


def _report(con: sqlite3.Connection, anchor: Anchor | None) -> VerifyReport:
    seq, digest = head(con)
    at = Anchor(seq, digest.hex())
    caveat = UNANCHORED if anchor is None else _after(anchor, seq)
    try:
        _check_structure(con)
        refers = _check_chain(con, seq, anchor)
        erased = _check_blobs(con, refers)
    except _Bad as e:
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


def _check_structure(con: sqlite3.Connection) -> None:
    if problem := structure_problem(con):
        raise _Bad(0, problem)


def _check_chain(con: sqlite3.Connection, last: int, anchor: Anchor | None) -> Refers:
    """Every row in order, and the contents that they refer to."""
    seq, prev, refers = 0, GENESIS, Refers()
    _check_anchor(anchor, 0, GENESIS)
    anchored = -1 if anchor is None else anchor.seq
    for row in _rows(con, last):
        seq += 1
        if row[0] != seq:
            what = "is missing" if row[0] > seq else "is there twice"
            raise _Bad(min(seq, row[0]), f"the row {what}")
        body = _check_row(row, prev)
        prev = row[4]
        if seq == anchored:
            _check_anchor(anchor, seq, prev)
        for sha, kind in _references(row[1], body):
            refers.setdefault(sha, (seq, kind))
    if anchor is not None and anchor.seq > seq:
        raise _Bad(seq + 1, f"the anchor knows {anchor.seq} rows, {seq} are left")
    return refers


def _check_anchor(anchor: Anchor | None, seq: int, digest: bytes) -> None:
    if anchor is not None and anchor.seq == seq and anchor.hash != digest.hex():
        raise _Bad(seq, "the chain is not the one of the anchor")


def _check_row(row: _Stored, prev: bytes) -> dict[str, Any]:
    seq, table, raw, before, digest, packed = row[:6]
    if not (type(raw) is type(before) is type(digest) is bytes) or type(packed) not in _BYTES:
        wrong = next((v for v in row[2:6] if type(v) not in _BYTES), None)
        raise _Bad(seq, f"bytes are stored as {type(wrong).__name__}")
    if before != prev:
        raise _Bad(seq, "it does not follow the row before it")
    if link(prev, table, seq, raw) != digest:
        raise _Bad(seq, "its body is not what was written")
    try:
        body: dict[str, Any] = orjson.loads(raw)
        stated = columns(table, body)
        arrays = body.get("packed_sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Bad(seq, f"its body is not one of {table}") from None
    stored = row[6:]
    if stated != stored:
        pairs = zip(COLUMNS[table], stated, stored, strict=True)
        raise _Bad(
            seq,
            f"its column {next(c for c, a, b in pairs if a != b)} does not say what its body says",
        )
    if arrays != (None if packed is None else sha256(packed)):
        raise _Bad(seq, "its arrays are not the ones that were written")
    return body


_BYTES = (bytes, type(None))


def _references(table: str, body: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """The contents that a row needs: their names, and their kinds."""
    if table == "decisions":
        if (task := body.get("task")) is None:
            return ()
        texts = [(task["prompt"], "text"), *((sha, "text") for _, sha in task["history"])]
        return [(body["cardset"]["blob"], "cardset"), *texts]
    if table == "outcomes":
        return [(sha, "text")] if (sha := body.get("reply")) else ()
    if table == "events":
        keys = TEXTS.get(body.get("type", ""), ())
        return [(sha, "text") for key in keys if (sha := body["data"].get(key))]
    return ()


def _check_blobs(con: sqlite3.Connection, refers: Refers) -> int:
    """Contents match their names and kinds, and are there unless erased; how many were erased."""
    erased, seen = 0, set[str]()
    gone = {i.removeprefix("erased:") for (i,) in con.execute(_ERASED)}
    for sha, kind, body in con.execute("SELECT sha256, kind, body FROM blobs"):
        seen.add(sha)
        seq, wanted = refers.get(sha, (0, kind))
        if kind != wanted:
            raise _Bad(seq, f"the content {sha} is marked {kind}, and is a {wanted}")
        if body is None:
            erased += 1
            if sha not in gone:
                raise _Bad(seq, f"the content {sha} is gone, and no event says why")
        elif sha in gone:
            raise _Bad(seq, f"the content {sha} was erased, and is there again")
        elif not isinstance(body, bytes) or sha256(body) != sha:
            raise _Bad(seq, f"the content {sha} was changed")
    for sha in refers.keys() - seen:
        raise _Bad(refers[sha][0], f"the content {sha} is missing")
    return erased


_ERASED = "SELECT id FROM events WHERE id >= 'erased:' AND id < 'erased;'"


def _rows(con: sqlite3.Connection, last: int) -> Iterator[_Stored]:
    # From below 1 to the end, whatever seq says: nothing may hide outside of 1..last.
    low = min((r[0] for r in con.execute(_LOWEST)), default=1)
    for start in range(min(low, 1) - 1, last, _PAGE):
        page = [row for table in TABLES for row in _page(con, table, start)]
        page.sort(key=itemgetter(0))
        yield from page


_LOWEST = " UNION ALL ".join(
    f"SELECT * FROM (SELECT seq FROM {t} ORDER BY seq LIMIT 1)" for t in TABLES
)


def _page(con: sqlite3.Connection, table: str, start: int) -> list[_Stored]:
    arrays = "packed" if table == "decisions" else "NULL"
    sql = (
        f"SELECT seq, '{table}', body, prev, hash, {arrays}, {', '.join(COLUMNS[table])} "
        f"FROM {table} WHERE seq > ? AND seq <= ?"
    )
    return con.execute(sql, (start, start + _PAGE)).fetchall()
