"""What a pheromone costs, and how the colony holds up as requests pile up."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentroute.bench.goals import Goal
from agentroute.errors import NestedLoopError
from agentroute.features.text import HashingEncoder
from agentroute.features.threads import one_thread
from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates, Request
from agentroute.model.cards import CapabilityCard
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset
from agentroute.routers.pheromone.colony import pick, pull
from agentroute.routers.pheromone.router import PheromoneRouter
from agentroute.routers.pheromone.trails import Trails

EVENT_US, PICK_US, GROWTH = 2.0, 15.0, 1.5
LEVELS = (1, 20, 100, 1000)

ABOVE = 1e-9  # better at all


@dataclass(frozen=True, slots=True)
class Crowd:
    """One policy under ``concurrent`` simulated requests: requests a second, mean quality."""

    policy: str
    concurrent: int
    throughput: float
    quality: float


def bench_pheromone(*, seed: int = 0) -> list[Goal]:
    """Cost of an event and of a pick, growth with the table, and quality against load.

    The crowd is simulated (``crowd``); the cost is measured: the smaller of the median wall time
    and the CPU time of a call, since others may share the cores.
    """
    small, big = _event_us(2, 10, seed), _event_us(100, 1000, seed)
    drawn = _pick_us(1000, seed)
    goals = [
        Goal("pheromone event, 100 x 1000 table", big, EVENT_US, "us"),
        Goal("pheromone event, 100 x 1000 over 2 x 10", big / small, GROWTH, "x"),
        Goal("pheromone pick over 1000 agents", drawn, PICK_US, "us"),
    ]
    return goals + crowd_goals(crowd(seed=seed))


def crowd_goals(rows: Sequence[Crowd]) -> list[Goal]:
    """The colony's quality is above that of weighted round robin and of random at every level."""
    by = {(r.policy, r.concurrent): r for r in rows}
    goals = []
    for n in sorted({r.concurrent for r in rows}):
        ours = by["pheromone", n]
        best = max(by[p, n].quality for p in ("weighted round robin", "random"))
        goals.append(
            Goal(f"quality at {n} concurrent, over round robin and random (simulated)",
                 ours.quality - best, ABOVE, "", at_most=False)
        )  # fmt: skip
    return goals


def crowd(*, levels: Sequence[int] = LEVELS, requests: int = 2000, seed: int = 0) -> list[Crowd]:
    """AMRO-S' concurrency question on a simulated clock: three policies at each level.

    Six agents with four places each serve in ``SERVICE_S``, slower in proportion once more than
    four requests share them; three kinds of task, two specialists for each. ``concurrent`` clients
    send the next request as soon as the last is answered. The colony learns on the way.

    Raises:
        NestedLoopError: called inside a running event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_crowd(levels, requests, seed))
    raise NestedLoopError("crowd() was called inside a running event loop")


# -- cost -----------------------------------------------------------------------------------------


def _event_us(kinds: int, agents: int, seed: int) -> float:
    trails, rng = Trails(), np.random.default_rng(seed)
    rows = [trails.open_row(f"k{t}", "0|") for t in range(kinds)]
    for r in rows:
        for slot in range(agents):
            trails.deposit(r, slot, float(rng.random()), 1.0, gate=True)
    at = [(int(t), int(j)) for t, j in zip(
        rng.integers(kinds, size=64), rng.integers(agents, size=64), strict=True)]  # fmt: skip

    def events() -> None:
        for t, j in at:
            trails.evaporate(f"k{t}")
            trails.deposit(rows[t], j, 0.7, 1.0, gate=True)

    return _us(events) / len(at)


def _pick_us(agents: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    tau, eta = rng.random(agents), rng.random(agents)
    return _us(lambda: pick(pull(tau, eta), rng))


def _us(call: Callable[[], object], *, seconds: float = 0.3) -> float:
    """Microseconds a call: the smaller of the median wall time and the mean CPU time."""
    walls: list[float] = []
    with one_thread():
        call()
        cpu, end = time.process_time(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            call()
            walls.append(time.perf_counter() - start)
        busy = (time.process_time() - cpu) / len(walls)
    return 1e6 * min(float(np.median(walls)), busy)


# -- crowd ----------------------------------------------------------------------------------------

KINDS = ("math", "code", "general")
SERVICE_S = np.array([1.0, 1.4, 0.8, 1.2, 0.6, 1.0])
QUALITY = np.array(
    [
        [0.95, 0.90, 0.60, 0.55, 0.65, 0.60],
        [0.55, 0.60, 0.95, 0.90, 0.60, 0.55],
        [0.60, 0.65, 0.55, 0.60, 0.95, 0.90],
    ]
)
PLACES = 4


class _Colony:
    """The router as a policy: draws by its proportional rule, learns from every answer."""

    name = "pheromone"

    def __init__(self) -> None:
        self.router = PheromoneRouter(alpha=2.0, beta=2.0, floor=0.02)
        cards = [
            CapabilityCard(name=f"s{j}", description="an agent") for j in range(len(SERVICE_S))
        ]
        self.pool = Candidates.idle(build_cardset(cards, HashingEncoder(16)))
        self.seq = 0

    def _request(self, kind: int, load: F64) -> Request:
        c = self.pool
        busy = replace(c, load=load, latency_s=SERVICE_S * (1 + load))
        task = Task(prompt="-", features={"kind": KINDS[kind]})
        return Request(task, np.zeros(16, np.float32), busy)

    async def choose(self, kind: int, load: F64, rng: np.random.Generator) -> int:
        scores = await self.router.score(self._request(kind, load))
        if scores.evidence is None:
            raise RuntimeError("the pheromone router gave no evidence")
        return pick(self.router.trace(scores.evidence).p, rng)

    def learn(self, kind: int, j: int, quality: float) -> None:
        self.seq += 1
        r = self._request(kind, np.zeros(len(SERVICE_S)))
        self.router.update(Observation(self.seq, f"d{self.seq}", r, f"s{j}", quality))


class _RoundRobin:
    """Smooth weighted round robin, by mean quality over kinds: it knows, but not the kind."""

    name = "weighted round robin"

    def __init__(self) -> None:
        self.weights = QUALITY.mean(axis=0)
        self.credit = np.zeros(len(self.weights))

    async def choose(self, kind: int, load: F64, rng: np.random.Generator) -> int:
        self.credit += self.weights
        j = int(self.credit.argmax())
        self.credit[j] -= self.weights.sum()
        return j

    def learn(self, kind: int, j: int, quality: float) -> None:
        """Learns nothing."""


class _Random(_RoundRobin):
    """Uniform over the agents."""

    name = "random"

    async def choose(self, kind: int, load: F64, rng: np.random.Generator) -> int:
        return int(rng.integers(len(SERVICE_S)))


async def _crowd(levels: Sequence[int], requests: int, seed: int) -> list[Crowd]:
    makers = (_Colony, _RoundRobin, _Random)
    return [await _serve(make(), n, requests, seed) for n in levels for make in makers]


async def _serve(policy: _Colony | _RoundRobin, concurrent: int, requests: int, seed: int) -> Crowd:
    """Play ``requests`` on a simulated clock with ``concurrent`` of them at any time."""
    rng = np.random.default_rng(seed)
    busy = np.zeros(len(SERVICE_S))
    done: list[tuple[float, int, int, int]] = []  # time, number, kind, agent
    now, got = 0.0, 0.0
    for i in range(requests):
        if len(done) == concurrent:
            now, _, kind, j = heapq.heappop(done)
            got += _answer(policy, busy, kind, j, rng)
        kind = int(rng.integers(len(KINDS)))
        j = await policy.choose(kind, busy / PLACES, rng)
        busy[j] += 1
        took = SERVICE_S[j] * max(1.0, busy[j] / PLACES)
        heapq.heappush(done, (now + took, i, kind, j))
    while done:
        now, _, kind, j = heapq.heappop(done)
        got += _answer(policy, busy, kind, j, rng)
    return Crowd(policy.name, concurrent, float(requests / now), got / requests)


def _answer(
    policy: _Colony | _RoundRobin, busy: F64, kind: int, j: int, rng: np.random.Generator
) -> float:
    busy[j] -= 1
    quality = float(rng.random() < QUALITY[kind, j])
    policy.learn(kind, j, quality)
    return quality
