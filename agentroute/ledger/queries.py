"""Questions that people ask of a ledger, as typed queries (SQLModel) that cannot write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, col, func, select, union_all

from agentroute.errors import UnknownRunError
from agentroute.ledger.connect import in_our_words
from agentroute.ledger.decode import Row, decode_row
from agentroute.ledger.reader import Reader
from agentroute.ledger.tables import DecisionRow, EventRow, FeedbackRow, OutcomeRow

UNFINISHED = "unfinished"
_PAGE = 50


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A line of ``runs ls``. ``status`` is ``unfinished`` until a note ``run.finished`` says more.

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
            summaries = [_summary(s, run_id, seq) for run_id, seq in page]
            found += [r for r in summaries if status in (None, r.status)]
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
        return _summary(s, run_id, first)


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


def _summary(s: Session, run_id: str, seq: int) -> RunSummary:
    first = s.exec(select(DecisionRow.at).where(DecisionRow.seq == seq)).first()
    first = first or s.exec(select(EventRow.at).where(EventRow.seq == seq)).one()
    started = _last_event(s, run_id, "run.started")
    finished = _last_event(s, run_id, "run.finished")
    done = finished[1].get("status", "finished") if finished else UNFINISHED
    calls, failed, cost, tokens = s.exec(
        select(
            func.count(), func.coalesce(func.sum(OutcomeRow.failed), 0),
            func.coalesce(func.sum(OutcomeRow.cost_usd), 0.0),
            func.coalesce(func.sum(OutcomeRow.tokens), 0),
        ).where(_outcome_of(run_id))
    ).one()  # fmt: skip
    return RunSummary(
        run_id=run_id, seq=seq, started_at=started[0] if started else first,
        finished_at=finished[0] if finished else None, status=done, decisions=_decisions(s, run_id),
        calls=calls, failed=int(failed), cost_usd=float(cost), tokens=int(tokens),
        score=_score(s, run_id), agents=_agents(s, run_id), about=started[1] if started else {},
    )  # fmt: skip


def _decisions(s: Session, run_id: str) -> int:
    return int(s.exec(select(func.count()).where(DecisionRow.run_id == run_id)).one())


def _agents(s: Session, run_id: str) -> dict[str, int]:
    """How often each agent was called in the run, shadows left out."""
    query = (
        select(OutcomeRow.agent, func.count())
        .where(_outcome_of(run_id), col(OutcomeRow.shadow).is_(False))
        .group_by(OutcomeRow.agent)
    )
    return {agent: int(n) for agent, n in s.exec(query)}


def _score(s: Session, run_id: str) -> float | None:
    target = col(FeedbackRow.target_id)
    about = (target == run_id) | target.in_(_decision_ids(run_id))
    mean = s.exec(select(func.avg(FeedbackRow.score)).where(about)).one()
    return None if mean is None else float(mean)


def _last_event(s: Session, run_id: str, kind: str) -> tuple[str, dict[str, Any]] | None:
    query = select(EventRow.at, EventRow.body).where(
        EventRow.run_id == run_id, EventRow.type == kind
    )
    row = s.exec(query.order_by(col(EventRow.seq).desc()).limit(1)).first()
    return None if row is None else (row[0], orjson.loads(row[1])["data"])


def _decision_ids(run_id: str) -> Any:
    return select(DecisionRow.id).where(DecisionRow.run_id == run_id)


def _outcome_of(run_id: str) -> Any:
    return col(OutcomeRow.decision_id).in_(_decision_ids(run_id))
