"""The one thread of a process that writes: rows queue up, and one fsync serves many of them."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from agentroute.errors import LedgerBusyError, LedgerError
from agentroute.ledger.connect import (
    FileLock,
    OfOneProcess,
    checkpoint,
    in_our_words,
    open_writer,
)
from agentroute.ledger.insert import (
    Receipt,
    insert_blobs,
    insert_each,
    insert_entries,
    is_rows_fault,
)
from agentroute.ledger.migrations import migrate
from agentroute.ledger.rows.encode import ERASED_TYPE, Appendable, encode, refused
from agentroute.ledger.rows.entries import Blob, Entry
from agentroute.ledger.rows.fresh import KEPT, Fresh
from agentroute.ledger.tickets import Ticket, announce, renew_lock

log = logging.getLogger(__name__)

MAX_BATCH = 1000
ENOUGH = 250  # so many rows are worth a commit although nobody waits for one
MAX_REMEMBERED = 20_000
TICK_S = 0.005
PATIENCE_TICKS, IDLE_TICKS = 4, 20

Item = tuple[Ticket, Appendable | Blob, str | int]
Insert = Callable[[sqlite3.Connection, Sequence[Entry], Sequence[Blob]], list[Receipt]]


class Writer(OfOneProcess):
    """Takes rows from any thread, commits them in order of arrival, in groups.

    ``put`` only appends to a queue: it wakes nobody while the thread looks in by itself every
    ``TICK_S`` (a hand-over of the interpreter costs the caller 18 us), and who waits for a ticket
    wakes it. Rows that nobody waits for are committed after ``PATIENCE_TICKS`` at the latest. For
    each group the lock between processes is held, and the chain's head is read inside the
    transaction.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self._queue: deque[Item] = deque()
        self._urgent = threading.Event()
        self._asleep = self._closing = self._stopped = False
        self._stored: set[str] = set()  # blobs known to be on the disk
        self._owed: dict[str, Blob] = {}
        self._path = path
        self.fresh = Fresh()
        super().__init__()  # from here on a fork finds this object, also where opening fails
        beside = path.with_name(path.name + ".lock")
        mine = not beside.exists()
        self._lock = FileLock(beside, wait_s)
        try:
            with self._lock.held():
                self._con = _opened(path, wait_s)
        except (LedgerError, sqlite3.Error, OSError) as e:
            self._lock.close()
            if mine and not isinstance(e, LedgerBusyError):
                beside.unlink(missing_ok=True)  # it is no ledger: nothing is left beside it
            raise
        self._thread = threading.Thread(target=self._run, name="agentroute-ledger", daemon=True)
        self._thread.start()

    def put(self, row: Appendable | Blob, at: str | int) -> Ticket:
        """Queue a row; returns at once. ``at`` is a time in ISO 8601, or in ns since 1970."""
        ticket = Ticket(self._wake)
        self._queue.append((ticket, row, at))
        if self._asleep:
            self._urgent.set()
        if self._stopped:
            self._refuse_rest()
        return ticket

    def in_the_child(self) -> None:
        """Refuse what comes: the thread that writes is the parent's alone."""
        self._stopped, self._asleep = True, False
        renew_lock()
        self._refuse_rest()

    def _wake(self) -> None:
        self.refuse_a_fork()
        self._urgent.set()

    def close(self) -> None:
        """Commit what is queued, stop the thread, close the file. May be called twice."""
        if self._stopped:
            return
        self._closing = True
        self._urgent.set()
        self._thread.join()
        self._stopped = True
        self._refuse_rest()
        with suppress(LedgerError), self._lock.held():
            with suppress(sqlite3.Error):
                checkpoint(self._con)
            self._con.close()
        self._lock.close()

    def _run(self) -> None:
        while True:
            self._doze()
            while self._queue:
                with self.busy:
                    self._commit(self._take())
                if len(self._queue) < ENOUGH and not self._urgent.is_set():
                    break
            if self._closing and not self._queue:
                return

    def _doze(self) -> None:
        ticks = 0  # since a row came that nobody waits for: the next one may share its commit
        for _ in range(IDLE_TICKS):
            urgent = self._urgent.wait(TICK_S)
            ticks += bool(self._queue)
            if urgent or ticks >= PATIENCE_TICKS or len(self._queue) >= ENOUGH:
                self._urgent.clear()
                return
        self._asleep = True
        if not self._queue and not self._closing:
            self._urgent.wait()
        self._asleep = False
        self._urgent.clear()

    def _take(self) -> list[Item]:
        self._urgent.clear()
        return [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]

    def _commit(self, batch: list[Item]) -> None:
        tickets, entries, blobs = self._encode(batch)
        try:
            receipts = self._write(entries, blobs)
        except Exception as e:  # whatever it is: this thread lives, and nobody waits for ever
            error = in_our_words(e, self._path)
            log.error("ledger: a group of %d rows was not recorded: %s", len(entries), error)
            receipts = [Receipt(error=error)] * len(tickets)
        self._remember(entries, receipts)
        for ticket, receipt in zip(tickets, receipts, strict=True):
            ticket.settle(receipt.seq, duplicate=receipt.duplicate, error=receipt.error)
        announce(ticket for ticket, _, _ in batch)

    def _encode(self, batch: list[Item]) -> tuple[list[Ticket], list[Entry], list[Blob]]:
        """Entries of the rows that can be stored; the tickets of the others get their error."""
        tickets: list[Ticket] = []
        entries: list[Entry] = []
        blobs: list[Blob] = []
        for ticket, row, at in batch:
            if isinstance(row, Blob):
                blobs.append(row)
                continue
            try:
                entry = encode(row, at)
            except Exception as e:
                error = e if isinstance(e, LedgerError) else refused("this row", e)
                ticket.settle(0, error=error)
                continue
            tickets.append(ticket)
            entries.append(entry)
            blobs += entry.blobs
        return tickets, entries, blobs

    def _write(self, entries: Sequence[Entry], blobs: Sequence[Blob]) -> list[Receipt]:
        # What a failed group left behind is written first: a later row may point to it.
        self._owed |= {b.sha256: b for b in blobs if b.sha256 not in self._stored}
        with self._lock.held():
            try:
                receipts = self._transact(_insert_all, entries)
            except Exception as e:
                if not is_rows_fault(e):
                    raise
                receipts = self._transact(insert_each, entries)
            if any(e.erases for e in entries):  # old pages in the WAL still hold the text
                self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if len(self._stored) > MAX_REMEMBERED:
            self._stored.clear()  # storing again what is there does nothing
        self._stored |= self._owed.keys()
        self._owed.clear()
        return receipts

    def _remember(self, entries: Sequence[Entry], receipts: Sequence[Receipt]) -> None:
        """The last decisions need not be read to be learned from; but where anything was erased
        a text may be one of those, also if it came again.
        """
        written = [(e, r.seq) for e, r in zip(entries[-KEPT:], receipts[-KEPT:], strict=True)
                   if e.record is not None and r.error is None and not r.duplicate]  # fmt: skip
        if written and self._may_be_erased():
            self.fresh.clear()
            return
        for entry, seq in written:
            self.fresh.keep(entry, seq)

    def _may_be_erased(self) -> bool:
        """Whether anything ever was, by any process; also where that cannot be asked: what was
        committed is not refused for what ails the file after it.
        """
        erased = "SELECT 1 FROM events WHERE type = ? LIMIT 1"
        try:
            return self._con.execute(erased, (ERASED_TYPE,)).fetchone() is not None
        except sqlite3.Error:
            return True

    def _transact(self, insert: Insert, entries: Sequence[Entry]) -> list[Receipt]:
        self._con.execute("BEGIN IMMEDIATE")
        try:
            receipts = insert(self._con, entries, list(self._owed.values()))
            self._con.execute("COMMIT")
        except BaseException:
            if self._con.in_transaction:
                self._con.execute("ROLLBACK")
            raise
        return receipts

    def _refuse_rest(self) -> None:
        error = LedgerError("the ledger is closed", hint="open it again")
        try:
            self.refuse_a_fork()
        except LedgerError as e:
            error = e
        while self._queue:
            with suppress(IndexError):
                ticket = self._queue.popleft()[0]
                ticket.settle(0, error=error)
                announce([ticket])


def _opened(path: Path, wait_s: float) -> sqlite3.Connection:
    """A connection to a ledger of the latest schema; none is left open where that fails."""
    con = open_writer(path, wait_s)
    try:
        migrate(con)
    except BaseException:
        con.close()
        raise
    return con


def _insert_all(
    con: sqlite3.Connection, entries: Sequence[Entry], blobs: Sequence[Blob]
) -> list[Receipt]:
    insert_blobs(con, blobs)
    return insert_entries(con, entries)
