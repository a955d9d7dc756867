"""A simulated world in which no shape of the work is best for every graph.

A world is drawn by a seed, from ranges that are wide on purpose: what holds in one of them may not
hold in another. In it a task is done right with a probability that falls with

- what it needs and does not see: an ancestor at a distance, as strongly as the couplings on the way
  to it multiply to (``miss``);
- what it sees and does not need: each other text (``noise``);
- what was lost when agents handed work over (``handover``), by the coupling of the edge;
- an input that is wrong (``inherit``), by the coupling of the edge;
- in one prompt, how many other tasks are in it (``overload``); nothing is missed or handed over.

A lead finds a wrong reply with probability ``catch``, orders the task once more, and costs a call a
round. What a task sees, and what it waits for, is what the shapes of ``planning/shapes`` say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64
from agentroute.model.ids import keyed_rng
from agentroute.model.plans import Topology, TopologyChoice
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.shapes import shape_of
from agentroute.planning.topology import choose_topology

Right = NDArray[np.bool_]
Edges = Sequence[tuple[int, int]]

RANGES: Mapping[str, tuple[float, float]] = {
    "skill": (0.75, 0.95), "miss": (0.1, 0.6), "noise": (0.01, 0.08), "handover": (0.0, 0.1),
    "inherit": (0.5, 1.0), "overload": (0.01, 0.08), "catch": (0.1, 0.6), "lead_s": (0.5, 2.0),
}  # fmt: skip
COUPLINGS = (0.0, 0.3, 0.7, 1.0)  # none, weak, strong, critical (AdaptOrch, arXiv 2602.16873)
SECONDS, SPREAD = 4.0, 0.6  # median and log deviation of a task's latency
PROMPT, REPLY, USD = 400.0, 300.0, 2e-6  # tokens of an instruction and a reply; dollars a token
HARD = 0.7  # log-odds deviation of a task's difficulty
WRONG = 3  # ways to be wrong alike: how often wrong answers of a vote agree


@dataclass(frozen=True, slots=True)
class World:
    """What the texts above say, each in its range of ``RANGES``."""

    skill: float
    miss: float
    noise: float
    handover: float
    inherit: float
    overload: float
    catch: float
    lead_s: float

    @classmethod
    def drawn(cls, seed: int) -> World:
        """The world of a seed."""
        rng = keyed_rng(seed, "world")
        return cls(*(float(rng.uniform(*RANGES[f.name])) for f in fields(cls)))


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A graph to be done once: its couplings, how hard its tasks are, how long each takes.

    ``able`` (n,) is the probability of a task alone, ``seconds`` (n,), ``need`` (n, n) how strongly
    row needs column: the couplings of the strongest path multiplied.
    """

    graph: TaskGraph
    choice: TopologyChoice
    able: F64
    seconds: F64
    need: F64

    @classmethod
    def drawn(cls, n: int, edges: Edges, world: World, rng: np.random.Generator) -> Instance:
        """A graph of ``n`` tasks with seeded couplings, difficulties and latencies."""
        level = int(rng.integers(0, len(COUPLINGS)))
        near = np.clip(level + rng.integers(-1, 2, size=len(edges)), 0, len(COUPLINGS) - 1)
        depends: list[dict[str, float]] = [{} for _ in range(n)]
        for (a, b), c in zip(edges, near, strict=True):
            depends[b][f"t{a}"] = COUPLINGS[c]
        graph = TaskGraph(
            [Task(id=f"t{i}", prompt="p", depends_on=d) for i, d in enumerate(depends)]
        )
        odds = math.log(world.skill / (1 - world.skill)) + rng.normal(0.0, HARD, n)
        seconds = SECONDS * np.exp(rng.normal(0.0, SPREAD, n))
        able = 1 / (1 + np.exp(-odds))
        return cls(graph, choose_topology(graph), able, seconds, _need(graph))


def _need(graph: TaskGraph) -> F64:
    place = {v: i for i, v in enumerate(graph.order)}
    need = np.zeros((len(place), len(place)))
    for v in graph.order:
        for u, c in graph[v].depends_on.items():
            need[place[v]] = np.maximum(need[place[v]], c * need[place[u]])
        for u, c in graph[v].depends_on.items():
            need[place[v], place[u]] = max(need[place[v], place[u]], c)
    return need


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What an instance came to: ``quality`` (m,) of m tries, the share of its last tasks that are
    right; tokens and seconds, the means over the tries.
    """

    quality: F64
    tokens: float
    seconds: float

    @property
    def cost_usd(self) -> float:
        """What the tokens cost."""
        return USD * self.tokens


def play(x: Instance, shape: Topology, world: World, draws: F64) -> Played:
    """The instance in a shape, m times; ``draws`` (m, 3, n) are uniform, alike for each shape."""
    if shape_of(shape).whole:
        alone = _in_one_prompt(x, world, draws)
        return _whole(x, alone[:, _last(x)].mean(axis=1), 1)
    right, again = np.empty(draws[:, 0].shape, np.bool_), np.zeros(draws[:, 0].shape, np.bool_)
    place, tokens = {v: i for i, v in enumerate(x.graph.order)}, 0.0
    for v, i in place.items():
        p, texts = _alone(x, shape, world, v, place)
        spoiled = np.zeros(len(draws), np.bool_)
        for u, c in x.graph[v].depends_on.items():
            spoiled |= ~right[:, place[u]] & (draws[:, 2, i] < c * world.inherit)
        first = (draws[:, 0, i] < p) & ~spoiled
        if shape_of(shape).led:
            again[:, i] = ~first & (draws[:, 1, i] < world.catch)
            first |= again[:, i] & (draws[:, 1, i] < world.catch * p) & ~spoiled
        right[:, i] = first
        tokens += (PROMPT + REPLY * (1 + texts)) * (1 + float(again[:, i].mean()))
    lead = _lead(x, again, world) if shape_of(shape).led else None
    seconds = lead[0] if lead else _makespan(x, shape)
    return Played(right[:, _last(x)].mean(axis=1), tokens + (lead[1] if lead else 0.0), seconds)


def _alone(
    x: Instance, shape: Topology, world: World, v: str, place: Mapping[str, int]
) -> tuple[float, int]:
    """The probability that a task with right inputs is done right, and how many texts it sees."""
    g, i = shape_of(shape), place[v]
    seen = [place[u] for u in dict.fromkeys([*g.sees(x.graph, v), *g.heard(x.graph, v)])]
    missed = [j for j in range(len(place)) if j not in seen and x.need[i, j] > 0]
    p = float(x.able[i])
    p *= math.prod(1 - world.miss * float(x.need[i, j]) for j in missed)
    p *= math.prod(1 - world.noise * (1 - float(x.need[i, j])) for j in seen)
    p *= math.prod(1 - world.handover * c for c in x.graph[v].depends_on.values())
    return p, len(seen)


def _in_one_prompt(x: Instance, world: World, draws: F64) -> Right:
    """(m, n) which tasks are right where one agent does all of them."""
    p = x.able * (1 - world.overload) ** (len(x.graph) - 1)
    right = draws[:, 0] < p
    place = {v: i for i, v in enumerate(x.graph.order)}
    for v, i in place.items():
        for u, c in x.graph[v].depends_on.items():
            right[:, i] &= right[:, place[u]] | (draws[:, 2, i] >= c * world.inherit)
    return right


def _whole(x: Instance, quality: F64, k: int) -> Played:
    n = len(x.graph)
    return Played(quality, k * (PROMPT + REPLY) * n, float(x.seconds.sum()))


def votes(x: Instance, world: World, k: int, *, tries: int, rng: np.random.Generator) -> Played:
    """SINGLE ``k`` times side by side, and a vote on each last task (self-consistency, Wang et al.
    2022, arXiv 2203.11171).

    The k share how hard the instance's tasks are. Wrong answers agree by chance, one of three; a
    tie goes to the right one as often as to each rival.
    """
    draws = rng.random((k * tries, 3, len(x.graph)))
    each = _in_one_prompt(x, world, draws)[:, _last(x)].reshape(k, tries, -1)
    right = each.sum(axis=0)
    wrong = rng.multinomial(k - right, [1 / WRONG] * WRONG)
    most = wrong.max(axis=-1)
    tied = (wrong == most[..., None]).sum(axis=-1)
    won = np.where(right > most, 1.0, np.where(right == most, 1.0 / (1 + tied), 0.0))
    return _whole(x, won.mean(axis=1), k)


def _last(x: Instance) -> list[int]:
    """The places of the tasks that nobody waits for."""
    used = {u for t in x.graph for u in t.depends_on}
    return [i for i, v in enumerate(x.graph.order) if v not in used]


def _makespan(x: Instance, shape: Topology) -> float:
    place, end = {v: i for i, v in enumerate(x.graph.order)}, dict.fromkeys(x.graph.order, 0.0)
    before: dict[str, list[str]] = {v: [] for v in place}
    for u, v in shape_of(shape).edges(x.graph):
        before[v].append(u)
    for v, i in place.items():
        end[v] = float(x.seconds[i]) + max((end[u] for u in before[v]), default=0.0)
    return max(end.values())


def _lead(x: Instance, again: Right, world: World) -> tuple[float, float]:
    """Seconds and the lead's own tokens of the rounds: a generation, and one more where one fell
    short.
    """
    place, seconds, tokens, seen = {v: i for i, v in enumerate(x.graph.order)}, 0.0, 0.0, 0
    for layer in x.choice.stats.generations:
        at = [place[v] for v in layer]
        seen += len(at)
        twice = np.where(again[:, at], x.seconds[at], 0.0).max(axis=1)
        rounds = 1.0 + float((twice > 0).mean())
        seconds += float(x.seconds[at].max()) + float(twice.mean()) + rounds * world.lead_s
        tokens += rounds * (PROMPT + REPLY * seen)
    return seconds, tokens
