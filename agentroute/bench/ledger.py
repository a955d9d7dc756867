"""What a row of the ledger costs, beside those who store the same.

Figures are microseconds a row, CPU of the whole process and wall time, medians of interleaved
blocks on one disk: a decision among 100 agents flat out (many rows, then wait for the last) and
alone (wait for each), raw ``sqlite3`` with the same bytes and the same durability, one SQLModel
commit a row, and a step of LangGraph's ``SqliteSaver``. Verifying is counted in rows a second of
CPU, over rows as runs write them: a decision among 8, its outcome, a word on it, a note.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentroute.bench.decisions import decision
from agentroute.bench.goals import Goal
from agentroute.bench.peers import (
    checkpointed_chain,
    insert,
    insert_models,
    orm_file,
    raw_file,
)
from agentroute.ledger import Ledger
from agentroute.ledger.rows.encode import encode
from agentroute.model.decisions import DecisionRecord
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Feedback, Outcome

if TYPE_CHECKING:
    from sqlalchemy import Engine

CANDIDATES, ROWS, ALONE, BATCH, STEPS = 100, 1_000, 50, 250, 20
CPU_US, KB = 75.0, 9.0
VERIFIED, FEW, ROWS_S = 2_000, 8, 100_000.0
FLAT_OUT = f"decision among {CANDIDATES}, flat out"
SAVER = "  LangGraph's SqliteSaver, a step"
RAW_BATCH = f"  raw sqlite3, {BATCH} a commit"


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds a row."""

    cpu: float
    wall: float


def bench_ledger(*, rows: int = ROWS, alone: int = ALONE, blocks: int = 5) -> list[Goal]:
    """Time and bytes of a row, and the same by others. About a minute.

    Args:
        rows: rows of a block that waits for its last only.
        alone: rows of a block that waits for each.
        blocks: blocks of each kind; a figure is their median.
    """
    take = decision(CANDIDATES, width=None)
    records = [take() for _ in range(rows)]
    with tempfile.TemporaryDirectory() as name:
        took = _measure(Path(name), records, alone, blocks)
    out = []
    for kind, cost in took.items():
        limit = CPU_US if kind == FLAT_OUT else None
        out.append(Goal(f"{kind}: CPU a row", cost.cpu, limit, "us"))
        out.append(Goal("  wall a row", cost.wall, None, "us"))
    return [*out, *_bytes(records), _verifying(max(1, VERIFIED * rows // ROWS), blocks)]


def _verifying(n: int, blocks: int) -> Goal:
    """``verify`` over ``n`` decisions and what follows each: the best of the blocks."""
    take = decision(FEW, width=None)
    with (
        tempfile.TemporaryDirectory() as name,
        Ledger.open(f"sqlite:///{name}/l.db") as ledger,
    ):
        for _ in range(n):
            made = _fresh(take())
            ledger.append(made)
            ledger.append(Outcome(decision_id=made.decision.id, agent="a", cost_usd=0.01))
            said = {"target": "decision", "target_id": made.decision.id, "score": 0.5}
            ledger.append(Feedback.model_validate({"id": uuid7(), **said}))
            ticket = ledger.append(Note(id=uuid7(), run_id=made.decision.run_id, type="x"))
        ticket.wait(60)
        took = []
        for _ in range(blocks):
            start = time.process_time()
            report = ledger.verify()
            took.append(time.process_time() - start)
            report.raise_if_bad()
    return Goal(
        "verify: rows a second of CPU", report.rows / min(took), ROWS_S, "rows", at_most=False
    )


def _bytes(records: Sequence[DecisionRecord]) -> list[Goal]:
    entries = [encode(r, 0) for r in records]
    body = statistics.mean(len(e.body) for e in entries) / 1e3
    packed = statistics.mean(len(e.packed or b"") for e in entries) / 1e3
    return [
        Goal(f"bytes of a decision among {CANDIDATES}", body + packed, KB, "kB"),
        Goal("  of them the arrays", packed, None, "kB"),
    ]


def _measure(
    folder: Path, records: Sequence[DecisionRecord], alone: int, blocks: int
) -> dict[str, Cost]:
    took: dict[str, list[Cost]] = {}
    saver = checkpointed_chain(folder / "saver.db", STEPS)
    saver()  # what is imported and compiled once is not a step's
    with (
        Ledger.open(f"sqlite:///{folder}/l.db") as ledger,
        closing(raw_file(folder / "raw.db")) as raw,
        orm_file(folder / "orm.db") as orm,
    ):
        for _ in range(blocks):
            for kind, work, n in _block(records, alone, ledger, raw, orm):
                took.setdefault(kind, []).append(_timed(work, n))
            took.setdefault(SAVER, []).append(_timed(saver, STEPS))
    return {kind: _median(costs) for kind, costs in took.items()}


def _block(
    records: Sequence[DecisionRecord],
    alone: int,
    ledger: Ledger,
    raw: sqlite3.Connection,
    orm: Engine,
) -> list[tuple[str, Callable[[], object], int]]:
    """What is timed in one block, each with its number of rows; made ready before the clock."""
    fresh, some = [_fresh(r) for r in records], [_fresh(r) for r in records[:alone]]
    entries = [encode(_fresh(r), 0) for r in (*records, *some)]
    group, single = entries[: len(records)], entries[len(records) :]
    done = [Outcome(decision_id=r.decision.id, agent="a", cost_usd=0.01) for r in fresh]
    return [
        (FLAT_OUT, lambda: _flat_out(ledger, fresh), len(fresh)),
        (RAW_BATCH, lambda: insert(raw, group, BATCH), len(group)),
        ("decision, each awaited", lambda: _each(ledger, some), alone),
        ("  raw sqlite3, a commit a row", lambda: insert(raw, single, 1), alone),
        ("  SQLModel, a commit a row", lambda: insert_models(orm, single), alone),
        ("outcome, flat out", lambda: _flat_out(ledger, done), len(done)),
    ]


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(c.cpu for c in costs), statistics.median(c.wall for c in costs))


def _timed(work: Callable[[], object], n: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(1e6 * cpu / n, 1e6 * wall / n)


# -- ours ---------------------------------------------------------------------------------------


def _fresh(record: DecisionRecord) -> DecisionRecord:
    """The same decision under a new id, in a run of its own."""
    made = record.decision.model_copy(update={"id": uuid7(), "run_id": uuid7()})
    return replace(record, decision=made)


def _flat_out(ledger: Ledger, rows: Sequence[DecisionRecord | Outcome]) -> None:
    tickets = [ledger.append(r) for r in rows]
    tickets[-1].wait()


def _each(ledger: Ledger, rows: Sequence[DecisionRecord]) -> None:
    for r in rows:
        ledger.append(r).wait()
