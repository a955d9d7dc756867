"""``Ledger``: what was decided, what came of it, what was said of it. Append-only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from agentroute.errors import LedgerError
from agentroute.ledger.connect import in_our_words, ledger_path
from agentroute.ledger.decode import Row
from agentroute.ledger.encode import Appendable, text_blob
from agentroute.ledger.reader import Reader
from agentroute.ledger.tickets import Ticket, announce
from agentroute.ledger.writer import Writer
from agentroute.model.decisions import Decision, DecisionRecord

DEFAULT_URL = "sqlite:///agentroute.db"


class Ledger:
    """One SQLite file. Any number of threads and loops may use one object.

    ``append`` queues a row and returns a ticket; the row is on the disk (WAL, ``synchronous=FULL``)
    when the ticket is. Reads see what is committed.
    """

    def __init__(self, writer: Writer | None, reader: Reader) -> None:
        self._writer, self._reader = writer, reader
        self.path = reader.path

    @classmethod
    def open(
        cls, url: str = DEFAULT_URL, *, read_only: bool = False, wait_s: float = 5.0
    ) -> Ledger:
        """Open a ledger; unless ``read_only``, create or migrate it.

        ``wait_s`` is how long to wait for another process that writes, in seconds.

        Raises:
            LedgerError: no such folder or file, not a ledger, not readable.
            LedgerBusyError: another process held the lock for ``wait_s``.
            SchemaVersionError: written by a newer release.
        """
        path = ledger_path(url)
        if read_only and not path.exists():
            raise LedgerError(f"there is no ledger at {path}", hint="give another with --db")
        writer: Writer | None = None
        try:
            writer = None if read_only else Writer(path, wait_s)
            return cls(writer, Reader(path, wait_s))
        except Exception as e:
            if writer is not None:
                writer.close()
            raise in_our_words(e, path) from e

    def append(self, row: Appendable, *, at: str | None = None) -> Ticket:
        """Queue a row, at most 10 us; ``at`` is its time (ISO 8601, UTC), by default now.

        Do not change the row's arrays afterwards. What keeps the row out reaches the ticket:
        ``LedgerError`` (full, locked, closed, not JSON), ``UnknownDecisionError``,
        ``UnknownRunError``. A row that is there already is not written twice: the ticket has the
        older row's ``seq`` and is marked ``duplicate``.
        """
        stamp = at or datetime.now(UTC).isoformat(timespec="microseconds")
        if self._writer is None:
            return _refused(LedgerError("the ledger was opened read-only"))
        return self._writer.put(row, stamp)

    def put_text(self, text: str) -> str:
        """Store a text (secrets taken out) with the next commit; the SHA-256 it is found by."""
        blob = text_blob(text)
        if self._writer is None:
            raise LedgerError("the ledger was opened read-only")
        self._writer.put(blob, "")
        return blob.sha256

    def text(self, sha: str) -> str | None:
        """A stored text; None where there is none, or it was erased."""
        data = self._reader.blob(sha)
        return None if data is None else data.decode("utf-8", "surrogatepass")

    def decision(self, decision_id: str) -> Decision:
        """A decision by id; ``UnknownDecisionError`` if there is none."""
        return self._reader.decision(decision_id)

    def record(self, decision_id: str) -> DecisionRecord:
        """A decision with its arrays, bit-equal; ``UnknownDecisionError`` if there is none."""
        return self._reader.record(decision_id)

    def find(self, run_id: str, task_id: str, kind: str, attempt: int = 1) -> Decision | None:
        """The decision of a (run, task, kind, attempt), so that it is never taken twice."""
        return self._reader.find(run_id, task_id, kind, attempt)

    def decisions(self, run_id: str) -> list[Decision]:
        """The decisions of a run, in order of ``seq``."""
        return self._reader.decisions(run_id)

    def rows(self, after_seq: int = 0, upto: int | None = None) -> Iterator[Row]:
        """All rows with ``after_seq < seq <= upto`` in order; ``upto`` None means the head now."""
        return self._reader.rows(after_seq, upto)

    def head(self) -> tuple[int, str]:
        """``(seq, hex hash)`` of the last committed row; ``(0, '00...')`` when empty."""
        return self._reader.head()

    def close(self) -> None:
        """Commit what is queued, then close. May be called twice."""
        if self._writer is not None:
            self._writer.close()
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _refused(error: LedgerError) -> Ticket:
    ticket = Ticket(lambda: None)
    ticket.settle(0, error=error)
    announce([ticket])
    return ticket
