"""Decisions that were just written, as they would be read: whoever learns from one needs no read.

Only what reading would give back unchanged: where a secret was taken out of anything that routers
look at, or something may be what JSON is not, the row is to be read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from agentroute.ledger.rows.decode import decode_decision
from agentroute.ledger.rows.entries import Entry
from agentroute.ledger.rows.redaction import redact_bytes
from agentroute.model.candidates import Request
from agentroute.model.decisions import DecisionRecord
from agentroute.model.scores import Scores

KEPT = 128


class Fresh:
    """The last ``KEPT`` of them by id. One thread keeps, any may ask."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Entry, int]] = {}
        self._order: deque[str] = deque()

    def keep(self, entry: Entry, seq: int) -> None:
        """A decision's row that was committed at ``seq``."""
        if entry.record is None:
            return
        decision_id = entry.record.decision.id
        self._kept[decision_id] = entry, seq
        self._order.append(decision_id)
        if len(self._order) > KEPT:
            self._kept.pop(self._order.popleft(), None)

    def record(self, decision_id: str) -> DecisionRecord | None:
        """The record as ``decode_record`` would give it; None where the row is to be read."""
        found = self._kept.get(decision_id)
        if found is None:
            return None
        (entry, seq), body = found, orjson.loads(found[0].body)
        record = entry.record
        if record is None or record.request is None or not _is_whole(entry, record, body):
            return None
        return replace(
            record,
            decision=decode_decision(seq, body),
            request=_asked(record.request),
            scores=_said(record.scores),
            context=body["context"],
            reasons=tuple(body.get("reasons", ())),
        )

    def clear(self) -> None:
        """Keep nothing: something was erased."""
        self._kept.clear()
        self._order.clear()


def _is_whole(entry: Entry, record: DecisionRecord, body: Mapping[str, Any]) -> bool:
    """Whether nothing was taken out of what was asked and said, and it is JSON's own kinds."""
    request, scores = record.request, record.scores
    assert request is not None
    if request.task.params or isinstance(request.task.depth, dict):
        return False
    whole = body["task"]["features"] == request.task.features and _is_clean(request.recorded)
    if scores is not None:
        whole = whole and scores.reason == body["scores"]["reason"] and _is_clean(scores.evidence)
    return whole and all(blob.whole for blob in entry.blobs)


def _is_clean(said: bytes | None) -> bool:
    return said is None or redact_bytes(said) == said


def _asked(request: Request) -> Request:
    """Without what held for the moment of the choice only, which no row has."""
    if request.patience_s is None and request.budget_usd is None:
        return request
    return replace(request, patience_s=None, budget_usd=None)


def _said(scores: Scores | None) -> Scores | None:
    return scores if scores is None or scores.usage is None else replace(scores, usage=None)
