"""What opening costs by the length of the ledger: the first time, and with a snapshot.

A dry run of one choice (``agentroute route``) is timed as a process of its own, CPU of the whole
process, on an empty ledger and on long ones; beside it the time to fold a ledger from its first
row, and to take up what its last outcomes say of the agents.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from agentroute.bench.goals import Goal
from agentroute.config.paths import search_order
from agentroute.features.text import make_embedder
from agentroute.learning.taking_up import take_up
from agentroute.ledger import Ledger
from agentroute.model.candidates import Candidates, CardSet, Request
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import uuid7
from agentroute.model.objective import Objective
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.scores import Scores
from agentroute.model.tasks import Task
from agentroute.registry.registry import Registry

RATIO = 1.3
GROUP = 500
WORDS = ("audit", "table", "licence", "report", "profile", "answer", "plan", "module", "chart",
         "sentence", "function", "import", "column", "topic", "summary", "number")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Opened:
    """Seconds of CPU, by the number of decisions in the ledger."""

    decisions: int
    """In the ledger, each with an outcome, every other one with feedback."""
    first: float
    """A dry run that finds no snapshot and folds everything."""
    route: float
    """A dry run with a snapshot, the median of several."""
    taking_up: float
    """Rebuilding the live state of the agents, in process."""


def bench_opening(
    sizes: Sequence[int] = (1_000, 10_000, 50_000), *, repeats: int = 5
) -> list[Goal]:
    """A dry run on ledgers of ``sizes`` decisions over one on an empty ledger.

    Args:
        sizes: decisions of each ledger, ascending.
        repeats: processes timed for each.
    """
    with tempfile.TemporaryDirectory() as name:
        rows = [_opened(Path(name), n, repeats=repeats) for n in (0, *sizes)]
    empty, *long = rows
    out = [Goal("route on an empty ledger: CPU", empty.route, None, "s")]
    for row in long:
        limit = RATIO if row is long[-1] else None
        out += [
            Goal(f"route on {row.decisions:,} decisions", row.route / empty.route, limit, "x"),
            Goal("  without a snapshot: CPU", row.first, None, "s"),
            Goal("  live state: CPU", 1e3 * row.taking_up, None, "ms"),
        ]
    return out


def _opened(folder: Path, decisions: int, *, repeats: int = 5) -> _Opened:
    """Write a ledger of so many decisions into ``folder`` and time what opens it."""
    home = folder / str(decisions)
    home.mkdir()
    registry = Registry(search_order("agents"))
    _write_ledger(home / "agentroute.db", registry.cardset(make_embedder()), decisions)
    first = _route_cpu(home)
    times = [_route_cpu(home) for _ in range(repeats)]
    with Ledger.open(f"sqlite:///{home}/agentroute.db", read_only=True) as ledger:
        start = time.process_time()
        take_up(registry, ledger)
        return _Opened(decisions, first, median(times), time.process_time() - start)


def _write_ledger(path: Path, cards: CardSet, decisions: int, *, seed: int = 0) -> None:
    """A ledger as runs write it, in one run: a decision among all cards, its outcome, feedback."""
    with Ledger.open(f"sqlite:///{path}") as ledger:
        for at, record in enumerate(records(cards, decisions, seed)):
            d = record.decision
            ticket = ledger.append(record)
            ledger.append(
                Outcome(decision_id=d.id, agent=d.chosen[0], cost_usd=0.001, latency_s=0.1)
            )
            if at % 2:
                told = {"target": "decision", "target_id": d.id, "score": (at % 11) / 10}
                ledger.append(Feedback(id=uuid7(), **told))
            if at % GROUP == 0:
                ticket.wait()


def records(cards: CardSet, decisions: int, seed: int) -> Iterator[DecisionRecord]:
    """So many decisions among all cards, ten a run."""
    rng, embedder = np.random.default_rng(seed), make_embedder()
    candidates, n = Candidates.idle(cards), len(cards)
    texts = [" ".join(rng.choice(WORDS, size=12)) for _ in range(256)]
    vectors = embedder.encode(texts)
    for i in range(decisions):
        at, pick = int(rng.integers(len(texts))), int(rng.integers(n))
        task = Task(id=f"t{i}", prompt=texts[at])
        mean = rng.random(n)
        chosen = (str(cards.names[pick]),)
        decision = Decision(
            id=uuid7(), run_id=f"run{i // 10}", task_id=task.id, kind="route", policy="linucb",
            chosen=chosen, propensity=1.0 / n,
        )  # fmt: skip
        request = Request(task, vectors[at], candidates, Objective())
        scores = Scores(mean, np.zeros(n), {"prior": mean})
        yield DecisionRecord(decision, request, scores, np.full(n, 1.0 / n))


def _route_cpu(home: Path) -> float:
    """Seconds of CPU of one dry run in ``home``, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "agentroute", "route", "Audit this project", "--json"]
    subprocess.run(command, cwd=home, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
