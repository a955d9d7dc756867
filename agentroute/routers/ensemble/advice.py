"""What the members of an ensemble said, as the evidence of one decision."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import orjson

from agentroute.model.arrays import F64
from agentroute.model.candidates import Request
from agentroute.model.scores import Scores

Said = Sequence[Scores | None]  # None: the member was silent


def advice(said: Said, n: int) -> F64:
    """Means (members, n); a silent member's row is NaN."""
    return np.array([np.full(n, np.nan) if s is None else s.mean for s in said])


def pack(said: Said, labels: Sequence[str]) -> bytes:
    """Members' means as float32 and their own evidence, by label, as JSON."""
    members = [
        {"mean": None, "evidence": None}
        if s is None
        else {"mean": _b64(s.mean.astype(np.float32).tobytes()), "evidence": _b64(s.evidence)}
        for s in said
    ]
    return orjson.dumps({"ensemble": members, "labels": list(labels)})


def unpack(recorded: bytes | None, labels: Sequence[str], n: int) -> F64 | None:
    """The means (members, n) that were recorded, NaN of who is new or was silent.

    None where the bytes say nothing of these members and ``n`` candidates.
    """
    members = _read(recorded, labels)
    rows = [
        np.full(n, np.nan, np.float32)
        if r["mean"] is None
        else np.frombuffer(base64.b64decode(r["mean"]), np.float32)
        for r in members
    ]
    if len(rows) != len(labels) or any(len(r) != n for r in rows):
        return None
    return np.array(rows, np.float64)


def for_member(request: Request, i: int, labels: Sequence[str]) -> Request:
    """The request with the i-th member's own evidence in place of the ensemble's."""
    members = _read(request.recorded, labels)
    if not members:
        return request
    own = members[i]["evidence"] if i < len(members) else None
    return replace(request, recorded=None if own is None else base64.b64decode(own))


def _b64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


_SILENT: dict[str, str | None] = {"mean": None, "evidence": None}


def _read(recorded: bytes | None, labels: Sequence[str]) -> list[dict[str, str | None]]:
    """The records of the members called so, [] where the bytes are not an ensemble's."""
    if not recorded or not recorded.startswith(b'{"ensemble":'):
        return []
    record = orjson.loads(recorded)
    members: list[dict[str, str | None]] = record["ensemble"]
    named = record.get("labels")  # rows of older releases have none: they go by position
    if named is None:
        return members
    by_label = dict(zip(named, members, strict=True))
    return [by_label.get(label, _SILENT) for label in labels]
