"""Questions that people ask of a ledger: runs in pages, and what each came to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from agentroute.errors import UnknownRunError
from agentroute.ledger.reader import Reader
from agentroute.ledger.rows.decode import Row, decode_row

UNFINISHED, WAITING = "unfinished", "waiting"
_PAGE = 50
_NO_END = 1 << 62


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A line of ``runs ls``. ``status`` is ``unfinished`` until a note ``run.finished`` says more,
    or ``waiting`` where somebody must answer first.

    ``seq`` is the place of its start; ``score`` is the mean of all feedback on the run and its
    decisions, None where there is none; ``about`` is the data of the note ``run.started``.
    """

    run_id: str
    seq: int
    started_at: str
    finished_at: str | None
    status: str
    decisions: int
    calls: int
    failed: int
    cost_usd: float
    tokens: int
    score: float | None
    agents: dict[str, int] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)


@contextmanager
def snapshot(reader: Reader) -> Iterator[sqlite3.Connection]:
    """One of the reader's connections, and the ledger as it is at this moment."""
    with reader.connection() as con:
        con.execute("BEGIN")
        try:
            yield con
        finally:
            con.execute("COMMIT")


def runs(
    reader: Reader, *, limit: int = 50, status: str | None = None, before_seq: int | None = None
) -> list[RunSummary]:
    """The latest runs, newest first; ``before_seq`` pages on from the last one's ``seq``."""
    found: list[RunSummary] = []
    before = _NO_END if before_seq is None else before_seq
    with snapshot(reader) as con:
        while before > 1 and len(found) < limit:
            page, before = _run_ids(con, before)
            found += [r for r in _summaries(con, page) if status in (None, r.status)]
    return found[:limit]


def run(reader: Reader, run_id: str) -> RunSummary:
    """One run.

    Raises:
        UnknownRunError: there is none of that id.
    """
    with snapshot(reader) as con:
        (first,) = con.execute(_FIRST_ROW, (run_id,)).fetchone()
        if first is None:
            raise UnknownRunError(
                f"no run '{run_id}' is in the ledger", hint="see: agentroute runs ls"
            )
        start = con.execute(_START, (run_id,)).fetchone()
        return _summaries(con, {run_id: start[0] or first})[0]


def summaries(reader: Reader, first: dict[str, int]) -> list[RunSummary]:
    """What some runs came to, in the order given; ``first`` is each id's first ``seq``."""
    with snapshot(reader) as con:
        return _summaries(con, first) if first else []


def run_rows(reader: Reader, run_id: str) -> list[Row]:
    """Everything about a run in order of ``seq``: decisions, outcomes, feedback and events."""
    with snapshot(reader) as con:
        rows = [
            decode_row(table, seq, body)
            for table, where in _OF_A_RUN.items()
            for seq, body in con.execute(f"SELECT seq, body FROM {table} WHERE {where}", (run_id,))
        ]
    return sorted(rows, key=lambda r: r.seq)


_OURS = "(SELECT id FROM decisions WHERE run_id = ?1)"
_OF_A_RUN = {
    "decisions": "run_id = ?1",
    "outcomes": f"decision_id IN {_OURS}",
    "feedback": f"target_id = ?1 OR target_id IN {_OURS}",
    "events": "run_id = ?1",
}

# -- pages --------------------------------------------------------------------------------------

# "+" keeps a condition from choosing the index: of two that begin with an equality SQLite may take
# the one over types, and read every run's start to find one.
_START = "SELECT min(seq) FROM events WHERE run_id = ? AND +type = 'run.started'"
_FIRST_ROW = (
    "SELECT min(seq) FROM (SELECT min(seq) AS seq FROM decisions WHERE run_id = ?1"
    " UNION ALL SELECT min(seq) FROM events WHERE run_id = ?1)"
)
# By the index over (type, seq): a page costs what it shows, however long the ledger is.
_STARTED = (
    "SELECT run_id, seq FROM events AS e WHERE type = 'run.started' AND seq < ? AND NOT EXISTS ("
    " SELECT 1 FROM events AS f WHERE f.run_id = e.run_id AND f.seq < e.seq AND +f.type = e.type)"
    " ORDER BY seq DESC LIMIT ?"
)
# Runs that somebody wrote down without a start, among the rows of the page.
_UNSTARTED = (
    "SELECT DISTINCT run_id FROM (SELECT run_id FROM decisions WHERE seq >= ?1 AND seq < ?2"
    " UNION ALL SELECT run_id FROM events WHERE seq >= ?1 AND seq < ?2 AND run_id != '') AS r"
    " WHERE NOT EXISTS (SELECT 1 FROM events AS s"
    "  WHERE s.run_id = r.run_id AND +s.type = 'run.started')"
)


def _run_ids(con: sqlite3.Connection, before: int) -> tuple[dict[str, int], int]:
    """The next runs (id -> seq of the start), newest first, and where the next page begins."""
    page = dict(con.execute(_STARTED, (before, _PAGE)).fetchall())
    low = min(page.values()) if len(page) == _PAGE else 1
    for (run_id,) in con.execute(_UNSTARTED, (low, before)).fetchall():
        (first,) = con.execute(_FIRST_ROW, (run_id,)).fetchone()
        if low <= first < before:
            page[run_id] = first
    return dict(sorted(page.items(), key=lambda item: -item[1])), low


# -- summaries ----------------------------------------------------------------------------------


def _summaries(con: sqlite3.Connection, first: dict[str, int]) -> list[RunSummary]:
    """The summaries of some runs (id -> seq), a handful of queries for all of them."""
    ids = list(first)
    began = _times(con, list(first.values()))
    started, finished = _notes(con, ids, "run.started"), _notes(con, ids, "run.finished")
    decisions, calls, scores = _decisions(con, ids), _calls(con, ids), _scores(con, ids)
    waiting = _waiting(con, [i for i in ids if i not in finished])
    out = []
    for run_id, seq in first.items():
        start, end, did = started.get(run_id), finished.get(run_id), calls.get(run_id, [])
        out.append(RunSummary(
            run_id=run_id, seq=seq, started_at=start[0] if start else began[seq],
            finished_at=end[0] if end else None,
            status=end[1].get("status", "finished") if end
            else WAITING if run_id in waiting else UNFINISHED,
            decisions=decisions.get(run_id, 0), calls=sum(c.n for c in did),
            failed=sum(c.failed for c in did), cost_usd=sum((c.cost for c in did), 0.0),
            tokens=sum(c.tokens for c in did), score=scores.get(run_id),
            agents={c.agent: c.n for c in did if not c.shadow}, about=start[1] if start else {},
        ))  # fmt: skip
    return out


class _Calls(NamedTuple):
    agent: str
    shadow: bool
    n: int
    failed: int
    cost: float
    tokens: int


def _among(sql: str, con: sqlite3.Connection, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a query whose ``{}`` is the list of keys."""
    return con.execute(sql.format(", ".join("?" * len(keys))), keys).fetchall()


def _times(con: sqlite3.Connection, seqs: list[int]) -> dict[int, str]:
    """When rows were written, by seq."""
    sql = "SELECT seq, at FROM {table} WHERE seq IN ({{}})"
    tables = ("decisions", "events")
    return {seq: at for t in tables for seq, at in _among(sql.format(table=t), con, seqs)}


def _decisions(con: sqlite3.Connection, ids: list[str]) -> dict[str, int]:
    sql = "SELECT run_id, count(*) FROM decisions WHERE run_id IN ({}) GROUP BY run_id"
    return dict(_among(sql, con, ids))


def _calls(con: sqlite3.Connection, ids: list[str]) -> dict[str, list[_Calls]]:
    """What each agent did in each run."""
    sql = (
        "SELECT d.run_id, o.agent, o.shadow, count(*), sum(o.failed), sum(o.cost_usd),"
        " sum(o.tokens) FROM decisions AS d JOIN outcomes AS o ON o.decision_id = d.id"
        " WHERE d.run_id IN ({}) GROUP BY d.run_id, o.agent, o.shadow"
    )
    out: dict[str, list[_Calls]] = {}
    for run_id, *rest in _among(sql, con, ids):
        out.setdefault(run_id, []).append(_Calls(*rest))
    return out


def _scores(con: sqlite3.Connection, ids: list[str]) -> dict[str, float]:
    """The mean of all feedback on each run and its decisions."""
    direct = (
        "SELECT target_id, sum(score), count(*) FROM feedback"
        " WHERE target_id IN ({}) GROUP BY target_id"
    )
    joined = (
        "SELECT d.run_id, sum(f.score), count(*) FROM decisions AS d"
        " JOIN feedback AS f ON f.target_id = d.id WHERE d.run_id IN ({}) GROUP BY d.run_id"
    )
    total: dict[str, tuple[float, int]] = {}
    for sql in (direct, joined):
        for run_id, score, n in _among(sql, con, ids):
            before = total.get(run_id, (0.0, 0))
            total[run_id] = (before[0] + score, before[1] + n)
    return {run_id: score / n for run_id, (score, n) in total.items()}


def _notes(
    con: sqlite3.Connection, ids: list[str], kind: str
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Time and data of the last event of a type, by run."""
    sql = f"SELECT run_id, at, body FROM events WHERE +type = '{kind}' AND run_id IN ({{}})"
    rows = _among(sql + " ORDER BY seq", con, ids)
    return {run_id: (at, orjson.loads(body)["data"]) for run_id, at, body in rows}


def _waiting(con: sqlite3.Connection, ids: list[str]) -> set[str]:
    """The runs that asked for an approval which nobody has given or refused."""
    sql = (
        "SELECT run_id, type, body FROM events WHERE run_id IN ({})"
        " AND type IN ('approval.needed', 'approval.answered') ORDER BY seq"
    )
    asked: dict[tuple[str, str], None] = {}
    for run_id, kind, body in _among(sql, con, ids):
        key = (run_id, str(orjson.loads(body)["data"]["approval_id"]))
        if kind == "approval.needed":
            asked[key] = None
        else:
            asked.pop(key, None)
    return {run_id for run_id, _ in asked}
