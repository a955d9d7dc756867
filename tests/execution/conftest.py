"""A registry in code, a real ledger, a scripted router: what every executor test stands on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pytest

from agentroute.choosing.exploration import Epsilon
from agentroute.choosing.policy import Policy
from agentroute.execution.decider import Decider
from agentroute.execution.ruling import Rules
from agentroute.execution.run import Executor
from agentroute.features.text import make_embedder
from agentroute.ledger import Ledger
from agentroute.model.scores import Scores, Taxonomy
from agentroute.planning.graphfile import make_plan, parse_graph
from agentroute.registry.registry import Registry


class Scripted:
    """Prefers the agent that the script names for a task; else the first by name."""

    name = "scripted"
    taxonomy = Taxonomy("before", ("task",), "rules")

    def __init__(self, script: Mapping[str, str] | None = None, out_of_scope=()):
        self.script, self.out_of_scope = dict(script or {}), set(out_of_scope)
        self.asked: list[str] = []

    async def score(self, request):
        self.asked.append(request.task.id)
        names = request.candidates.names
        wanted = self.script.get(request.task.id)
        mean = np.where(names == wanted, 0.9, np.linspace(0.5, 0.1, len(names)))
        out = 1.0 if request.task.id in self.out_of_scope else 0.0
        return Scores(mean, np.zeros(len(names)), {"script": mean}, out_of_scope=out)


class Memory:
    """A ledger in memory whose commits take no time: for tests of timing, not of durability."""

    def __init__(self):
        self.rows, self.texts = [], {}

    def append(self, row, *, at=None):
        self.rows.append(row)
        done = asyncio.get_running_loop().create_future()
        done.set_result(len(self.rows))
        return done

    def put_text(self, text):
        sha = str(hash(text))
        self.texts[sha] = text
        return sha

    def text(self, sha):
        return self.texts.get(sha)

    def decisions(self, run_id):
        return []

    outcomes = notes = decisions

    def take_lease(self, run_id):
        return SimpleNamespace(release=lambda: None)

    def close(self):
        """Nothing to close."""


class World:
    """Everything for a run; ``executor()`` makes another life on the same ledger."""

    def __init__(self, folder):
        self.folder = folder
        self.registry = Registry()
        self.embedder = make_embedder("hashing")
        self.router = Scripted()
        self.ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
        self.log: list[tuple[str, str]] = []
        self.calls: list = []
        self.executors: list[Executor] = []
        self.events: list = []
        self.options: dict = {}

    def agent(self, name, skills=("s",), *, sleep=0.0, fails=0, reply=None, **card):
        """An async agent that logs its start and end, sleeps and fails ``fails`` times."""
        state = {"left": fails}

        async def handler(call):
            self.calls.append(call)
            self.log.append(("start", call.task.id))
            await asyncio.sleep(call.task.params.get("sleep", sleep))
            self.log.append(("end", call.task.id))
            if state["left"]:
                state["left"] -= 1
                raise ValueError(f"{name} is broken")
            return reply(call) if callable(reply) else reply or f"{name}({call.task.id})"

        self.registry.agent(name=name, description=name, skills=skills, **card)(handler)

    def executor(self, **options):
        decider = Decider(
            self.registry, lambda: self.registry.cardset(self.embedder), self.embedder, self.ledger
        )
        policy = Policy(self.router, exploration=Epsilon(0.0))
        rules = options.pop("rules", {})
        made = Executor(
            decider, self.registry, self.ledger, lambda plan: Rules(policy, **rules),
            workroot=self.folder / "work", **options,
        )  # fmt: skip
        self.executors.append(made)
        return made

    async def run(self, plan, **options):
        executor = self.executors[-1] if self.executors else self.executor(**self.options)
        return await executor.run(plan, emit=self.events.append, **options)

    def starts(self):
        return [v for what, v in self.log if what == "start"]


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    yield made
    for executor in made.executors:
        await executor.aclose()
    made.ledger.close()


@pytest.fixture
def plan_of():
    def make(text, **inputs):
        return make_plan(parse_graph(text), inputs)

    return make


def alive(pool):
    """Processes of a pool that are bound to a card and alive."""
    return sorted(w.pid for w in pool._live)
