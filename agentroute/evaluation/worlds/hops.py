"""A simulated world of questions that one agent cannot all answer: some tasks take several hops.

Agents are better at one topic each, and better ones are dearer: a question is answered rightly with
a probability between ``WEAK`` and ``STRONG`` by the agent's strength, plus ``OWN`` in its own
topic; the cost grows with the strength ``DEAR``-fold. Now and then an agent says that it does not
know. What it answers is drawn by world, agent and question: every policy meets the same agents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agentroute.evaluation.worlds.wordbank import TOPICS, card, prompt
from agentroute.model.calls import AgentCall, AgentReply, Usage
from agentroute.model.cards import CapabilityCard
from agentroute.model.ids import keyed_rng
from agentroute.model.tasks import Task
from agentroute.registry.registry import Registry

WEAK, STRONG, OWN, SILENT = 0.45, 0.75, 0.2, 0.05
CHEAP_USD, DEAR = 1e-4, 30.0
AGENTS, KINDS = 8, 4
HOPS = (1, 2, 3)  # questions of a task, as often one as another


@dataclass(eq=False)
class HopWorld:
    """Eight agents, two a topic, of seeded strengths. ``right`` says of each answer whether it was,
    by agent and question.
    """

    seed: int
    right: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = keyed_rng(self.seed, "hops")
        self.strength = rng.permutation(np.linspace(0.0, 1.0, AGENTS))
        self.cost_usd = CHEAP_USD * DEAR**self.strength
        self.cards = [card(a, a % KINDS, float(c)) for a, c in enumerate(self.cost_usd)]

    def able(self, agent: int, topic: int) -> float:
        """How often it answers a question of the topic rightly."""
        base = WEAK + (STRONG - WEAK) * float(self.strength[agent])
        return base + OWN * (agent % KINDS == topic)

    def registry(self) -> Registry:
        """The agents, in code."""
        registry = Registry()
        for number, c in enumerate(self.cards):
            self._add(registry, number, c)
        return registry

    def _add(self, registry: Registry, number: int, c: CapabilityCard) -> None:
        def agent(call: AgentCall) -> AgentReply:
            return self._answer(number, c.name, call.task.prompt)

        pricing = c.pricing.model_dump()
        registry.agent(name=c.name, description=c.description, pricing=pricing)(agent)

    def _answer(self, number: int, name: str, question: str) -> AgentReply:
        rng = keyed_rng(self.seed, name, question)
        silent, right = rng.random() < SILENT, rng.random() < self.able(number, topic_of(question))
        usage = Usage(cost_usd=float(self.cost_usd[number]))
        if silent:
            return AgentReply(abstained=True, text="not known", usage=usage)
        self.right[name, question] = bool(right)
        return AgentReply(text=f"an answer to {question}", usage=usage)

    def tasks(self, n: int) -> list[Task]:
        """``n`` tasks of one to three questions, each of a topic of its own."""
        rng = keyed_rng(self.seed, "tasks")
        return [self._task(i, int(rng.choice(HOPS)), rng) for i in range(n)]

    def _task(self, i: int, hops: int, rng: np.random.Generator) -> Task:
        topics = rng.permutation(KINDS)[:hops]
        questions = [f"{prompt(int(t), rng)} {TOPICS[t][0]} {i}.{h}?" for h, t in enumerate(topics)]
        return Task(prompt=" and ".join(questions), params={"questions": questions})

    def solved(self, task: Task, told: Sequence[tuple[str, str]]) -> bool:
        """Whether each question of the task was answered rightly; ``told`` is (agent, question)."""
        good = {q for a, q in told if self.right.get((a, q))}
        return good >= set(task.params["questions"])


def topic_of(question: str) -> int:
    """The topic that the question names last."""
    words = question.split()
    return next(t for t in range(KINDS) if TOPICS[t][0] == words[-2])
