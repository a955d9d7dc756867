"""From stored bytes back to records; arrays come back bit-equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.errors import RowUnreadableError
from agentroute.ledger.rows.decisions import VECTORS
from agentroute.ledger.rows.pack import unpack
from agentroute.model.candidates import Candidates, CardSet, Request
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.events import Note
from agentroute.model.objective import Bounds, Objective
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.scores import Scores
from agentroute.model.tasks import Task

ERASED = "[erased]"
GetBlob = Callable[[str], bytes | None]
GetCards = Callable[[str], CardSet]
Value = Decision | Outcome | Feedback | Note


@dataclass(frozen=True, slots=True)
class Row:
    """One committed row of the chain. ``id`` of an outcome is ``<decision_id>:<agent>``."""

    seq: int
    table: str
    id: str
    at: str
    value: Value


_DECISION_FIELDS = tuple(f for f in Decision.model_fields if f != "seq")


def decode_row(table: str, seq: int, raw: bytes) -> Row:
    """A row from its body.

    Raises:
        RowUnreadableError: the body is not what this table holds.
    """
    try:
        body = orjson.loads(raw)
        return Row(seq, table, _row_id(table, body), body["at"], _value(table, seq, body))
    except (ValueError, KeyError, TypeError) as e:
        raise RowUnreadableError(
            f"row {seq} of {table} cannot be read: {e}", hint="run: agentroute ledger verify"
        ) from e


def decode_decision(seq: int, body: Mapping[str, Any]) -> Decision:
    """The decision alone, without the arrays behind it."""
    return Decision.model_validate({**{f: body[f] for f in _DECISION_FIELDS}, "seq": seq})


def decode_record(
    seq: int, raw: bytes, packed: bytes | None, blob: GetBlob, cards: GetCards
) -> DecisionRecord:
    """The whole record. An erased text reads ``[erased]``; its embedding remains.

    Raises:
        RowUnreadableError: body, arrays and blobs do not fit each other.
    """
    try:
        body = orjson.loads(raw)
        arrays = unpack(packed) if packed is not None else {}
        return _record(seq, body, arrays, blob, cards)
    except (ValueError, LookupError, TypeError) as e:
        raise RowUnreadableError(
            f"decision {seq} cannot be rebuilt: {e}", hint="run: agentroute ledger verify"
        ) from e


def _row_id(table: str, body: Mapping[str, Any]) -> str:
    if table == "outcomes":
        return f"{body['decision_id']}:{body['agent']}"
    return str(body["id"])


def _value(table: str, seq: int, body: dict[str, Any]) -> Value:
    if table == "decisions":
        return decode_decision(seq, body)
    del body["at"]
    if table == "outcomes":
        return Outcome.model_validate(body)
    if table == "feedback":
        return Feedback.model_validate(body)
    return Note.model_validate(body)


def _record(
    seq: int,
    body: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    blob: GetBlob,
    cards: GetCards,
) -> DecisionRecord:
    excluded = body.get("excluded")
    return DecisionRecord(
        decision=decode_decision(seq, body),
        request=_request(body, arrays, blob, cards(body["cardset"]["blob"]))
        if "task" in body
        else None,
        scores=_scores(body["scores"], arrays) if "scores" in body else None,
        propensities=arrays.get("propensity"),
        context=body["context"],
        excluded_rows=np.array(excluded["rows"], np.int64) if excluded else None,
        excluded_codes=np.array(excluded["codes"], np.uint8) if excluded else None,
        reasons=tuple(body.get("reasons", ())),
    )


def _request(
    body: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], blob: GetBlob, cards: CardSet
) -> Request:
    vectors = {name: arrays[name] for name in VECTORS}
    rows = vectors.pop("rows")
    every = len(rows) == len(cards) and bool((rows == np.arange(len(rows))).all())
    names, embedding = (cards.names, cards.embedding) if every else (
        cards.names[rows], cards.embedding[rows])  # fmt: skip
    candidates = Candidates(cards, rows, names=names, embedding=embedding, **vectors)
    o = body["objective"]
    return Request(
        task=_task(body["task"], blob),
        embedding=arrays["embedding"],
        candidates=candidates,
        objective=Objective(o["quality"], o["cost"], o["latency"], Bounds(*o["bounds"])),
        upstream=tuple(body["upstream"]),
        stage=body["stage"],
        recorded=arrays["recorded"].tobytes() if "recorded" in arrays else None,
        keys=body.get("keys", {}),
    )


def _task(fields: Mapping[str, Any], blob: GetBlob) -> Task:
    def text(sha: str) -> str:
        data = blob(sha)
        return ERASED if data is None else data.decode("utf-8", "surrogatepass")

    history = [{"role": role, "text": text(sha)} for role, sha in fields["history"]]
    return Task.model_validate({**fields, "prompt": text(fields["prompt"]), "history": history})


def _scores(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Scores:
    return Scores(
        mean=arrays["mean"],
        bonus=arrays["bonus"],
        terms={k[5:]: v for k, v in arrays.items() if k.startswith("term:")},
        reason=about["reason"],
        out_of_scope=about["out_of_scope"],
        evidence=arrays["evidence"].tobytes() if "evidence" in arrays else None,
    )
