"""One row at a time: is it what was written, and if not, what about it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentroute.ledger.chain import link
from agentroute.ledger.rows.entries import COLUMNS, columns
from agentroute.ledger.verifying.report import BadRowError
from agentroute.model.ids import sha256

Stored = tuple[Any, ...]  # seq, body, prev, hash, packed, and the table's columns
# Events that keep a text by its name, and under which key.
TEXTS = {"run.started": ("plan",), "run.finished": ("answer",)}
_BYTES = (bytes, type(None))


def check_row(table: str, row: Stored, prev: bytes) -> dict[str, Any]:
    """The body of a row that follows ``prev``, the hash of the row before.

    Raises:
        BadRowError: something about it is not as it was written, and what.
    """
    seq, raw, before, digest, packed = row[:5]
    if not (type(raw) is type(before) is type(digest) is bytes) or type(packed) not in _BYTES:
        wrong = next((v for v in row[1:5] if type(v) not in _BYTES), None)
        raise BadRowError(seq, f"bytes are stored as {type(wrong).__name__}")
    if before != prev:
        raise BadRowError(seq, "it does not follow the row before it")
    if link(prev, table, seq, raw) != digest:
        raise BadRowError(seq, "its body is not what was written")
    try:
        body: dict[str, Any] = orjson.loads(raw)
        stated = columns(table, body)
        arrays = body.get("packed_sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadRowError(seq, f"its body is not one of {table}") from None
    stored = row[5:]
    if stated != stored:
        pairs = zip(COLUMNS[table], stated, stored, strict=True)
        wrong = next(c for c, a, b in pairs if a != b)
        raise BadRowError(seq, f"its column {wrong} does not say what its body says")
    if arrays != (None if packed is None else sha256(packed)):
        raise BadRowError(seq, "its arrays are not the ones that were written")
    return body


def references(table: str, body: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """The contents that a row needs: their names, and their kinds."""
    if table == "decisions":
        if (task := body.get("task")) is None:
            return ()
        texts = [(task["prompt"], "text"), *((sha, "text") for _, sha in task["history"])]
        return [(body["cardset"]["blob"], "cardset"), *texts]
    if table == "outcomes":
        return [(sha, "text")] if (sha := body.get("reply")) else ()
    if table == "events":
        keys = TEXTS.get(body.get("type", ""), ())
        return [(sha, "text") for key in keys if (sha := body["data"].get(key))]
    return ()
