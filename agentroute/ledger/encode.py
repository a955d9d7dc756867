"""From records to stored bytes: the body of a row, its columns, its arrays and its blobs.

``body`` is JSON by orjson with sorted keys: these bytes are what the chain hashes. The columns
are computed from the body by ``columns``, by the writer and again by ``verify``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.errors import LedgerError
from agentroute.ledger.cards import encode_cardset
from agentroute.ledger.pack import pack
from agentroute.ledger.redaction import redact, redact_bytes, redact_json
from agentroute.model.decisions import DecisionRecord, Feedback, Note, Outcome
from agentroute.model.ids import sha256
from agentroute.model.scores import Candidates, CardSet, Request, Scores
from agentroute.model.tasks import Task

BEST = 16
VECTORS = ("rows", "prior", "load", "latency_s", "cost_usd", "success", "inflight",
           "explorable", "canary")  # fmt: skip

COLUMNS: dict[str, tuple[str, ...]] = {
    "decisions": ("id", "run_id", "task_id", "kind", "attempt", "policy", "status", "chosen", "at"),
    "outcomes": (
        "decision_id",
        "agent",
        "cost_usd",
        "latency_s",
        "tokens",
        "failed",
        "shadow",
        "at",
    ),
    "feedback": ("id", "target", "target_id", "agent", "score", "source", "idempotency_key", "at"),
    "events": ("id", "run_id", "type", "at"),
}


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that is stored once under its SHA-256. ``kind``: text, artefact or cardset."""

    sha256: str
    kind: str
    body: bytes


@dataclass(slots=True)
class Entry:
    """One row, ready but for its place in the chain."""

    table: str
    body: bytes
    columns: tuple[Any, ...]
    packed: bytes | None = None
    blobs: list[Blob] = field(default_factory=list)
    erases: str | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """The wish to forget a text or an artefact; becomes an event that says so, and why."""

    sha256: str
    reason: str


ERASED_TYPE = "blob.erased"
_ERASED_ID = "erased:"

Appendable = DecisionRecord | Outcome | Feedback | Note | Erasure


def columns(table: str, body: Mapping[str, Any]) -> tuple[Any, ...]:
    """The indexed columns of a row, as its body states them."""
    if table == "decisions":
        chosen = ",".join(body["chosen"])
        return (*(body[c] for c in COLUMNS[table][:7]), chosen, body["at"])
    if table == "outcomes":
        failed, shadow = body["error"] is not None, body["shadow"]
        return (*(body[c] for c in COLUMNS[table][:5]), int(failed), int(shadow), body["at"])
    return tuple(body[c] for c in COLUMNS[table])


def encode(row: Appendable, at: str | int) -> Entry:
    """The row as it will be stored; ``at`` is a time in ISO 8601, or in ns since 1970.

    Raises:
        LedgerError: something in it is not JSON, or its arrays do not fit each other.
    """
    try:
        at = _iso(at) if isinstance(at, int) else _utc(at)
        if isinstance(row, DecisionRecord):
            return _decision(row, at)
        if isinstance(row, Outcome):
            return _plain("outcomes", _as_body(row, at, "error"))
        if isinstance(row, Feedback):
            return _plain("feedback", _as_body(row, at, "method", "source"))
        if isinstance(row, Note):
            return _note(row, at)
        if isinstance(row, Erasure):
            return _erasure(row, at)
    except (TypeError, ValueError, KeyError, RecursionError) as e:
        raise LedgerError(f"this {type(row).__name__} cannot be recorded: {e}") from e
    raise LedgerError(f"a {type(row).__name__} is not a row of a ledger")


def text_blob(text: str) -> Blob:
    """A text without its secrets, named by the SHA-256 of its UTF-8."""
    return _short_text(text) if len(text) < 4096 else _text(text)


def artefact_blob(data: bytes) -> Blob:
    """A file's content, named by its SHA-256. Not searched for secrets: it may be binary."""
    return Blob(sha256(data), "artefact", data)


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="microseconds")


def _utc(at: str) -> str:
    time = datetime.fromisoformat(at)
    if time.tzinfo is None:
        raise LedgerError(f"the time '{at}' has no zone", hint="append +00:00")
    if at.endswith("+00:00"):
        return at
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _note(row: Note, at: str) -> Entry:
    if row.id.startswith(_ERASED_ID) or row.type == ERASED_TYPE:
        raise LedgerError("only an erasure may say that something was erased")
    return _plain("events", {**row.__dict__, "data": redact_json(row.data), "at": at})


def _erasure(row: Erasure, at: str) -> Entry:
    data = {"sha256": row.sha256, "reason": redact(row.reason)}
    body = {
        "id": _ERASED_ID + row.sha256,
        "run_id": "",
        "type": ERASED_TYPE,
        "data": data,
        "at": at,
    }
    entry = _plain("events", body)
    entry.erases = row.sha256
    return entry


def _as_body(row: Outcome | Feedback, at: str, *texts: str) -> dict[str, Any]:
    body = {**row.__dict__, "at": at}
    for name in texts:
        if body[name] is not None:
            body[name] = redact(body[name])
    return body


def _plain(table: str, body: dict[str, Any]) -> Entry:
    return Entry(table, _json(body), columns(table, body))


def _json(body: Any) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def _text(text: str) -> Blob:
    data = redact(text).encode("utf-8", "surrogatepass")
    return Blob(sha256(data), "text", data)


_short_text = lru_cache(maxsize=1024)(_text)  # one prompt occurs in several decisions


def _decision(record: DecisionRecord, at: str) -> Entry:
    body: dict[str, Any] = {
        **record.decision.__dict__,
        "reason": redact(record.decision.reason),
        "at": _utc(record.decision.at) if record.decision.at else at,
        "context": redact_json(dict(record.context)),
    }
    del body["seq"]
    blobs: list[Blob] = []
    arrays: dict[str, NDArray[Any]] = {}
    if record.request is not None:
        body |= _request(record.request, blobs, arrays)
    body |= _scores(record, arrays)
    body |= _excluded(record)
    packed = pack(arrays) if arrays else None
    body["packed_sha256"] = sha256(packed) if packed is not None else None
    return Entry("decisions", _json(body), columns("decisions", body), packed, blobs)


def _request(
    request: Request, blobs: list[Blob], arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    c, o = request.candidates, request.objective
    cards = _cardset_blob(c.cards)
    blobs.append(cards)
    n = len(c)
    for name in VECTORS:
        arrays[name] = getattr(c, name)
        if arrays[name].shape != (n,):
            raise LedgerError(f"candidates.{name} has shape {arrays[name].shape}, not ({n},)")
    arrays["embedding"] = request.embedding
    if request.recorded is not None:
        arrays["recorded"] = np.frombuffer(redact_bytes(request.recorded), np.uint8)
    b = o.bounds
    return {
        "task": _task(request.task, blobs),
        "n": n,
        "cardset": {"sha256": c.cards.sha256, "blob": cards.sha256},
        "objective": {
            "quality": o.quality,
            "cost": o.cost,
            "latency": o.latency,
            "bounds": [b.cost_lo, b.cost_hi, b.latency_lo, b.latency_hi],
        },
        "upstream": request.upstream,
        "stage": request.stage,
    }


def _task(task: Task, blobs: list[Blob]) -> dict[str, Any]:
    prompt = text_blob(task.prompt)
    turns = [(m.role, text_blob(m.text)) for m in task.history]
    blobs += [prompt, *(b for _, b in turns)]
    fields = dict(task.__dict__)
    fields["features"] = redact_json(task.features)
    fields["params"] = redact_json(task.params)
    fields["prompt"] = prompt.sha256
    fields["history"] = [(role, b.sha256) for role, b in turns]
    return fields


# Keyed by identity through the object itself: a card set is immutable, and encoding it is costly.
@lru_cache(maxsize=4)
def _cardset_blob(cards: CardSet) -> Blob:
    data = encode_cardset(cards)
    return Blob(sha256(data), "cardset", data)


def _scores(record: DecisionRecord, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    s, p = record.scores, record.propensities
    if p is not None:
        arrays["propensity"] = p
    if s is None:
        return {}
    arrays["mean"], arrays["bonus"] = s.mean, s.bonus
    for name, term in s.terms.items():
        arrays[f"term:{name}"] = term
    if s.evidence is not None:
        arrays["evidence"] = np.frombuffer(redact_bytes(s.evidence), np.uint8)
    out: dict[str, Any] = {"scores": {"reason": redact(s.reason), "out_of_scope": s.out_of_scope}}
    if record.request is not None:
        out["best"] = _best(record.request.candidates, s, p, record.decision.chosen)
    return out


def _best(
    c: Candidates, s: Scores, p: NDArray[np.float64] | None, chosen: tuple[str, ...]
) -> dict[str, Any]:
    """The first ``BEST`` by mean + bonus, and the chosen, as columns of a table."""
    score = s.mean + s.bonus  # NaN, screened out, sorts last
    top = np.argpartition(-score, BEST)[:BEST] if len(score) > 4 * BEST else np.arange(len(score))
    top = top[(-score[top]).argsort(kind="stable")][:BEST]
    best = top.tolist()
    for at in _positions(c, chosen):
        if at not in best:
            best.append(at)
    keep = np.array(best)
    return {
        "agent": c.names[keep].tolist(),
        "mean": s.mean[keep].tolist(),
        "bonus": s.bonus[keep].tolist(),
        "propensity": None if p is None else p[keep].tolist(),
        "terms": {name: term[keep].tolist() for name, term in s.terms.items()},
    }


def _positions(c: Candidates, agents: tuple[str, ...]) -> list[int]:
    """Where these agents stand among the candidates; those that are none are left out."""
    rows = [c.cards.index[a] for a in agents if a in c.cards.index]
    return [int(at) for row in rows for at in (c.rows == row).nonzero()[0]]


def _excluded(record: DecisionRecord) -> dict[str, Any]:
    """Every exclusion with its reason: rows of the card set, and which reason each has."""
    rows, codes = record.excluded_rows, record.excluded_codes
    if rows is None or codes is None:
        return {"reasons": record.reasons} if record.reasons else {}
    if len(rows) != len(codes) or (len(codes) and int(codes.max()) >= len(record.reasons)):
        raise LedgerError("exclusions: rows, codes and reasons do not fit each other")
    return {
        "excluded": {"rows": rows.tolist(), "codes": codes.tolist()},
        "reasons": record.reasons,
    }
