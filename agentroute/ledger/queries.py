"""Questions that people ask of a ledger, as typed queries (SQLModel) that cannot write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, col, func, select, union_all

from agentroute.errors import UnknownRunError
from agentroute.ledger.connect import in_our_words
from agentroute.ledger.reader import Reader
from agentroute.ledger.rows.decode import Row, decode_row
from agentroute.ledger.tables import DecisionRow, EventRow, FeedbackRow, OutcomeRow

UNFINISHED, WAITING = "unfinished", "waiting"
_PAGE = 50


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A line of ``runs ls``. ``status`` is ``unfinished`` until a note ``run.finished`` says more,
    or ``waiting`` where somebody must answer first.

    ``score`` is the mean of all feedback on the run and its decisions, None where there is none;
    ``about`` is the data of the note ``run.started``.
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
def session(reader: Reader) -> Iterator[Session]:
    """A SQLModel session on one of the reader's connections."""
    with reader.connection() as con:
        # The pool hands out this one connection and must not close it: the reader keeps it.
        engine = create_engine("sqlite://", creator=lambda: con, poolclass=StaticPool)
        try:
            with Session(engine) as s:
                yield s
        except SQLAlchemyError as e:
            raise in_our_words(getattr(e, "orig", None) or e, reader.path) from e


def runs(
    reader: Reader, *, limit: int = 50, status: str | None = None, before_seq: int | None = None
) -> list[RunSummary]:
    """The latest runs, newest first; ``before_seq`` pages on from the last one's ``seq``."""
    found: list[RunSummary] = []
    with session(reader) as s:
        while len(found) < limit:
            page = _run_ids(s, before_seq)
            found += [r for r in _summaries(s, dict(page)) if status in (None, r.status)]
            if len(page) < _PAGE:
                break
            before_seq = page[-1][1]
    return found[:limit]


def run(reader: Reader, run_id: str) -> RunSummary:
    """One run.

    Raises:
        UnknownRunError: there is none of that id.
    """
    with session(reader) as s:
        first = s.exec(select(func.min(_RUNS.c.seq)).where(_RUNS.c.run_id == run_id)).one()
        if first is None:
            raise UnknownRunError(
                f"no run '{run_id}' is in the ledger", hint="see: agentroute runs ls"
            )
        return _summaries(s, {run_id: first})[0]


def run_rows(reader: Reader, run_id: str) -> list[Row]:
    """Everything about a run in order of ``seq``: decisions, outcomes, feedback and events."""
    ours = _decision_ids(run_id)
    wanted: list[tuple[str, Any]] = [
        ("decisions", select(DecisionRow.seq, DecisionRow.body).where(
            DecisionRow.run_id == run_id)),
        ("outcomes", select(OutcomeRow.seq, OutcomeRow.body).where(_outcome_of(run_id))),
        ("feedback", select(FeedbackRow.seq, FeedbackRow.body).where(
            (col(FeedbackRow.target_id) == run_id) | col(FeedbackRow.target_id).in_(ours))),
        ("events", select(EventRow.seq, EventRow.body).where(EventRow.run_id == run_id)),
    ]  # fmt: skip
    with session(reader) as s:
        rows = [decode_row(t, seq, body) for t, query in wanted for seq, body in s.exec(query)]
    return sorted(rows, key=lambda r: r.seq)


_RUNS = union_all(
    select(DecisionRow.run_id, DecisionRow.seq),
    select(EventRow.run_id, EventRow.seq).where(EventRow.run_id != ""),
).subquery()


def _run_ids(s: Session, before_seq: int | None) -> Sequence[tuple[str, int]]:
    first = func.min(_RUNS.c.seq)
    query = select(_RUNS.c.run_id, first).group_by(_RUNS.c.run_id)
    if before_seq is not None:
        query = query.having(first < before_seq)
    return [(r, n) for r, n in s.exec(query.order_by(first.desc()).limit(_PAGE))]


def _summaries(s: Session, first: dict[str, int]) -> list[RunSummary]:
    """The summaries of some runs (id -> first seq), a handful of queries for all of them."""
    ids = list(first)
    began = _times(s, list(first.values()))
    started, finished = _notes(s, ids, "run.started"), _notes(s, ids, "run.finished")
    decisions, calls, scores = _decisions(s, ids), _calls(s, ids), _scores(s, ids)
    waiting = _waiting(s, [i for i in ids if i not in finished])
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


def _times(s: Session, seqs: list[int]) -> dict[int, str]:
    """When rows were written, by seq."""
    tables = (DecisionRow, EventRow)
    queries = [select(t.seq, t.at).where(col(t.seq).in_(seqs)) for t in tables]
    return {seq: at for query in queries for seq, at in s.exec(query) if seq is not None}


def _decisions(s: Session, ids: list[str]) -> dict[str, int]:
    run = col(DecisionRow.run_id)
    return {
        r: int(n) for r, n in s.exec(select(run, func.count()).where(run.in_(ids)).group_by(run))
    }


def _calls(s: Session, ids: list[str]) -> dict[str, list[_Calls]]:
    """What each agent did in each run."""
    run, agent, shadow = col(DecisionRow.run_id), col(OutcomeRow.agent), col(OutcomeRow.shadow)
    sums = (func.sum(c) for c in (OutcomeRow.failed, OutcomeRow.cost_usd, OutcomeRow.tokens))
    query: Any = (
        select(run, agent, shadow, func.count(), *sums)
        .join(DecisionRow, col(DecisionRow.id) == OutcomeRow.decision_id)
        .where(run.in_(ids))
        .group_by(run, agent, shadow)
    )
    out: dict[str, list[_Calls]] = {}
    for run_id, *rest in s.exec(query):
        out.setdefault(run_id, []).append(_Calls(*rest))
    return out


def _scores(s: Session, ids: list[str]) -> dict[str, float]:
    """The mean of all feedback on each run and its decisions."""
    sums, target = (func.sum(FeedbackRow.score), func.count()), col(FeedbackRow.target_id)
    run = col(DecisionRow.run_id)
    direct = select(target, *sums).where(target.in_(ids)).group_by(target)
    joined = (
        select(run, *sums).join(FeedbackRow, target == DecisionRow.id).where(run.in_(ids))
    ).group_by(run)
    total: dict[str, tuple[float, int]] = {}
    for query in (direct, joined):
        for run_id, score, n in s.exec(query):
            before = total.get(run_id, (0.0, 0))
            total[run_id] = (before[0] + score, before[1] + n)
    return {run_id: score / n for run_id, (score, n) in total.items()}


def _notes(s: Session, ids: list[str], kind: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Time and data of the last event of a type, by run."""
    query = select(EventRow.run_id, EventRow.at, EventRow.body).where(
        EventRow.type == kind, col(EventRow.run_id).in_(ids)
    )
    rows = s.exec(query.order_by(col(EventRow.seq)))
    return {run_id: (at, orjson.loads(body)["data"]) for run_id, at, body in rows}


def _waiting(s: Session, ids: list[str]) -> set[str]:
    """The runs that asked for an approval which nobody has given or refused."""
    kinds = ("approval.needed", "approval.answered")
    query = select(EventRow.run_id, EventRow.type, EventRow.body).where(
        col(EventRow.type).in_(kinds), col(EventRow.run_id).in_(ids)
    )
    open_: dict[tuple[str, str], None] = {}
    for run_id, kind, body in s.exec(query.order_by(col(EventRow.seq))):
        key = (run_id, str(orjson.loads(body)["data"]["approval_id"]))
        open_.update({key: None}) if kind == kinds[0] else open_.pop(key, None)
    return {run_id for run_id, _ in open_}


def _decision_ids(run_id: str) -> Any:
    return select(DecisionRow.id).where(DecisionRow.run_id == run_id)


def _outcome_of(run_id: str) -> Any:
    return col(OutcomeRow.decision_id).in_(_decision_ids(run_id))
