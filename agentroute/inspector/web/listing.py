"""Runs in pages, newest first: by the index over events, so that a long ledger costs no more."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from agentroute.ledger import Ledger

if TYPE_CHECKING:
    from agentroute.ledger.queries import RunSummary

SHOWN, CHUNK, SPAN, MOST = 50, 200, 20_000, 4_000
NO_END = 1 << 62
UNFINISHED = "unfinished"

_STARTED = (
    "SELECT seq, run_id, body FROM events WHERE type = 'run.started' AND seq < ?1 AND seq >= ?2 "
    "ORDER BY seq DESC LIMIT ?3"
)
# Decisions recorded without a run around them. "+": by the index over runs, not the one over types.
_ALONE = (
    "SELECT min(d.seq), d.run_id FROM decisions d WHERE d.seq < ?1 AND d.seq >= ?2 AND NOT EXISTS ("
    "SELECT 1 FROM events e WHERE e.run_id = d.run_id AND +e.type = 'run.started') "
    "GROUP BY d.run_id"
)
_EARLIER = "SELECT 1 FROM decisions WHERE run_id = ? AND seq < ? LIMIT 1"
_FINISHED = "SELECT run_id, body FROM events WHERE +type = 'run.finished' AND run_id IN ({})"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs; what is '' does not count."""

    status: str = ""
    """How it ended."""
    graph: str = ""
    """The whole name of its graph."""
    text: str = ""
    """Words of its id, its name, its tasks or its answer, in any case."""

    def everything(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.status or self.graph or self.text)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page."""

    runs: list[RunSummary]
    """At most 50, newest first."""
    older: int | None
    """Where the next page begins; None at the end."""
    looked: int
    """How many runs were looked at; after 4,000 a page ends, full or not."""


@dataclass(slots=True)
class _Found:
    seq: int
    run_id: str
    data: dict[str, Any]


def listed(ledger: Ledger, wanted: Wanted, before: int | None = None) -> Listed:
    """The next page of runs that started before row ``before``."""
    kept: dict[str, int] = {}
    looked, low = 0, 1
    for end, chunk in _chunks(ledger, NO_END if before is None else before):
        low = end
        fits = chunk if wanted.everything() else _fitting(ledger, chunk, wanted)
        looked += len(chunk)
        for found in fits:
            if len(kept) == SHOWN:  # at least one more: the next page begins after the last here
                return _page(ledger, kept, min(kept.values()), looked)
            kept[found.run_id] = found.seq
        if looked >= MOST:
            break
    return _page(ledger, kept, low if low > 1 else None, looked)


def _page(ledger: Ledger, kept: dict[str, int], older: int | None, looked: int) -> Listed:
    return Listed(ledger.summaries(kept), older, looked)


def _chunks(ledger: Ledger, before: int) -> Iterator[tuple[int, list[_Found]]]:
    """Runs in steps back through the rows, and where each step ended."""
    before = min(before, ledger.head()[0] + 1)
    while before > 1:
        low = max(1, before - SPAN)
        rows = ledger.query(_STARTED, (before, low, CHUNK))
        if len(rows) == CHUNK:
            low = rows[-1][0]
        found = [_Found(seq, run_id, _data(body)) for seq, run_id, body in rows]
        for seq, run_id in ledger.query(_ALONE, (before, low)):
            if not ledger.query(_EARLIER, (run_id, low)):
                found.append(_Found(seq, run_id, {}))
        found.sort(key=lambda f: -f.seq)
        yield low, found
        before = low


def _data(body: bytes) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(body)["data"]
    return data


def _fitting(ledger: Ledger, chunk: Sequence[_Found], wanted: Wanted) -> list[_Found]:
    kept = [f for f in chunk if wanted.graph in ("", f.data.get("name", ""))]
    if not kept or not (wanted.status or wanted.text):
        return kept
    ids = [f.run_id for f in kept]
    sql = _FINISHED.format(", ".join("?" * len(ids)))
    ends = {run_id: _data(body) for run_id, body in ledger.query(sql, ids)}
    if wanted.status:
        kept = [f for f in kept if _status(ends.get(f.run_id)) == wanted.status]
    words = wanted.text.casefold()
    if not words:
        return kept
    shas = {f.run_id: (f.data.get("plan"), ends.get(f.run_id, {}).get("answer")) for f in kept}
    texts = _texts(ledger, {str(sha) for pair in shas.values() for sha in pair if sha})
    return [f for f in kept if words in _text(f, [texts.get(str(s), "") for s in shas[f.run_id]])]


def _status(end: dict[str, Any] | None) -> str:
    return UNFINISHED if end is None else str(end.get("status", "finished"))


def _texts(ledger: Ledger, shas: Collection[str]) -> dict[str, str]:
    """Those of these texts that are there, by their hashes."""
    sql = f"SELECT sha256, body FROM blobs WHERE sha256 IN ({', '.join('?' * len(shas))})"
    rows = ledger.query(sql, tuple(shas)) if shas else []
    return {sha: body.decode("utf-8", "surrogatepass") for sha, body in rows if body is not None}


def _text(found: _Found, texts: Sequence[str]) -> str:
    """What is searched of a run."""
    return "\n".join([found.run_id, str(found.data.get("name", "")), *texts]).casefold()
