"""The schema, as numbered functions that are never edited once released.

Each runs in one transaction together with its own record in ``schema_version``. ``tables.py`` is
the same schema as typed classes for queries; a test holds the two equal. What is written, read and
verified takes its columns from here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from agentroute.errors import LedgerError, SchemaVersionError
from agentroute.ledger.chain import TABLES

APPLICATION_ID = 0x41475254  # "AGRT" in the file's header says: this is a ledger

_OF_THE_CHAIN = frozenset({"seq", "body", "packed", "prev", "hash"})
_CHAINED = "prev BLOB NOT NULL, hash BLOB NOT NULL"

_TABLES_1 = f"""
CREATE TABLE decisions (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, run_id TEXT NOT NULL, task_id TEXT NOT NULL,
  kind TEXT NOT NULL, attempt INTEGER NOT NULL, policy TEXT NOT NULL, status TEXT NOT NULL,
  chosen TEXT NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL, packed BLOB, {_CHAINED});
CREATE UNIQUE INDEX decisions_id ON decisions (id);
CREATE UNIQUE INDEX decisions_key ON decisions (run_id, task_id, kind, attempt);
CREATE TABLE outcomes (
  seq INTEGER PRIMARY KEY, decision_id TEXT NOT NULL, agent TEXT NOT NULL, cost_usd FLOAT NOT NULL,
  latency_s FLOAT NOT NULL, tokens INTEGER NOT NULL, failed BOOLEAN NOT NULL,
  shadow BOOLEAN NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL, {_CHAINED});
CREATE UNIQUE INDEX outcomes_key ON outcomes (decision_id, agent);
CREATE TABLE feedback (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, target TEXT NOT NULL, target_id TEXT NOT NULL,
  agent TEXT, score FLOAT NOT NULL, source TEXT NOT NULL, idempotency_key TEXT, at TEXT NOT NULL,
  body BLOB NOT NULL, {_CHAINED});
CREATE UNIQUE INDEX feedback_id ON feedback (id);
CREATE UNIQUE INDEX feedback_key ON feedback (idempotency_key);
CREATE INDEX feedback_target ON feedback (target_id, seq);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, run_id TEXT NOT NULL, type TEXT NOT NULL,
  at TEXT NOT NULL, body BLOB NOT NULL, {_CHAINED});
CREATE UNIQUE INDEX events_id ON events (id);
CREATE INDEX events_run ON events (run_id, seq);
CREATE INDEX events_type ON events (type, seq);
CREATE TABLE blobs (sha256 TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL, body BLOB);
"""

# An erased text or artefact keeps its row and its name; an event that says so must be there first.
_ERASURE_1 = """
CREATE TRIGGER blobs_no_update BEFORE UPDATE ON blobs
WHEN NOT (NEW.body IS NULL AND NEW.sha256 = OLD.sha256 AND NEW.kind = OLD.kind
          AND OLD.kind IN ('text', 'artefact')
          AND EXISTS (SELECT 1 FROM events WHERE id = 'erased:' || OLD.sha256))
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


def _refuse(table: str, verb: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;"
    )


def _first_schema(con: sqlite3.Connection) -> None:
    for statement in _TABLES_1.split(";"):
        con.execute(statement)
    for table in TABLES:
        con.execute(_refuse(table, "UPDATE"))
        con.execute(_refuse(table, "DELETE"))
    con.execute(_refuse("blobs", "DELETE"))
    con.execute(_ERASURE_1)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first_schema,)
LATEST = len(MIGRATIONS)


def schema_version(con: sqlite3.Connection) -> int:
    """The version of an open database; 0 for an empty one.

    Raises:
        LedgerError: there is something in it, but it is not a ledger.
        SchemaVersionError: written by a newer release.
    """
    tables = {r[0] for r in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    (mark,) = con.execute("PRAGMA application_id").fetchone()
    if not tables and mark == 0:
        return 0
    if mark != APPLICATION_ID or "schema_version" not in tables:
        raise LedgerError("this database is not a ledger", hint="choose another file with --db")
    version = int(con.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0])
    if version > LATEST:
        raise SchemaVersionError(
            f"the ledger has schema {version}, this release knows up to {LATEST}",
            hint="install a newer release of agentroute",
        )
    return version


def stored_columns() -> dict[str, tuple[str, ...]]:
    """Of each chained table: the columns that repeat parts of its body, in the table's order."""
    con = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(con)
        return {
            table: tuple(
                name
                for _, name, *_ in con.execute(f"PRAGMA table_info({table})")
                if name not in _OF_THE_CHAIN
            )
            for table in TABLES
        }
    finally:
        con.close()


def migrate(con: sqlite3.Connection) -> int:
    """Bring the database to ``LATEST``, one transaction a step; returns the version it had.

    The caller holds the ledger's lock. A crash leaves each step done or not begun.
    """
    before = schema_version(con)
    for number in range(before + 1, LATEST + 1):
        con.execute("BEGIN IMMEDIATE")
        try:
            _step(con, number)
        except BaseException:
            con.execute("ROLLBACK")
            raise
        con.execute("COMMIT")
    return before


def _step(con: sqlite3.Connection, number: int) -> None:
    if number == 1:
        con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        con.execute(
            "CREATE TABLE schema_version (version INTEGER PRIMARY KEY NOT NULL, "
            "name TEXT NOT NULL, at TEXT NOT NULL)"
        )
    step = MIGRATIONS[number - 1]
    step(con)
    row = (number, step.__name__.strip("_"), datetime.now(UTC).isoformat())
    con.execute("INSERT INTO schema_version VALUES (?, ?, ?)", row)
