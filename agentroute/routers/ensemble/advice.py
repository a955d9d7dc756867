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


def pack(said: Said) -> bytes:
    """Members' means as float32 and their own evidence, as JSON."""
    members = [
        {"mean": None, "evidence": None}
        if s is None
        else {"mean": _b64(s.mean.astype(np.float32).tobytes()), "evidence": _b64(s.evidence)}
        for s in said
    ]
    return orjson.dumps({"ensemble": members})


def unpack(recorded: bytes | None, m: int, n: int) -> F64 | None:
    """The means (m, n) that were recorded; None where the bytes say nothing of them."""
    members = _read(recorded)
    rows = [
        np.full(n, np.nan, np.float32)
        if r["mean"] is None
        else np.frombuffer(base64.b64decode(r["mean"]), np.float32)
        for r in members
    ]
    if len(rows) != m or any(len(r) != n for r in rows):
        return None
    return np.array(rows, np.float64)


def for_member(request: Request, i: int) -> Request:
    """The request with the i-th member's own evidence in place of the ensemble's."""
    members = _read(request.recorded)
    if not members:
        return request
    own = members[i]["evidence"] if i < len(members) else None
    return replace(request, recorded=None if own is None else base64.b64decode(own))


def _b64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _read(recorded: bytes | None) -> list[dict[str, str | None]]:
    """The members' records, [] where the bytes are not an ensemble's."""
    if not recorded or not recorded.startswith(b'{"ensemble":'):
        return []
    members: list[dict[str, str | None]] = orjson.loads(recorded)["ensemble"]
    return members
