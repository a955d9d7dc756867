"""Seeded worlds with a known optimum, shared by the tests of all routers.

A world is a few kinds of task, each with words of its own, and a table of expected qualities
(kinds by agents). What an agent returns is a Bernoulli draw of that quality. The kind of a task
is never said: it shows in the words, and in ``features['kind']`` where the world reveals it. Only
the world itself reads it back, from the task's id.

Worlds: separable, overlapping, out_of_scope, multi_hop, drift, unseen_agent, cost_spread,
adversarial_feedback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import UsageError, did_you_mean
from agentroute.evaluation.worlds.wordbank import TOPICS, card, prompt
from agentroute.features.text import Embedder, HashingEncoder
from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates, CardSet, Request
from agentroute.model.objective import Objective
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset

GOOD, BAD = 0.9, 0.2


@dataclass(frozen=True, eq=False)
class Environment:
    """K kinds of task, n agents.

    Shapes: ``table`` (K, n) expected quality in [0, 1]; ``after`` (K, n) the same from step
    ``change_at`` on; ``cost`` (n,) USD a call; ``share`` (K,) how often each kind comes;
    ``topics`` (n,) the topic that each agent's card speaks of, -1 for all of them. ``abstain``
    lists kinds that nobody should get; ``joins`` agents that are there only from ``change_at`` on;
    ``handover`` (n, n): quality of agent j after agent i made its input, times the table's.
    ``flip`` is the share of feedback turned round, ``flattered`` the agent whose feedback reads 1
    until ``change_at``.
    """

    name: str
    table: F64
    cost: F64
    share: F64
    topics: tuple[int, ...]
    embedder: Embedder = field(default_factory=lambda: HashingEncoder(256))
    reveal: bool = True
    mixed_words: float = 0.0
    after: F64 | None = None
    change_at: int = 1 << 62
    abstain: frozenset[int] = frozenset()
    joins: frozenset[int] = frozenset()
    handover: F64 | None = None
    flip: float = 0.0
    flattered: int | None = None

    @cached_property
    def cardset(self) -> CardSet:
        """All agents, those that join later too."""
        cards = [
            card(a, t, float(c))
            for a, (t, c) in enumerate(zip(self.topics, self.cost, strict=True))
        ]
        return build_cardset(cards, self.embedder)

    @cached_property
    def _candidates(self) -> tuple[Candidates, Candidates]:
        """Who is there before and after ``change_at``."""
        all_of_them = Candidates.idle(self.cardset)
        keep = np.array([a for a in range(len(self.cost)) if a not in self.joins])
        return all_of_them.take(keep), all_of_them

    def sample(
        self, rng: np.random.Generator, step: int = 0, objective: Objective | None = None
    ) -> Request:
        """A task that arrives at ``step``, with the candidates of that moment."""
        kind = int(rng.choice(len(self.share), p=self.share))
        upstream = () if self.handover is None else (int(rng.integers(len(self.cost))),)
        text = prompt(kind, rng, mixed=self.mixed_words)
        task = Task(
            id=":".join(map(str, (step, kind, *upstream))),
            prompt=text,
            features={"kind": TOPICS[kind][0]} if self.reveal else {},
        )
        return Request(
            task=task,
            embedding=self.embedder.encode([text])[0],
            candidates=self._candidates[step >= self.change_at or not self.joins],
            objective=objective or Objective(),
            upstream=tuple(str(self.cardset.names[a]) for a in upstream),
            stage=len(upstream),
        )

    def quality(self, task: Task) -> F64:
        """(n,) expected quality of each agent on this task; 0 where nobody should be called."""
        step, kind, *upstream = map(int, task.id.split(":"))
        if kind in self.abstain:
            return np.zeros(len(self.cost))
        now = self.after if self.after is not None and step >= self.change_at else self.table
        fit = 1.0 if self.handover is None else self.handover[upstream[0]]
        return np.asarray(now[kind] * fit)

    def should_abstain(self, task: Task) -> bool:
        """Whether the right answer is to call nobody."""
        return int(task.id.split(":")[1]) in self.abstain

    def optimum(self, request: Request) -> float:
        """Best expected quality among the candidates of the request."""
        return float(self.quality(request.task)[request.candidates.rows].max())

    def draw(self, task: Task, agent: int, rng: np.random.Generator) -> float:
        """What the agent returned: 1 or 0, by its expected quality."""
        return float(rng.random() < self.quality(task)[agent])

    def feedback(self, task: Task, agent: int, got: float, rng: np.random.Generator) -> float:
        """What is said of it: the truth, unless feedback lies in this world."""
        if agent == self.flattered and int(task.id.split(":")[0]) < self.change_at:
            return 1.0
        return 1.0 - got if rng.random() < self.flip else got


def _specialists(kinds: int, good: float = GOOD, bad: float = BAD) -> F64:
    return np.where(np.eye(kinds, dtype=bool), good, bad)


def separable(kinds: int = 4) -> Environment:
    """One specialist a kind, far better than the rest; words and cards are distinct."""
    return _world("separable", _specialists(kinds))


def overlapping(kinds: int = 4) -> Environment:
    """Neighbours are nearly as good, words are mixed, nothing but the words tells the kind."""
    near = np.roll(np.eye(kinds), 1, axis=1) * 0.55
    table = np.maximum(_specialists(kinds, 0.8, 0.3), near)
    return replace(_world("overlapping", table), reveal=False, mixed_words=0.3)


def out_of_scope(kinds: int = 4) -> Environment:
    """A fifth of the tasks is for nobody."""
    table = np.vstack([_specialists(kinds), np.zeros(kinds)])
    world = _world("out_of_scope", table)
    share = np.append(np.full(kinds, 0.8 / kinds), 0.2)
    return replace(world, share=share, abstain=frozenset({kinds}))


def multi_hop(kinds: int = 3) -> Environment:
    """A task needs two agents: the second does well only on input it can read.

    Agent j reads agent i's output well when j = i + 1 (mod n), so the best agent depends on the
    kind and on who made the input.
    """
    readable = np.where(np.roll(np.eye(kinds, dtype=bool), 1, axis=1), 1.0, 0.3)
    table = np.clip(_specialists(kinds, 0.9, 0.7), 0, 1)
    return replace(_world("multi_hop", table), handover=readable)


def drift(kinds: int = 4, change_at: int = 500) -> Environment:
    """A generalist is best at everything, then dies; each kind has a good second."""
    table = np.hstack([_specialists(kinds, 0.87, 0.2), np.full((kinds, 1), 0.93)])
    after = table.copy()
    after[:, -1] = 0.02
    world = _world("drift", table, topics=(*range(kinds), -1))
    return replace(world, after=after, change_at=change_at)


def unseen_agent(kinds: int = 4, change_at: int = 500) -> Environment:
    """The specialist of the last kind joins late; until then nobody is good at it."""
    world = _world("unseen_agent", _specialists(kinds))
    return replace(world, joins=frozenset({kinds - 1}), change_at=change_at)


def cost_spread(kinds: int = 3) -> Environment:
    """Each kind has a dear specialist and one 20 times cheaper that is 0.1 worse."""
    dear, cheap = _specialists(kinds), _specialists(kinds, GOOD - 0.1, BAD)
    cost = np.repeat([0.02, 0.001], kinds)
    topics = (*range(kinds), *range(kinds))
    return _world("cost_spread", np.hstack([dear, cheap]), topics=topics, cost=cost)


def adversarial_feedback(kinds: int = 4, change_at: int = 300) -> Environment:
    """A tenth of the feedback is turned round, and a useless agent is flattered at first."""
    table = np.hstack([_specialists(kinds), np.full((kinds, 1), 0.1)])
    world = _world("adversarial_feedback", table, topics=(*range(kinds), -1))
    return replace(world, flip=0.1, flattered=kinds, change_at=change_at)


ENVIRONMENTS: dict[str, Callable[[], Environment]] = {
    f.__name__: f
    for f in (
        separable, overlapping, out_of_scope, multi_hop, drift, unseen_agent, cost_spread,
        adversarial_feedback,
    )
}  # fmt: skip


def make_environment(name: str) -> Environment:
    """The world of that name.

    Raises:
        UsageError: an unknown name.
    """
    if name not in ENVIRONMENTS:
        raise UsageError(
            f"no environment is called '{name}'", hint=did_you_mean(name, ENVIRONMENTS)
        )
    return ENVIRONMENTS[name]()


def _world(
    name: str,
    table: F64,
    *,
    topics: tuple[int, ...] | None = None,
    cost: NDArray[np.float64] | None = None,
) -> Environment:
    kinds, n = table.shape
    return Environment(
        name=name,
        table=table,
        cost=np.full(n, 0.001) if cost is None else cost,
        share=np.full(kinds, 1.0 / kinds),
        topics=tuple(range(n)) if topics is None else topics,
    )
