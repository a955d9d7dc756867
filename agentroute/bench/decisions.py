"""Whole decisions to be timed or written down: a policy, its candidates, and how grown they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import numpy as np

from agentroute.bench.goals import Goal
from agentroute.bench.timing import timed
from agentroute.choosing.policy import Policy
from agentroute.choosing.screening import Screening
from agentroute.errors import RoutingError
from agentroute.evaluation.worlds.wordbank import TOPICS, card, prompt
from agentroute.features.text import make_embedder
from agentroute.features.threads import one_thread
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Candidates, Request
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset
from agentroute.registry.eligibility import eligible
from agentroute.registry.live import LiveState
from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.linucb.grams import most_rows
from agentroute.routers.linucb.router import LinUCB

NARROW, D = 48, 64  # columns of the embedding, and of x with bias and features
PROMPT_WORDS = 40
LIMITS: dict[tuple[int | None, int], float] = {(NARROW, 100): 100.0, (NARROW, 1_000): 600.0}
AGES = {"young": 1, "grown": 10}
LARGEST = (None, 1_000, "grown")  # more than a gigabyte: left out


def bench_decisions(seconds: float) -> list[Goal]:
    """Decisions at d = 64 and at the default width, beside reading the triangles they rest on."""
    out = []
    for width in (NARROW, None):
        d = dimensions(width)
        for n in (100, 1_000):
            kernel = timed(_triangles(n, d), seconds)
            for age, times in AGES.items():
                if (width, n, age) == LARGEST:
                    continue
                t = timed(decision(n, updates=times, width=width), seconds)
                name = f"{n:,} {age} agents, d = {d}"
                limit = LIMITS.get((width, n))
                out.append(Goal(f"whole decision, {name} (q)", t.q, limit, "us"))
                out.append(Goal("  over reading the packed triangles", t.q / kernel.q, None, "x"))
                out.append(Goal(f"  p50, {name}", t.p50, None, "us"))
                out.append(Goal(f"  p95, {name}", t.p95, None, "us"))
    t = timed(decision(1_000, updates=10, width=NARROW, screening=Screening(32)), seconds)
    return [*out, Goal("whole decision, 1,000 grown agents screened to 32", t.q, 600.0, "us")]


def bench_updates(seconds: float) -> list[Goal]:
    """The whole ``update`` of a grown router of 100 agents, beside the arm's part of it."""
    return [*_updates(NARROW, seconds), *_updates(None, seconds)]


def _updates(width: int | None, seconds: float) -> list[Goal]:
    router, requests, turn = LinUCB(width=width), some_requests(100), iter(range(1 << 60))
    teach(router, requests, 1_000)
    names, first = requests[0].candidates.names, requests[0]
    x = router.context.vector(first.task, first.embedding)
    bank = ArmBank(len(x))
    row = bank.add()

    def whole() -> None:
        i = next(turn)
        request, agent = requests[i % len(requests)], str(names[i % len(names)])
        router.update(Observation(i, f"d{i}", request, agent, quality=0.9))

    t, arm = timed(whole, seconds), timed(lambda: bank.update(row, x, 1.0), seconds)
    return [
        Goal(f"whole update, 100 grown agents, d = {len(x)}", t.q, None, "us"),
        Goal("  over the arm's part", t.q / arm.q, None, "x"),
    ]


def bench_batches(seconds: float, *, m: int = 32) -> list[Goal]:
    """A decision out of ``m`` that are scored together, records included, over one alone.

    What a batch saves is reading the arms again, so the limit stands where there is most to read:
    1,000 agents of R updates, the most that are kept one by one (see ``Factors``).
    """
    out = []
    for width in (NARROW, None):
        for n in (100, 1_000):
            d = dimensions(width)
            for updates in (1, most_rows(d)) if width is None else (1,):
                router, requests = LinUCB(width=width), some_requests(n, m)
                teach(router, requests, n * updates)
                policy = Policy(router)
                one = timed(partial(_one_by_one, policy, requests), seconds)
                many = timed(partial(_together, policy, requests), seconds)
                name = f"batch of {m}, {n:,} agents of {updates} updates, d = {d}"
                limit = 0.2 if n == 1_000 and updates > 1 else None
                out.append(Goal(f"{name}: a decision", many.q / m, None, "us"))
                out.append(Goal("  over one alone", many.q / one.q, limit, "x"))
    return out


def _one_by_one(policy: Policy, requests: list[Request]) -> list[DecisionRecord]:
    return _recorded(policy, requests, [drive(policy.scores(r)) for r in requests])


def _together(policy: Policy, requests: list[Request]) -> list[DecisionRecord]:
    return _recorded(policy, requests, drive(policy.scores_many(requests)))


def _recorded(
    policy: Policy, requests: list[Request], scores: list[Scores]
) -> list[DecisionRecord]:
    return [_record(policy, r, s, t) for t, (r, s) in enumerate(zip(requests, scores, strict=True))]


def _record(policy: Policy, request: Request, scores: Scores, t: int) -> DecisionRecord:
    choice = policy.decide(request, scores, rng=keyed_rng(0, "run", "task", t))
    chosen = tuple(str(request.candidates.names[i]) for i in choice.positions)
    made = Decision(
        id=uuid7(), run_id="run", task_id=f"t{t}", kind="route", policy=policy.name,
        status=choice.status, chosen=chosen, propensity=choice.propensity,
    )  # fmt: skip
    return DecisionRecord(made, request, scores, choice.propensities)


def dimensions(width: int | None) -> int:
    """Columns of x for a width of the embedding, None for all of it."""
    router = LinUCB(width=width)
    return router.context.dim(make_embedder().dim)


def _triangles(n: int, d: int) -> Callable[[], object]:
    """Read n packed float32 triangles once: how fast the machine is at this moment."""
    packed = np.ones((n, d * (d + 1) // 2), np.float32)

    def run() -> object:
        with one_thread():
            return packed @ packed[0]

    return run


def decision(
    n: int,
    *,
    updates: int = 10,
    width: int | None = NARROW,
    screening: Screening | None = None,
) -> Callable[[], DecisionRecord]:
    """A callable that takes one decision over ``n`` agents, on prompts of 40 words.

    Each agent has had ``updates``: beyond eight it is grown (see ``Widths``). Text embedding is
    excluded; the record goes to a deque, since the ledger's own figure is its own.
    """
    router = LinUCB(width=width)
    requests = some_requests(n)
    teach(router, requests, n * updates)
    policy = Policy(router, screening=screening)
    queue: deque[DecisionRecord] = deque(maxlen=32)  # what a writer leaves waiting
    turn = iter(range(1 << 60))

    def run() -> DecisionRecord:
        t = next(turn)
        request = requests[t % len(requests)]
        queue.append(_record(policy, request, drive(policy.scores(request)), t))
        return queue[-1]

    return run


def some_requests(n: int, m: int = 32) -> list[Request]:
    """``m`` requests over ``n`` agents that have all been called before."""
    rng, embedder = np.random.default_rng(0), make_embedder()
    candidates = some_candidates(n, embedder, rng)
    out = []
    for i in range(m):
        words = " ".join(prompt(i % len(TOPICS), rng) for _ in range(PROMPT_WORDS // 8))
        task = Task(id=f"t{i}", prompt=words, features={"kind": str(i % 5)})
        out.append(Request(task, embedder.encode([words])[0], candidates))
    return out


def some_candidates(n: int, embedder: Embedder, rng: np.random.Generator) -> Candidates:
    """``n`` agents on the topics of the word bank, each with a cost and a latency of its own."""
    cards = [
        card(i, i % len(TOPICS), float(rng.uniform(0.001, 0.01))).model_copy(
            update={"entrypoint": "inline"}
        )
        for i in range(n)
    ]
    live = LiveState()
    for c in cards:
        live.observe(
            c.name, cost_usd=float(rng.uniform(0.001, 0.01)), latency_s=float(rng.uniform(0.1, 3)),
            error=False, at_s=0.0,
        )  # fmt: skip
    who = eligible(build_cardset(cards, embedder), live, Task(prompt="any"))
    return who.candidates


def teach(router: LinUCB, requests: list[Request], times: int) -> None:
    """Fold ``times`` observations, each agent in its turn."""
    rng = np.random.default_rng(0)
    names = requests[0].candidates.names
    for i in range(times):
        request = requests[rng.integers(len(requests))]
        agent = str(names[i % len(names)])
        router.update(Observation(i, f"d{i}", request, agent, quality=0.9))


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits, without a loop.

    Raises:
        RoutingError: it waits.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RoutingError("this router waits for something; it cannot be timed here")
