"""Reading rows: a few connections that cannot write, shared by all threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from heapq import merge
from pathlib import Path
from typing import Any

from agentroute.errors import LedgerError, RowUnreadableError, UnknownDecisionError
from agentroute.ledger.chain import TABLES
from agentroute.ledger.connect import OfOneProcess, in_our_words, open_reader
from agentroute.ledger.insert import head
from agentroute.ledger.migrations import schema_version
from agentroute.ledger.rows.cards import decode_cardset
from agentroute.ledger.rows.decode import Row, decode_record, decode_row
from agentroute.ledger.rows.encode import ERASED_TYPE
from agentroute.model.candidates import CardSet
from agentroute.model.decisions import Decision, DecisionRecord

Skip = Callable[[int, RowUnreadableError], None]
Wanted = Callable[[bytes], bool]
Raw = tuple[int, str, bytes]  # seq, table, body
_PAGE = 1000


class Reader(OfOneProcess):
    """Point look-ups and scans in ``seq`` order."""

    def __init__(self, path: Path, wait_s: float) -> None:
        super().__init__()
        self.path, self._wait_s = path, wait_s
        self._idle: list[sqlite3.Connection] = []
        self.cardset = lru_cache(maxsize=16)(self._cardset)  # never erased, so safe to keep
        with self.connection() as con:
            nothing = con.execute("SELECT 1 FROM sqlite_master").fetchone() is None
            if schema_version(con) == 0 and nothing:
                raise LedgerError(
                    f"{path} is empty: nothing was ever recorded in it",
                    hint="agentroute run records; or give another file with --db",
                )

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection for as long as the block lasts.

        Raises:
            LedgerError: what the database said, in our words.
        """
        self.refuse_a_fork()
        try:
            con = self._idle.pop() if self._idle else open_reader(self.path, self._wait_s)
        except IndexError:  # another thread was quicker
            con = open_reader(self.path, self._wait_s)
        except sqlite3.Error as e:
            raise in_our_words(e, self.path) from e
        try:
            yield con
        except sqlite3.Error as e:
            con.close()
            raise in_our_words(e, self.path) from e
        except BaseException:
            self._idle.append(con)  # the caller's own error: nothing is wrong with the connection
            raise
        self._idle.append(con)

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle and not self.forked:
            self._idle.pop().close()

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.connection() as con:
            return con.execute(sql, values).fetchall()

    def select(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The columns' names and the rows of a query."""
        with self.connection() as con:
            cursor = con.execute(sql)
            return [c[0] for c in cursor.description or ()], cursor.fetchall()

    def ids(self, start: str) -> list[str]:
        """Ids of runs and decisions that begin with ``start``, at most ten, in order."""
        between = (start, start + chr(0x10FFFF))
        found: set[str] = set()
        for table, column in (("decisions", "id"), ("decisions", "run_id"), ("events", "run_id")):
            sql = (
                f"SELECT DISTINCT {column} FROM {table} "
                f"WHERE {column} >= ? AND {column} < ? ORDER BY 1 LIMIT 10"
            )
            found.update(row[0] for row in self.fetch(sql, between))
        return sorted(found)[:10]

    def head(self) -> tuple[int, str]:
        """``(seq, hex hash)`` of the last row."""
        with self.connection() as con:
            seq, digest = head(con)
        return seq, digest.hex()

    def decision(self, decision_id: str) -> Decision:
        """A decision by id.

        Raises:
            UnknownDecisionError: there is none.
        """
        value = decode_row("decisions", *self._body("body", decision_id)).value
        assert isinstance(value, Decision)
        return value

    def record(self, decision_id: str) -> DecisionRecord:
        """A decision with its arrays; the request is bit-equal to the one that was recorded.

        Raises:
            UnknownDecisionError: there is none.
        """
        seq, body, packed = self._body("body, packed", decision_id)
        return decode_record(seq, body, packed, self.blob, self.cardset)

    def find(self, run_id: str, task_id: str, kind: str, attempt: int) -> Decision | None:
        """The decision of a (run, task, kind, attempt), if it was taken."""
        key = (run_id, task_id, kind, attempt)
        sql = (
            "SELECT seq, body FROM decisions WHERE (run_id, task_id, kind, attempt) = (?, ?, ?, ?)"
        )
        rows = self.fetch(sql, key)
        return self._decisions(rows)[0] if rows else None

    def blob(self, sha: str) -> bytes | None:
        """Content by its SHA-256; None where there is none, or it was erased."""
        rows = self.fetch("SELECT body FROM blobs WHERE sha256 = ?", (sha,))
        return rows[0][0] if rows else None

    def _cardset(self, blob_sha: str) -> CardSet:
        blob = self.blob(blob_sha)
        if blob is None:
            raise RowUnreadableError(
                f"the card set {blob_sha} is missing", hint="run: agentroute ledger verify"
            )
        return decode_cardset(blob)

    def rows(
        self,
        after_seq: int = 0,
        upto: int | None = None,
        tables: Sequence[str] = TABLES,
        skip: Skip | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Row]:
        """Rows with ``after_seq < seq <= upto`` (default: the head at the first step), in order.

        With ``wanted`` only those of whose bodies it says so.

        Raises:
            RowUnreadableError: one cannot be read, where there is no ``skip`` to be told of it.
        """
        for seq, table, body in self.raw(after_seq, upto, tables):
            if wanted is not None and not wanted(body):
                continue
            try:
                row = decode_row(table, seq, body)
            except RowUnreadableError as e:
                if skip is None:
                    raise
                skip(seq, e)
            else:
                yield row

    def raw(
        self, after_seq: int = 0, upto: int | None = None, tables: Sequence[str] = TABLES
    ) -> Iterator[Raw]:
        """``(seq, table, body)`` of the rows, in order, a page at a time."""
        last = self.head()[0] if upto is None else min(upto, self.head()[0])
        for start in range(after_seq, last, _PAGE):
            span = (start, min(start + _PAGE, last))
            with self.connection() as con:
                pages = [
                    con.execute(
                        f"SELECT seq, '{t}', body FROM {t} WHERE seq > ? AND seq <= ? ORDER BY seq",
                        span,
                    ).fetchall()
                    for t in tables
                ]
            yield from merge(*pages)

    def decisions(self, run_id: str) -> list[Decision]:
        """The decisions of a run, in order."""
        sql = "SELECT seq, body FROM decisions WHERE run_id = ? ORDER BY seq"
        return self._decisions(self.fetch(sql, (run_id,)))

    def values(self, table: str, where: str, key: Sequence[Any]) -> list[Row]:
        """Rows of one table in order; ``where`` is our own SQL, ``key`` fills its marks."""
        sql = f"SELECT seq, body FROM {table} WHERE {where} ORDER BY seq"
        return [decode_row(table, seq, body) for seq, body in self.fetch(sql, key)]

    def hash_at(self, seq: int) -> str | None:
        """The hex hash of a row; None where there is no such row."""
        sql = " UNION ALL ".join(f"SELECT hash FROM {t} WHERE seq = ?1" for t in TABLES)
        rows = self.fetch(sql, (seq,))
        return rows[0][0].hex() if rows else None

    def erased_since(self, seq: int) -> bool:
        """Whether anything was erased after a row."""
        sql = "SELECT 1 FROM events WHERE type = ? AND seq > ? LIMIT 1"
        return bool(self.fetch(sql, (ERASED_TYPE, seq)))

    def last_outcomes(self, n: int) -> list[Row]:
        """The last ``n`` outcomes, oldest first."""
        sql = "SELECT seq, body FROM outcomes ORDER BY seq DESC LIMIT ?"
        return [decode_row("outcomes", seq, body) for seq, body in self.fetch(sql, (n,))[::-1]]

    def _body(self, names: str, decision_id: str) -> tuple[Any, ...]:
        rows = self.fetch(f"SELECT seq, {names} FROM decisions WHERE id = ?", (decision_id,))
        if not rows:
            raise UnknownDecisionError(
                f"no decision '{decision_id}' is in the ledger", hint="see: agentroute runs ls"
            )
        return rows[0]

    @staticmethod
    def _decisions(rows: Sequence[tuple[Any, ...]]) -> list[Decision]:
        values = [decode_row("decisions", seq, body).value for seq, body in rows]
        return [v for v in values if isinstance(v, Decision)]
