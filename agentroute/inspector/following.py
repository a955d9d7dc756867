"""A run as it goes on, read from the ledger by whoever looks on: a line a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agentroute.inspector.money import usd
from agentroute.ledger import Ledger
from agentroute.ledger.rows.decode import Row
from agentroute.model.decisions import Decision
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback, Outcome

EVERY_S = 0.2
OVER = "run.finished"
WAITING = "approval.needed"


@dataclass(frozen=True, slots=True)
class Line:
    """What happened, in words; ``over`` where the run has ended, or a human is waited for."""

    seq: int
    at: str
    run_id: str
    task_id: str
    words: str
    over: bool = False

    @property
    def finished(self) -> bool:
        """Whether the run has ended for good."""
        return self.over and self.words.startswith("finished")


def follow(
    ledger: Ledger, run_id: str | None, *, after_seq: int = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:  # fmt: skip
    """Lines of a run from row ``after_seq`` on, until it is over; of all runs, for ever, with None.

    Rows that another process writes are seen within ``EVERY_S`` seconds of their commit.
    """
    about: dict[str, tuple[str, str]] = {}
    while True:
        upto, last = ledger.head()[0], None
        for row in ledger.rows(after_seq, upto):
            line = _line(row, about)
            if line is None or (run_id is not None and line.run_id != run_id):
                continue
            yield line
            last = line
            if run_id is not None and line.finished:
                return
        if run_id is not None and last is not None and last.over:
            return  # it waits, and nothing came after: one that was answered long ago goes on
        after_seq = upto
        sleep(EVERY_S)


def latest_open(ledger: Ledger) -> str | None:
    """The newest run that has not ended; None where all have."""
    found = ledger.runs(1, "unfinished")
    return found[0].run_id if found else None


def next_run(ledger: Ledger) -> Line:
    """The first line of the run that starts next; waits for it."""
    lines = follow(ledger, None, after_seq=ledger.head()[0])
    return next(line for line in lines if line.words.startswith("started"))


def before(ledger: Ledger, run_id: str) -> int:
    """The row before the first of a run: from where it is followed."""
    sql = (
        "SELECT min(seq) FROM (SELECT min(seq) AS seq FROM events WHERE run_id = ?1 "
        "UNION ALL SELECT min(seq) FROM decisions WHERE run_id = ?1)"
    )
    (first,) = ledger.query(sql, (run_id,))[0]
    return int(first or 1) - 1


def _line(row: Row, about: dict[str, tuple[str, str]]) -> Line | None:
    v = row.value
    if isinstance(v, Decision):
        about[v.id] = v.run_id, v.task_id
        return Line(row.seq, row.at, v.run_id, v.task_id, _decided(v))
    if isinstance(v, Outcome):
        run, task = about.get(v.decision_id, ("", ""))
        return Line(row.seq, row.at, run, task, _called(v))
    if isinstance(v, Feedback):
        run, task = about.get(v.target_id, (v.target_id if v.target == "run" else "", ""))
        whom = f" of {v.agent}" if v.agent else ""
        return Line(row.seq, row.at, run, task, f"{v.source} said {v.score:.2f}{whom}")
    return _noted(row, v) if isinstance(v, Note) and v.run_id else None


def _decided(d: Decision) -> str:
    who = ", ".join(d.chosen) or "nobody"
    p = f" (p={d.propensity:.2f})" if d.kind == "route" else ""
    return f"{d.kind}: {who}{p}"


def _called(o: Outcome) -> str:
    if o.error:
        return f"{o.agent} failed: {o.error}"
    cost = f" for {usd(o.cost_usd)} USD" if o.cost_usd else ""
    return f"{o.agent} done in {o.latency_s:.3g} s{cost}"


def _noted(row: Row, note: Note) -> Line | None:
    if note.type == "run.started":
        words = f"started: {note.data.get('name') or 'a run'}"
    elif note.type == OVER:
        words = f"finished: {note.data.get('status') or 'over'}"
    elif note.type == WAITING:
        words = f"waits for a word on {', '.join(note.data.get('agents', ()))}"
    else:
        return None
    over = note.type in (OVER, WAITING)
    return Line(row.seq, row.at, note.run_id, str(note.data.get("task_id", "")), words, over)
