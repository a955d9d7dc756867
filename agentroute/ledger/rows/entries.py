"""What is stored: rows that are ready but for their place in the chain, and contents by SHA-256.

``body`` is JSON by orjson with sorted keys: these bytes are what the chain hashes. The columns
are computed from the body by ``columns``, by the writer and again by ``verify``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from agentroute.ledger.migrations import stored_columns
from agentroute.ledger.rows.redaction import redact
from agentroute.model.decisions import DecisionRecord
from agentroute.model.ids import sha256

COLUMNS = stored_columns()
# Columns that are not in the body as they are: which key they are made of, and how.
_MADE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "chosen": ("chosen", ",".join),
    "failed": ("error", lambda error: int(error is not None)),
    "shadow": ("shadow", int),
}
_KEYS = {t: itemgetter(*(_MADE[c][0] if c in _MADE else c for c in COLUMNS[t])) for t in COLUMNS}
_TURNED = {
    t: tuple((i, _MADE[c][1]) for i, c in enumerate(COLUMNS[t]) if c in _MADE) for t in COLUMNS
}


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that is stored once under its SHA-256. ``kind``: text, artefact or cardset.

    ``whole`` says that reading it gives what it was made of: no secret was taken out.
    """

    sha256: str
    kind: str
    body: bytes
    whole: bool = True


@dataclass(slots=True)
class Entry:
    """One row, ready but for its place in the chain.

    ``record`` is what a decision's row was made of.
    """

    table: str
    body: bytes
    columns: tuple[Any, ...]
    packed: bytes | None = None
    blobs: list[Blob] = field(default_factory=list)
    record: DecisionRecord | None = None
    erases: str | None = None


def columns(table: str, body: Mapping[str, Any]) -> tuple[Any, ...]:
    """The indexed columns of a row, as its body states them."""
    values: tuple[Any, ...] = _KEYS[table](body)
    if not _TURNED[table]:
        return values
    made = list(values)
    for i, turn in _TURNED[table]:
        made[i] = turn(made[i])
    return tuple(made)


def entry_of(table: str, body: dict[str, Any]) -> Entry:
    """The entry of a body that is JSON."""
    return Entry(table, to_json(body), columns(table, body))


def to_json(body: Any) -> bytes:
    """The bytes that are stored and hashed."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def text_blob(text: str) -> Blob:
    """A text without its secrets, named by the SHA-256 of its UTF-8."""
    return _short_text(text) if len(text) < 4096 else _text(text)


def artefact_blob(data: bytes) -> Blob:
    """A file's content, named by its SHA-256. Not searched for secrets: it may be binary."""
    return Blob(sha256(data), "artefact", data)


def _text(text: str) -> Blob:
    clean = redact(text)
    data = clean.encode("utf-8", "surrogatepass")
    return Blob(sha256(data), "text", data, whole=clean == text)


_short_text = lru_cache(maxsize=1024)(_text)  # one prompt occurs in several decisions
