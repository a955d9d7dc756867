"""A decision as a row: its body for people and the chain, its arrays for machines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import LedgerError
from agentroute.ledger.rows.cards import encode_cardset, is_whole
from agentroute.ledger.rows.entries import Blob, Entry, columns, text_blob, to_json
from agentroute.ledger.rows.pack import pack
from agentroute.ledger.rows.redaction import redact, redact_bytes, redact_json
from agentroute.model.candidates import CardSet, Request
from agentroute.model.decisions import DecisionRecord
from agentroute.model.ids import sha256
from agentroute.model.tasks import Task

VECTORS = ("rows", "prior", "load", "latency_s", "cost_usd", "success", "inflight",
           "explorable", "canary")  # fmt: skip
CONSTANT = frozenset({"rows", "prior", "explorable", "canary"})  # of a card set (see ``eligible``)


def decision_entry(record: DecisionRecord, at: str) -> Entry:
    """The row of a decision; ``at`` is its time.

    ``body``: the decision, every exclusion, the task (texts by their SHA-256), objective and
    context. ``packed``: all n scores, propensities and request vectors, the task's embedding, the
    evidence; who was best is read from them.

    Raises:
        LedgerError: the arrays do not fit each other.
    """
    body: dict[str, Any] = {
        **record.decision.__dict__,
        "reason": redact(record.decision.reason),
        "at": at,
        "context": redact_json(dict(record.context)) if record.context else {},
    }
    del body["seq"]
    blobs: list[Blob] = []
    arrays: dict[str, NDArray[Any]] = {}
    if record.request is not None:
        body |= _request(record.request, blobs, arrays)
    body |= _scores(record, arrays)
    body |= _excluded(record)
    packed = pack(arrays, CONSTANT) if arrays else None
    body["packed_sha256"] = sha256(packed) if packed is not None else None
    return Entry("decisions", to_json(body), columns("decisions", body), packed, blobs, record)


def _request(
    request: Request, blobs: list[Blob], arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    c, o = request.candidates, request.objective
    cards = c.cards.derived("ledger.blob", _cardset_blob)
    blobs.append(cards)
    n = len(c)
    shape = (n,)
    for name in VECTORS:
        array = arrays[name] = getattr(c, name)
        if array.shape != shape:
            raise LedgerError(f"candidates.{name} has shape {array.shape}, not ({n},)")
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
        **({"keys": dict(request.keys)} if request.keys else {}),
    }


def _task(task: Task, blobs: list[Blob]) -> dict[str, Any]:
    prompt = text_blob(task.prompt)
    turns = [(m.role, text_blob(m.text)) for m in task.history]
    blobs += [prompt, *(b for _, b in turns)]
    fields = dict(task.__dict__)
    for name in ("features", "params"):
        if fields[name]:
            fields[name] = redact_json(fields[name])
    fields["prompt"] = prompt.sha256
    fields["history"] = [(role, b.sha256) for role, b in turns]
    return fields


def _cardset_blob(cards: CardSet) -> Blob:
    data = encode_cardset(cards)
    return Blob(sha256(data), "cardset", data, whole=is_whole(cards, data))


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
    return {"scores": {"reason": redact(s.reason), "out_of_scope": s.out_of_scope}}


def _excluded(record: DecisionRecord) -> dict[str, Any]:
    """Every exclusion with its reason: rows of the card set, and which reason each has."""
    rows, codes = record.excluded_rows, record.excluded_codes
    if rows is None or codes is None:
        return {"reasons": redact_json(record.reasons)} if record.reasons else {}
    if len(rows) != len(codes) or (len(codes) and int(codes.max()) >= len(record.reasons)):
        raise LedgerError("exclusions: rows, codes and reasons do not fit each other")
    return {
        "excluded": {"rows": rows.tolist(), "codes": codes.tolist()},
        "reasons": redact_json(record.reasons),
    }
