"""The story of ``agentroute demo`` as data. Every number is computed while it is told.

1. A pipeline on this environment. 2. Its contested choice. 3. The same step again and again, on
code that no longer parses: the verifier's scores move the choice. 4. A recorded table, streamed
through the learner.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentroute.config.paths import bundled_data
from agentroute.errors import PlanError
from agentroute.evaluation.results import EvalResult
from agentroute.evaluation.runner import EvalSpec, evaluate_async
from agentroute.evaluation.tables.reading import load_table
from agentroute.execution.found import RouteFound, route_found
from agentroute.model.decisions import DecisionRecord
from agentroute.model.objective import Objective
from agentroute.model.plans import Plan
from agentroute.model.runs import RunResult
from agentroute.model.tasks import TaskGraph
from agentroute.orchestrator import Orchestrator
from agentroute.planning.topology import choose_topology
from agentroute.registry.registry import Registry

GRAPH = "audit_project"
REPEATS = 20
LEGACY = "shipped:pedalworks/code/legacy"  # Python 2, which the syntax tree cannot read
COST_WEIGHT = 0.1
TABLE = "coderouterbench"


@dataclass
class Contest:
    """The contested step: its task, the choice with all its candidates, and why not the rest."""

    task_id: str
    found: RouteFound
    why_not: dict[str, str]


@dataclass
class Learning:
    """The same step ``REPEATS`` times: who, the verifier's score, and each agent's chance.

    ``chances`` starts with the pipeline's own choice, before anything was learned.
    """

    agents: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    chances: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def mean_score(self, agent: str) -> float | None:
        """Mean verified score of an agent's runs."""
        pairs = zip(self.agents, self.scores, strict=True)
        got = [s for a, s in pairs if a == agent and s is not None]
        return sum(got) / len(got) if got else None


@dataclass
class Story:
    """Everything the demo computed."""

    run: RunResult
    plan: Plan
    contest: Contest
    learning: Learning
    table: EvalResult
    ledger: str
    seconds: float


Tell = Callable[[str, Any], None]


async def run_demo(out: Path, *, seed: int, tell: Tell) -> Story:
    """Compute the four parts; ``tell(part, data)`` hears of each as soon as it is there.

    Raises:
        PlanError: the pipeline has no contested step in this catalogue.
    """
    began = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    ledger = f"sqlite:///{out}/demo.db"
    for old in out.glob("demo.db*"):
        if old.is_file():
            old.unlink()
    registry = Registry.from_folder(_agents_folder())
    objective = Objective(quality=1.0, cost=COST_WEIGHT)
    orc = Orchestrator(
        registry, ledger=ledger, objective=objective, seed=seed, out=out, exploration=0.1
    )
    async with orc:
        where = {"path": str(_nowhere(out))}
        plan = orc.plan(GRAPH, inputs=where)
        run = await orc.run(plan, on_event=lambda e: tell("event", e))
        tell("run", run)
        contest = _contest(orc, run)
        tell("contest", contest)
        legacy = orc.plan(GRAPH, inputs={"path": LEGACY})
        learning = await _learn(orc, _step_alone(legacy, contest.task_id), contest, seed, tell)
        tell("learning", learning)
    table = await _stream(seed)
    tell("table", table)
    return Story(run, plan, contest, learning, table, ledger, time.perf_counter() - began)


def _agents_folder() -> Path:
    from agentroute.config.paths import bundled

    return bundled("agents")


def _nowhere(out: Path) -> Path:
    """A folder without Python in it: the audit then takes the running environment."""
    folder = out / "environment"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _contest(orc: Orchestrator, run: RunResult) -> Contest:
    records = [orc.ledger.record(d.id) for d in run.decisions if d.kind == "route" and d.chosen]
    contested = [r for r in records if r.request and len(r.request.candidates) > 1]
    if not contested:
        raise PlanError("no step of the pipeline is contested", hint="add a second agent")
    record = contested[0]
    found = route_found(record, _excluded(record))
    others = [r.agent for r in found.ranked if r.agent not in found.chosen]
    return Contest(record.decision.task_id, found, {a: found.why_not(a) for a in others})


def _excluded(record: DecisionRecord) -> dict[str, str]:
    if record.request is None or record.excluded_rows is None or record.excluded_codes is None:
        return {}
    names = record.request.candidates.cards.names[record.excluded_rows]
    pairs = zip(names, record.excluded_codes, strict=True)
    return {str(n): record.reasons[c] for n, c in pairs}


def _step_alone(plan: Plan, task_id: str) -> Plan:
    """The contested task with what it needs, and the graph's verifier."""
    graph = plan.graph()
    keep = {*graph.ancestors(task_id), task_id}
    tasks = tuple(t for t in plan.tasks if t.id in keep)
    return plan.model_copy(
        update={
            "name": f"{plan.name}/{task_id}",
            "tasks": tasks,
            "choice": choose_topology(TaskGraph(tasks)),
            "artifact": None,
        }
    )


async def _learn(
    orc: Orchestrator, plan: Plan, contest: Contest, seed: int, tell: Tell
) -> Learning:
    before = {r.agent: r.propensity for r in contest.found.ranked}
    out, began = Learning(chances=[before]), time.perf_counter()
    for i in range(REPEATS):
        run = await orc.run(plan, seed=seed + i)
        chosen = [d for d in run.decisions if d.task_id == contest.task_id and d.kind == "route"]
        record = orc.ledger.record(chosen[0].id)
        found = route_found(record, {})
        out.agents.append(chosen[0].chosen[0])
        out.chances.append({r.agent: r.propensity for r in found.ranked})
        scores = [s["score"] for s in run.scores if s["task_id"] == contest.task_id]
        out.scores.append(scores[0] if scores else None)
        tell("repeat", (i, out))
    out.seconds = time.perf_counter() - began
    return out


async def _stream(seed: int) -> EvalResult:
    table = await asyncio.to_thread(load_table, bundled_data(TABLE))
    spec = EvalSpec(
        train=table,
        test=table,
        routers=({"name": "linucb", "width": 48, "label": "linucb"},),  # few rows have text
        mode="bandit",
        seeds=1,
        train_split=("train",),
        test_split=("val",),
        baselines=("random", "best_single", "best_per_feature", "oracle"),
        first_seed=seed,
    )
    return await evaluate_async(spec)


def picks(learning: Learning) -> tuple[Counter[str], Counter[str]]:
    """Who was chosen in the first and in the second half."""
    half = len(learning.agents) // 2
    return Counter(learning.agents[:half]), Counter(learning.agents[half:])
