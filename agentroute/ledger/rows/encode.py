"""From records to stored rows: outcomes, feedback, events; decisions in ``decisions``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from agentroute.errors import LedgerError, RowRefusedError
from agentroute.ledger.rows.decisions import decision_entry
from agentroute.ledger.rows.entries import Entry, entry_of
from agentroute.ledger.rows.redaction import redact, redact_json
from agentroute.model.decisions import DecisionRecord
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome


@dataclass(frozen=True, slots=True)
class Erasure:
    """The wish to forget a text or an artefact; becomes an event that says so, and why."""

    sha256: str
    reason: str


ERASED_TYPE = "blob.erased"
_ERASED_ID = "erased:"

Appendable = DecisionRecord | Outcome | Feedback | Note | Erasure


def encode(row: Appendable, at: str | int) -> Entry:
    """The row as it will be stored; ``at`` is a time in ISO 8601, or in ns since 1970.

    Raises:
        RowRefusedError: something in it is not JSON, or its arrays do not fit each other.
        LedgerError: it is not a row, or its time has no zone.
    """
    try:
        at = _iso(at) if isinstance(at, int) else _utc(at)
        if isinstance(row, DecisionRecord):
            return _decided(row, at)
        if isinstance(row, Outcome):
            return entry_of("outcomes", _as_body(row, at, "error"))
        if isinstance(row, Feedback):
            return entry_of("feedback", _as_body(row, at, "method", "source"))
        if isinstance(row, Note):
            return _note(row, at)
        if isinstance(row, Erasure):
            return _erasure(row, at)
    except LedgerError:
        raise
    except Exception as e:  # rows hold what callers put in: whatever it raises is the row's fault
        raise refused(f"this {type(row).__name__}", e) from e
    raise LedgerError(f"a {type(row).__name__} is not a row of a ledger")


def refused(what: str, error: Exception) -> RowRefusedError:
    """The error of a row that cannot be stored."""
    return RowRefusedError(
        f"{what} cannot be recorded: {str(error) or type(error).__name__}",
        hint="numbers must fit 64 bits, texts must be Unicode, the rest must be JSON",
    )


def _iso(ns: int) -> str:
    s, rest = divmod(ns, 1_000_000_000)
    return f"{_second(s)}.{rest // 1000:06d}+00:00"


@lru_cache(maxsize=4)  # rows come in order of time
def _second(s: int) -> str:
    return datetime.fromtimestamp(s, UTC).isoformat(timespec="seconds")[:19]


def _utc(at: str) -> str:
    time = datetime.fromisoformat(at)
    if time.tzinfo is None:
        raise LedgerError(f"the time '{at}' has no zone", hint="append +00:00")
    if at.endswith("+00:00"):
        return at
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _decided(record: DecisionRecord, at: str) -> Entry:
    own = record.decision.at
    return decision_entry(record, _utc(own) if own else at)


def _note(row: Note, at: str) -> Entry:
    if row.id.startswith(_ERASED_ID) or row.type == ERASED_TYPE:
        raise LedgerError("only an erasure may say that something was erased")
    return entry_of("events", {**row.__dict__, "data": redact_json(row.data), "at": at})


def _erasure(row: Erasure, at: str) -> Entry:
    data = {"sha256": row.sha256, "reason": redact(row.reason)}
    body = {
        "id": _ERASED_ID + row.sha256,
        "run_id": "",
        "type": ERASED_TYPE,
        "data": data,
        "at": at,
    }
    entry = entry_of("events", body)
    entry.erases = row.sha256
    return entry


def _as_body(row: Outcome | Feedback, at: str, *texts: str) -> dict[str, Any]:
    body = {**row.__dict__, "at": at}
    for name in texts:
        if body[name] is not None:
            body[name] = redact(body[name])
    return body
