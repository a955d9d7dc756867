"""Seeded material to try a router on: cards, requests, observations, examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agentroute.features.text import HashingEncoder
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Candidates, Examples, Request
from agentroute.model.cards import CapabilityCard, Pricing, Skill
from agentroute.model.objective import Bounds, Objective
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset

_TOPICS = ("refund an order", "plot a chart", "sum a column", "search documents", "review code")
_WORDS = ("quickly", "for the customer", "of last week", "in detail", "again", "with sources")


class World:
    """Five agents (or more) that differ in what their card says, price and speed; all seeded."""

    def __init__(self, *, seed: int = 0, embedder: Embedder | None = None, agents: int = 5) -> None:
        self.seed = seed
        self.embedder = embedder or HashingEncoder(64)
        self.cards = tuple(self._card(i) for i in range(agents))
        self.cardset = build_cardset(self.cards, self.embedder)
        self.rng = np.random.default_rng(seed)

    def _card(self, i: int) -> CapabilityCard:
        topic = _TOPICS[i % len(_TOPICS)]
        return CapabilityCard(
            name=f"agent{i}",
            description=f"I {topic}",
            skills=(Skill(id=topic.replace(" ", "_")),),
            pricing=Pricing(expected_usd=0.001 * (i + 1)),
            latency_s=0.1 * (i + 1),
        )

    def candidates(self, *, bare: bool = False) -> Candidates:
        """All cards as candidates; ``bare`` leaves cost and latency unknown (NaN)."""
        idle = Candidates.idle(self.cardset)
        if not bare:
            return idle
        unknown = np.full(len(idle), np.nan)
        return replace(idle, latency_s=unknown, cost_usd=unknown)

    def task(self, *, features: bool = True) -> Task:
        """A task on one of the cards' topics."""
        topic = int(self.rng.integers(len(_TOPICS)))
        prompt = f"{_TOPICS[topic]} {_WORDS[int(self.rng.integers(len(_WORDS)))]}"
        return Task(prompt=prompt, features={"topic": str(topic)} if features else {})

    def request(self, *, features: bool = True, bare: bool = False) -> Request:
        """A request for such a task, with an objective in which all three weights count."""
        task = self.task(features=features)
        bounds = Bounds(0.0, float(np.log1p(0.01)), 0.0, float(np.log1p(1.0)))
        return Request(
            task=task,
            embedding=self.embedder.encode([task.prompt])[0],
            candidates=self.candidates(bare=bare),
            objective=Objective(0.8, 0.1, 0.1, bounds),
            upstream=(self.cards[0].name,),
            keys={"session": task.prompt[-4:], "user": task.prompt[:4]} if features else {},
        )

    def observation(self, seq: int, request: Request | None = None) -> Observation:
        """What came of one decision: the agent of the task's topic does well."""
        r = request or self.request()
        i = int(self.rng.integers(len(self.cards)))
        good = r.task.prompt.startswith(_TOPICS[i % len(_TOPICS)])
        quality = float(np.clip(0.8 * good + 0.1 + 0.1 * self.rng.random(), 0.0, 1.0))
        return Observation(
            seq, f"d{seq}", r, self.cards[i].name, quality, 0.001 * (i + 1), 0.1 * (i + 1)
        )

    def observations(self, m: int) -> list[Observation]:
        """``m`` of them, in seq order."""
        return [self.observation(seq) for seq in range(1, m + 1)]

    def examples(self, m: int = 60) -> Examples:
        """Labelled tasks: every agent's quality on each."""
        tasks = tuple(self.task() for _ in range(m))
        hit = np.array([[t.prompt.startswith(x) for x in _TOPICS] for t in tasks], np.float64)
        columns = [i % len(_TOPICS) for i in range(len(self.cards))]
        quality = np.clip(0.1 + 0.8 * hit[:, columns], 0.0, 1.0)
        embedding = self.embedder.encode([t.prompt for t in tasks])
        nobody = np.zeros(m, np.bool_)
        return Examples(tasks, embedding, self.cardset, quality, None, None, nobody)
