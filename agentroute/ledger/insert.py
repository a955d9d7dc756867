"""Rows into tables, inside one transaction: places in the chain, duplicates, unknown targets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

import orjson

from agentroute.errors import LedgerError, RunStateError, UnknownDecisionError, UnknownRunError
from agentroute.ledger.chain import GENESIS, TABLES, link
from agentroute.ledger.rows.encode import refused
from agentroute.ledger.rows.entries import COLUMNS, Blob, Entry
from agentroute.model.runs import RUN_STEPS, RunState, next_state

T = TypeVar("T")

# Errors of SQLite that come from a row's values; the others come from the file.
_ROWS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)

_HEAD = " UNION ALL ".join(
    f"SELECT * FROM (SELECT seq, hash FROM {t} ORDER BY seq DESC LIMIT 1)" for t in TABLES
)

# What makes a row the same row: these columns find the older one.
_SAME = {
    "decisions": "id = ?1 OR (run_id = ?2 AND task_id = ?3 AND kind = ?4 AND attempt = ?5)",
    "outcomes": "decision_id = ?1 AND agent = ?2",
    "feedback": "id = ?1 OR idempotency_key = ?2",
    "events": "id = ?1",
}


def _insert(table: str) -> str:
    names = ["seq", *COLUMNS[table], "body", *(["packed"] * (table == "decisions")), "prev", "hash"]
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"


_INSERT = {t: _insert(t) for t in TABLES}
_BLOB = "INSERT INTO blobs (sha256, kind, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"


class Receipt(NamedTuple):
    """What became of an entry: its place, an older row's place, or why it was refused."""

    seq: int = 0
    duplicate: bool = False
    error: LedgerError | None = None


def head(con: sqlite3.Connection) -> tuple[int, bytes]:
    """``(seq, hash)`` of the last row; ``(0, GENESIS)`` of an empty ledger."""
    return max(con.execute(_HEAD).fetchall(), default=(0, GENESIS))


def insert_blobs(con: sqlite3.Connection, blobs: Sequence[Blob]) -> None:
    """Store content that is not there yet."""
    con.executemany(_BLOB, [(b.sha256, b.kind, b.body) for b in blobs])


def insert_entries(con: sqlite3.Connection, entries: Sequence[Entry]) -> list[Receipt]:
    """Chain the entries to the head, in order; one receipt each. Call inside a transaction.

    The seqs of all that is committed are 1, 2, 3, ... without a gap.
    """
    seq, prev = head(con)
    receipts: list[Receipt] = []
    for entry in entries:
        error = _refusal(con, entry)
        if error is not None:
            receipts.append(Receipt(error=error))
            continue
        digest = link(prev, entry.table, seq + 1, entry.body)
        if _add(con, entry, seq + 1, prev, digest):
            seq, prev = seq + 1, digest
            if entry.erases is not None:
                con.execute("UPDATE blobs SET body = NULL WHERE sha256 = ?", (entry.erases,))
            receipts.append(Receipt(seq))
        else:
            receipts.append(Receipt(_older(con, entry), duplicate=True))
    return receipts


def insert_each(
    con: sqlite3.Connection, entries: Sequence[Entry], blobs: Sequence[Blob]
) -> list[Receipt]:
    """As ``insert_blobs`` and ``insert_entries``, but a row that raises is refused alone.

    Slower (a savepoint a row): for a group in which something was found that cannot be stored.
    """
    lost = {b.sha256 for b in blobs if _alone(con, partial(insert_blobs, con, [b]))[1]}
    receipts: list[Receipt] = []
    for entry in entries:
        got: list[Receipt] | None = None
        error: Exception | None = ValueError("a text of it cannot be stored")
        if not any(b.sha256 in lost for b in entry.blobs):
            got, error = _alone(con, partial(insert_entries, con, [entry]))
        if error is not None:
            got = [Receipt(error=refused(f"this row of {entry.table}", error))]
        receipts += got or []
    return receipts


def is_rows_fault(error: Exception) -> bool:
    """Whether another row might do: False for what ails the file, the disk or the lock."""
    return isinstance(error, _ROWS) or not isinstance(error, (LedgerError, OSError, sqlite3.Error))


def _alone(con: sqlite3.Connection, insert: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Do ``insert`` in a savepoint: what it gave, or what the row raised once it is undone."""
    con.execute("SAVEPOINT one_row")
    given: T | None = None
    error: Exception | None = None
    try:
        given = insert()
    except Exception as e:
        if not is_rows_fault(e):
            raise
        con.execute("ROLLBACK TO one_row")
        error = e
    con.execute("RELEASE one_row")
    return given, error


def _add(con: sqlite3.Connection, entry: Entry, seq: int, prev: bytes, digest: bytes) -> bool:
    packed = (entry.packed,) if entry.table == "decisions" else ()
    values = (seq, *entry.columns, entry.body, *packed, prev, digest)
    return con.execute(_INSERT[entry.table], values).rowcount == 1


def _older(con: sqlite3.Connection, entry: Entry) -> int:
    keys = [_stated(entry, column) for column in _KEYS[entry.table]]
    sql = f"SELECT seq FROM {entry.table} WHERE {_SAME[entry.table]} ORDER BY seq LIMIT 1"
    return int(con.execute(sql, keys).fetchone()[0])


_KEYS = {
    "decisions": ("id", "run_id", "task_id", "kind", "attempt"),
    "outcomes": ("decision_id", "agent"),
    "feedback": ("id", "idempotency_key"),
    "events": ("id",),
}


def _stated(entry: Entry, column: str) -> Any:
    return entry.columns[COLUMNS[entry.table].index(column)]


def _refusal(con: sqlite3.Connection, entry: Entry) -> LedgerError | None:
    if entry.table == "outcomes":
        return _no_decision(con, _stated(entry, "decision_id"))
    if entry.table == "feedback":
        target, target_id = _stated(entry, "target"), _stated(entry, "target_id")
        return _no_decision(con, target_id) if target == "decision" else _no_run(con, target_id)
    if entry.erases is not None:
        return _not_erasable(con, entry.erases)
    if entry.table == "events" and _stated(entry, "type") in RUN_STEPS:
        return _no_step(con, entry)
    return None


def _no_step(con: sqlite3.Connection, entry: Entry) -> LedgerError | None:
    """Why a run's event cannot follow those before it; the same event again is a duplicate."""
    if con.execute("SELECT 1 FROM events WHERE id = ?", (_stated(entry, "id"),)).fetchone():
        return None
    marks = ", ".join("?" * len(RUN_STEPS))
    rows = con.execute(
        f"SELECT type, body FROM events WHERE run_id = ? AND +type IN ({marks}) ORDER BY seq",
        (_stated(entry, "run_id"), *RUN_STEPS),
    )
    state: RunState = "new"
    for event, body in rows:
        with suppress(RunStateError):  # of a release that did not check: its first end stands
            state = next_state(state, event, _end(body))
    try:
        next_state(state, _stated(entry, "type"), _end(entry.body))
    except RunStateError as e:
        return e
    return None


def _end(body: bytes) -> str:
    return str(orjson.loads(body)["data"].get("status", "completed"))


def _not_erasable(con: sqlite3.Connection, sha: str) -> LedgerError | None:
    row = con.execute("SELECT kind FROM blobs WHERE sha256 = ?", (sha,)).fetchone()
    if row is None:
        return LedgerError(f"there is no text or artefact {sha}")
    if row[0] not in ("text", "artefact"):
        return LedgerError(f"{sha} is a {row[0]}: only texts and artefacts can be erased")
    return None


def _no_decision(con: sqlite3.Connection, decision_id: str) -> LedgerError | None:
    if con.execute("SELECT 1 FROM decisions WHERE id = ?", (decision_id,)).fetchone():
        return None
    return UnknownDecisionError(
        f"no decision '{decision_id}' is in the ledger", hint="agentroute runs show RUN lists them"
    )


def _no_run(con: sqlite3.Connection, run_id: str) -> LedgerError | None:
    known = (
        "SELECT 1 FROM decisions WHERE run_id = ?1 UNION ALL "
        "SELECT 1 FROM events WHERE run_id = ?1 LIMIT 1"
    )
    if con.execute(known, (run_id,)).fetchone():
        return None
    return UnknownRunError(f"no run '{run_id}' is in the ledger", hint="see: agentroute runs ls")
