"""Views and helper tables into a ledger, filled up to its last decision."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson

from agentroute.errors import LedgerError, RowUnreadableError
from agentroute.ledger.connect import FileLock, in_our_words, ledger_path, open_writer
from agentroute.ledger.reader import Reader
from agentroute.ledger.rows.pack import unpack
from agentroute.ledger.views.sql import HELPERS, TABLES, VIEWS

T = TypeVar("T")

PAGE = 500  # decisions a transaction: others write in between
_ADD = "INSERT OR REPLACE INTO shown_candidates VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_NEXT = (
    "SELECT seq, body, packed FROM decisions WHERE kind = 'route' AND packed IS NOT NULL"
    " AND seq > ? ORDER BY seq LIMIT ?"
)

Candidate = tuple[Any, ...]  # a row of shown_candidates


@dataclass(frozen=True, slots=True)
class Made:
    """What is there now."""

    views: tuple[str, ...]
    decisions: int
    candidates: int
    unreadable: tuple[int, ...] = ()


def make_views(url: str, weights: Mapping[str, float], *, wait_s: float = 5.0) -> Made:
    """Make the views, or bring them up to the last decision; ``weights`` by kind of source.

    ``unreadable`` are the rows whose candidates cannot be shown. Other processes may write
    meanwhile.

    Raises:
        LedgerError: there is no ledger, or it cannot be written.
        LedgerBusyError: another process held the lock for ``wait_s``.
    """
    return _with(url, wait_s, lambda con, lock, path: _made(con, lock, path, weights, wait_s))


def drop_views(url: str, *, wait_s: float = 5.0) -> None:
    """Take the views and helper tables away; the rows stay as they are.

    Raises:
        LedgerError, LedgerBusyError: see ``make_views``.
    """

    def drop(con: sqlite3.Connection, lock: FileLock, path: Path) -> None:
        with lock.held():
            _transact(con, lambda: _clear(con, TABLES))

    _with(url, wait_s, drop)


def _with(url: str, wait_s: float, work: Callable[[sqlite3.Connection, FileLock, Path], T]) -> T:
    path = ledger_path(url)
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}", hint="give another with --db")
    Reader(path, wait_s).close()  # says so where it is none of ours, and leaves nothing beside it
    try:
        with (
            closing(FileLock(path.with_name(path.name + ".lock"), wait_s)) as lock,
            closing(open_writer(path, wait_s)) as con,
        ):
            return work(con, lock, path)
    except (sqlite3.Error, OSError) as e:
        raise in_our_words(e, path) from e


def _made(
    con: sqlite3.Connection,
    lock: FileLock,
    path: Path,
    weights: Mapping[str, float],
    wait_s: float,
) -> Made:
    with lock.held():
        _transact(con, lambda: _build(con, weights))
    bad: list[int] = []
    reader = Reader(path, wait_s)
    try:
        while True:
            with lock.held():
                if not _transact(con, lambda: _fill(con, reader, bad)):
                    break
    finally:
        reader.close()
    sql = "SELECT count(DISTINCT seq), count(*) FROM shown_candidates"
    decisions, candidates = con.execute(sql).fetchone()
    return Made(tuple(VIEWS), decisions, candidates, tuple(bad))


def _transact(con: sqlite3.Connection, work: Callable[[], T]) -> T:
    con.execute("BEGIN IMMEDIATE")
    try:
        done = work()
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
    return done


def _clear(con: sqlite3.Connection, tables: tuple[str, ...] = ()) -> None:
    for name in reversed(VIEWS):
        con.execute(f"DROP VIEW IF EXISTS {name}")
    for name in tables:
        con.execute(f"DROP TABLE IF EXISTS {name}")


def _build(con: sqlite3.Connection, weights: Mapping[str, float]) -> None:
    _clear(con)  # a newer release may say them otherwise
    for statement in HELPERS.split(";"):
        con.execute(statement)
    con.execute("DELETE FROM shown_weights")
    con.executemany("INSERT INTO shown_weights VALUES (?, ?)", list(weights.items()))
    con.execute("INSERT OR IGNORE INTO shown_upto VALUES (1, 0)")
    for name, sql in VIEWS.items():
        con.execute(f"CREATE VIEW {name} AS {sql}")


def _fill(con: sqlite3.Connection, reader: Reader, bad: list[int]) -> bool:
    """The next page of decisions; False where there is none."""
    (upto,) = con.execute("SELECT seq FROM shown_upto").fetchone()
    rows = con.execute(_NEXT, (upto, PAGE)).fetchall()
    for seq, body, packed in rows:
        try:
            con.executemany(_ADD, list(_candidates(reader, seq, body, packed)))
        except (RowUnreadableError, LedgerError, ValueError, KeyError, IndexError):
            bad.append(seq)
    if rows:
        con.execute("UPDATE shown_upto SET seq = ?", (rows[-1][0],))
    return bool(rows)


def _candidates(reader: Reader, seq: int, raw: bytes, packed: bytes) -> Iterator[Candidate]:
    arrays = unpack(packed)
    names = reader.cardset(orjson.loads(raw)["cardset"]["blob"]).names
    nothing = np.full(len(arrays["rows"]), np.nan)
    columns = [
        arrays.get(name, nothing).tolist()
        for name in ("mean", "bonus", "propensity", "cost_usd", "latency_s")
    ]
    for place, (row, *values) in enumerate(zip(arrays["rows"], *columns, strict=True)):
        yield (seq, place, str(names[row]), *(v if np.isfinite(v) else None for v in values))
