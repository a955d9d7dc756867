"""``Ledger``: what was decided, what came of it, what was said of it. Append-only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agentroute.errors import LedgerError
from agentroute.ledger import queries
from agentroute.ledger.backup import backup
from agentroute.ledger.chain import TABLES, Anchor
from agentroute.ledger.connect import in_our_words, ledger_path
from agentroute.ledger.lease import Lease, take_lease
from agentroute.ledger.queries import RunSummary
from agentroute.ledger.reader import Raw, Reader, Skip, Wanted
from agentroute.ledger.rows.decode import Row
from agentroute.ledger.rows.encode import Appendable, Erasure
from agentroute.ledger.rows.entries import Blob, artefact_blob, text_blob
from agentroute.ledger.tickets import Ticket, announce
from agentroute.ledger.verify import VerifyReport, verify
from agentroute.ledger.writer import Writer
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.runs import Labels

if TYPE_CHECKING:
    from agentroute.ledger.explaining.explanation import Explanation

DEFAULT_URL = "sqlite:///agentroute.db"
_READ_ONLY = LedgerError("the ledger was opened read-only")


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
        writer: Writer | None = None
        try:
            if read_only and not path.exists():
                raise LedgerError(f"there is no ledger at {path}", hint="give another with --db")
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
        return self._put(row, at or time_ns())  # made into text by the writer: 3 us less here

    def put_text(self, text: str) -> str:
        """Store a text (secrets taken out) with the next commit; the SHA-256 it is found by."""
        return self._put_blob(text_blob(text))

    def put_artefact(self, data: bytes) -> str:
        """Store a file's content, as it is, with the next commit; its SHA-256."""
        return self._put_blob(artefact_blob(data))

    def erase(self, sha: str, *, reason: str) -> Ticket:
        """Forget a stored text or artefact for good; an event row says so, and why.

        The chain still verifies: rows hold the SHA-256 only. The same content is not stored again.
        The ticket gets a ``LedgerError`` for what is not there or can never be erased (card sets).
        """
        return self.append(Erasure(sha, reason))

    def take_lease(self, run_id: str) -> Lease:
        """The right to work on a run; ``LedgerBusyError`` while a live process has it."""
        if self._writer is None:
            raise _READ_ONLY
        return take_lease(self.path, run_id, self.append)

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

    def fresh(self, decision_id: str) -> DecisionRecord | None:
        """What ``record`` gives, of one of the last decisions written here; None: read it."""
        return None if self._writer is None else self._writer.fresh.record(decision_id)

    def find(self, run_id: str, task_id: str, kind: str, attempt: int = 1) -> Decision | None:
        """The decision of a (run, task, kind, attempt), so that it is never taken twice."""
        return self._reader.find(run_id, task_id, kind, attempt)

    def decisions(self, run_id: str) -> list[Decision]:
        """The decisions of a run, in order of ``seq``."""
        return self._reader.decisions(run_id)

    def outcomes(
        self, run_id: str | None = None, *, decision_id: str | None = None
    ) -> list[Outcome]:
        """Outcomes of a run or of one decision, in order."""
        where, key = "decision_id = ?", decision_id
        if run_id is not None:
            where, key = "decision_id IN (SELECT id FROM decisions WHERE run_id = ?)", run_id
        rows = self._reader.values("outcomes", where, (key,))
        return [r.value for r in rows if isinstance(r.value, Outcome)]

    def last_outcomes(self, n: int = 1000) -> list[Row]:
        """The last ``n`` outcomes with their times, oldest first: live state is rebuilt from it."""
        return self._reader.last_outcomes(n)

    def ids(self, start: str) -> list[str]:
        """Ids of runs and decisions that begin with ``start``, at most ten."""
        return self._reader.ids(start)

    def feedback(self, target_id: str) -> list[Feedback]:
        """All feedback on a run (its decisions included) or on a decision, in order."""
        where = "target_id = ?1 OR target_id IN (SELECT id FROM decisions WHERE run_id = ?1)"
        rows = self._reader.values("feedback", where, (target_id,))
        return [r.value for r in rows if isinstance(r.value, Feedback)]

    def notes(self, run_id: str, type: str | None = None) -> list[Note]:
        """Events of a run, in order, of one type or of all."""
        where, key = "run_id = ?", [run_id]
        if type is not None:
            where, key = f"{where} AND +type = ?", [run_id, type]  # by the run: its rows are few
        rows = self._reader.values("events", where, key)
        return [r.value for r in rows if isinstance(r.value, Note)]

    def runs(
        self, limit: int = 50, status: str | None = None, *, before_seq: int | None = None,
        labels: Labels | None = None,
    ) -> list[RunSummary]:  # fmt: skip
        """The latest runs, newest first; ``before_seq`` (of the last one seen) pages on.

        ``labels`` are what a run must have been started with: all the tags, the user, the session.
        """
        return queries.runs(
            self._reader, limit=limit, status=status, before_seq=before_seq, labels=labels
        )

    def run(self, run_id: str) -> RunSummary:
        """What a run came to; ``UnknownRunError`` if there is none."""
        return queries.run(self._reader, run_id)

    def summaries(self, first: dict[str, int]) -> list[RunSummary]:
        """What some runs came to; ``first`` is each id's first ``seq``, its page's order."""
        from agentroute.ledger import queries

        return queries.summaries(self._reader, first)

    def run_rows(self, run_id: str) -> list[Row]:
        """Everything about a run with times, in order of ``seq``."""
        return queries.run_rows(self._reader, run_id)

    def rows(
        self,
        after_seq: int = 0,
        upto: int | None = None,
        *,
        tables: Sequence[str] = TABLES,
        skip: Skip | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Row]:
        """All rows with ``after_seq < seq <= upto`` in order; ``upto`` None means the head now.

        ``skip(seq, error)`` is told of a row that cannot be read; without it the error is raised.
        ``wanted(body)`` says of a row's JSON whether the row is made of it at all.
        """
        return self._reader.rows(after_seq, upto, tables, skip, wanted)

    def raw(self) -> Iterator[Raw]:
        """``(seq, table, body)`` of all rows, in order; ``body`` is the JSON that is hashed."""
        return self._reader.raw()

    def about(self, decision: Decision) -> list[Row]:
        """Outcomes and feedback of a decision, also what was said of its run later, in order."""
        outcomes = self._reader.values("outcomes", "decision_id = ?", (decision.id,))
        said = "target_id = ? OR (target_id = ? AND target = 'run' AND seq > ?)"
        key = (decision.id, decision.run_id, decision.seq)
        feedback = self._reader.values("feedback", said, key)
        return sorted([*outcomes, *feedback], key=lambda row: row.seq)

    def explain(
        self,
        decision_id: str,
        *,
        why_not: str | None = None,
        cases: int = 5,
        look_back: int | None = None,
    ) -> Explanation:
        """Why a decision was taken, and why not ``why_not``, from the rows alone.

        What was known of each agent before is counted over ``look_back`` rows; None: over all.

        Raises:
            UnknownDecisionError: there is none of that id.
        """
        from agentroute.ledger.explaining.explain import explain

        return explain(self._reader, decision_id, agent=why_not, cases=cases, look_back=look_back)

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a read-only SQL query; whatever would write is refused by SQLite.

        Raises:
            LedgerError: the query is wrong, or would write.
        """
        return self._reader.fetch(sql, values)

    def select(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The columns' names and the rows of a read-only query; raises as ``query``."""
        return self._reader.select(sql)

    def card_names(self, blob_sha: str) -> list[str]:
        """Names of the agents of a recorded card set, in its order.

        Raises:
            LedgerError: it is missing.
        """
        return [str(name) for name in self._reader.cardset(blob_sha).names]

    def erased_since(self, seq: int) -> bool:
        """Whether any text or artefact was erased after the row ``seq``."""
        return self._reader.erased_since(seq)

    def hash_at(self, seq: int) -> str | None:
        """The hex hash of the row ``seq``; None where there is none."""
        return self._reader.hash_at(seq)

    def head(self) -> tuple[int, str]:
        """``(seq, hex hash)`` of the last committed row; ``(0, '00...')`` when empty."""
        return self._reader.head()

    def _put(self, row: Appendable | Blob, at: str | int) -> Ticket:
        return _refused(_READ_ONLY) if self._writer is None else self._writer.put(row, at)

    def _put_blob(self, blob: Blob) -> str:
        if self._writer is None:
            raise _READ_ONLY
        self._writer.put(blob, 0)
        return blob.sha256

    def verify(self, anchor: Anchor | None = None) -> VerifyReport:
        """Compute the chain again and compare everything; see ``ledger.verify.verify``."""
        return verify(self._reader, anchor)

    def anchor(self) -> Anchor:
        """Size and head of the chain now: kept elsewhere, it finds truncation and rewriting."""
        return Anchor(*self.head())

    def backup(self, target: Path) -> Anchor:
        """Copy the ledger while it is in use; the anchor of the copy.

        Raises:
            LedgerError: the target exists, or cannot be written.
        """
        return backup(self._reader, target)

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
