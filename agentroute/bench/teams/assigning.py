"""Sixty items over five agents that each take two to four calls at a time: alone or together?

Simulated agents, but the runs are the product's: an ``Orchestrator``, a graph with ``foreach``, a
ledger on the disk. An agent is good at some of four kinds of items and one of them at most kinds,
so that items compete for it; a router knows the expected quality up to noise. Nothing is explored.
Compared are items that are routed one by one, ``assign`` at several prices of waiting, and a queue
at each price: every item in turn takes what is best for it at the places that are left then.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from agentroute.bench.goals import Goal
from agentroute.choosing.matching import Places, waves
from agentroute.choosing.state import StateDict
from agentroute.evaluation.metrics import t_interval
from agentroute.model.arrays import F64
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.model.candidates import Request
from agentroute.model.outcomes import Observation
from agentroute.model.plans import Plan
from agentroute.model.scores import Scores, Taxonomy
from agentroute.orchestrator import Orchestrator
from agentroute.planning.graphfile import make_plan, parse_graph
from agentroute.registry.registry import Registry

AGENTS, KINDS, ITEMS, SEEDS = 5, 4, 60, 10
CALL_S = 0.05  # a call, times 0.7 to 1.3 by agent
NOISE = 0.05  # of an item's quality around its kind's, and of what the router knows
WAITS = (0.02, 0.05, 0.2)


class Known:
    """A router that knows a table (items, agents) of expected quality."""

    name = "known"
    taxonomy = Taxonomy("before", ("task",), "rules")
    learns = False

    def __init__(self, table: F64) -> None:
        self._table = table

    async def score(self, request: Request) -> Scores:
        """The item's row of the table."""
        row = self._table[int(request.task.params["index"])]
        mean = np.array([row[int(str(a)[1:])] for a in request.candidates.names])
        return Scores(mean, np.zeros(len(mean)), {"known": mean})

    def update(self, observation: Observation) -> None:
        """Learns nothing."""

    def state_dict(self) -> StateDict:
        """Nothing."""
        return StateDict("known", 1)

    def load_state_dict(self, state: StateDict) -> None:
        """Nothing."""


class Office:
    """The world of one seed: ``quality`` (items, agents), what the router ``knows`` of it."""

    def __init__(self, seed: int, items: int = ITEMS) -> None:
        rng = np.random.default_rng(seed)
        skill = rng.uniform(0.3, 0.85, (KINDS, AGENTS))
        skill[:, 0] += 0.1
        kinds = rng.integers(KINDS, size=items)
        self.items, self.seed = items, seed
        self.quality = np.clip(skill[kinds] + rng.normal(0, NOISE, (items, AGENTS)), 0, 1)
        self.knows = np.clip(self.quality + rng.normal(0, NOISE, (items, AGENTS)), 0, 1)
        self.limit = rng.integers(2, 5, AGENTS)
        self._took_s = CALL_S * rng.uniform(0.7, 1.3, AGENTS)
        self._at: list[float] = []

    def registry(self) -> Registry:
        """The agents, who sleep for as long as a call takes them."""
        made = Registry()
        for a in range(AGENTS):
            self._add(made, a)
        return made

    def _add(self, registry: Registry, a: int) -> None:
        async def work(call: AgentCall) -> AgentReply:
            self._at.append(time.perf_counter())
            await asyncio.sleep(float(self._took_s[a]))
            self._at.append(time.perf_counter())
            return AgentReply(text=f"{call.task.id} done")

        limits = {"max_concurrency": int(self.limit[a])}
        registry.agent(name=f"a{a}", description="works", skills=["work"], limits=limits)(work)

    def queued(self, wait: float) -> list[str]:
        """Every item in turn to the agent that is best for it at the places left then."""
        places = self._places(wait)
        load, out = places.taken.copy(), []
        for row in self.knows:
            a = int((row - places.price(load)).argmax())
            load[a] += 1
            out.append(f"a{a}")
        return out

    def _places(self, wait: float) -> Places:
        return Places(self.limit, np.zeros(AGENTS, np.int64), np.full(AGENTS, np.inf), wait)

    def plan(self, *, pins: Sequence[str] = (), wait: float | None = None) -> Plan:
        """All items as one ``foreach``: pinned, assigned at a price of waiting, or neither."""
        task: dict[str, Any] = {
            "id": "item", "prompt": "work on ${index}", "skills": ["work"],
            "foreach": "${inputs.items}",
        }  # fmt: skip
        if pins:
            task["agent"] = "${item}"
        elif wait is not None:
            task["assign"] = {"by": "expert", "wait": wait}
        graph = {"inputs": {"items": {"type": "yaml-list"}}, "tasks": [task]}
        text = orjson.dumps(graph).decode()
        return make_plan(parse_graph(text), {"items": list(pins) or ["-"] * self.items})

    async def tried(self, plan: Plan) -> tuple[float, float, float]:
        """Mean true quality of an item's agent, seconds from the first call to the last end, and
        the mean wave of an item.
        """
        self._at = []
        with tempfile.TemporaryDirectory() as folder:
            async with Orchestrator(
                self.registry(), router=Known(self.knows), ledger=f"sqlite:///{folder}/l.db",
                out=Path(folder), state=Path(folder), embedder="hashing", exploration=0.0,
                max_concurrency=self.items, seed=self.seed,
            ) as orc:  # fmt: skip
                run = await orc.run(plan)
        chosen = {d.task_id: int(d.chosen[0][1:]) for d in run.decisions if d.kind == "route"}
        to = np.array([chosen[f"item[{i}]"] for i in range(self.items)])
        got = self.quality[np.arange(self.items), to]
        wave = waves(to, self._places(0.0))
        return float(got.mean()), max(self._at) - min(self._at), float(wave.mean())


@dataclass(frozen=True, slots=True, eq=False)
class AssignRow:
    """One way at one price of waiting: mean quality, makespan in seconds and the mean wave of an
    item, (seeds,) each.
    """

    way: str
    wait: float | None
    quality: F64
    makespan_s: F64
    wave: F64

    def worth(self, wait: float) -> F64:
        """(seeds,) quality less what waiting costs at a price."""
        return self.quality - wait * self.wave


def assigning(
    waits: Sequence[float] = WAITS, *, seeds: int = SEEDS, items: int = ITEMS
) -> list[AssignRow]:
    """Items alone, then queued and assigned at each price; every way meets the same worlds."""
    ways: list[tuple[str, float | None]] = [("alone", None)]
    ways += [(way, wait) for wait in waits for way in ("queued", "assigned")]
    return [_row(way, wait, seeds, items) for way, wait in ways]


def _row(way: str, wait: float | None, seeds: int, items: int) -> AssignRow:
    found = []
    for seed in range(seeds):
        office = Office(seed, items)
        pins = office.queued(wait) if way == "queued" and wait is not None else ()
        found.append(asyncio.run(office.tried(office.plan(pins=pins, wait=wait))))
    quality, makespan, wave = np.array(found).T
    return AssignRow(way, wait, quality, makespan, wave)


def assign_goals(rows: Sequence[AssignRow]) -> list[Goal]:
    """Together is sooner done than alone and worth more; beside a queue it is information."""
    alone, out = rows[0], []
    for queued, together in zip(rows[1::2], rows[2::2], strict=True):
        wait = together.wait or 0.0
        at = f"wait {wait:g}"
        ratio = t_interval(together.makespan_s / alone.makespan_s)[2]
        more, than = (
            t_interval(together.worth(wait) - other.worth(wait))[1] for other in (queued, alone)
        )
        out += [
            Goal(f"{at}: makespan over that of items alone, upper end", ratio, 1.0, "x"),
            Goal(f"{at}: worth less a queue's, lower end", more, None, ""),
            Goal(f"{at}: worth less that of items alone, lower end", than, 0.0, "", at_most=False),
        ]
    return out
