"""Goals of the routing speed, each measured beside its peer or limit in the same process.

``bench_routing()`` returns rows; the command line prints them and exits with 1 on a missed goal.
A figure is q = min(median wall time, CPU time a call): neighbours on shared cores show in the one
and not in the other. p50 and p95 are wall time.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentroute.bench.goals import Goal
from agentroute.choosing.policy import Policy
from agentroute.choosing.screening import Screening
from agentroute.errors import MissingExtraError, RoutingError
from agentroute.features.threads import one_thread
from agentroute.model.arrays import F64
from agentroute.model.candidates import Candidates, CardSet, Request
from agentroute.model.cards import CapabilityCard, Pricing
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.ids import keyed_rng, sha256, uuid7
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task
from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.linucb.router import LinUCB
from agentroute.routers.linucb.widths import Widths

D, E = 64, 256


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of a call: ``q`` = min(p50, cpu), and the percentiles of the wall time."""

    q: float
    p50: float
    p95: float


def bench_routing(*, seconds: float = 0.5, peers: bool = True) -> list[Goal]:
    """Measure everything; about a minute with ``peers``.

    Args:
        seconds: budget of each figure.
        peers: also run mabwiser (extra ``dev``) and the neighbours' test.

    Raises:
        MissingExtraError: ``peers`` without mabwiser.
    """
    rows = _linucb(seconds, peers=peers)
    rows += _decisions(seconds)
    if peers:
        rows += _neighbours(seconds)
    return rows


def timed(fn: Callable[[], object], seconds: float, *, least: int = 5) -> Timing:
    """Time ``fn`` for ``seconds``, at least ``least`` calls, collector off."""
    fn()
    gc.collect()
    gc.disable()
    wall: list[float] = []
    end, cpu = time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end or len(wall) < least:
        t = time.perf_counter()
        fn()
        wall.append(time.perf_counter() - t)
    cpu = (time.process_time() - cpu) / len(wall)
    gc.enable()
    wall.sort()
    p50 = statistics.median(wall)
    return Timing(1e6 * min(p50, cpu), 1e6 * p50, 1e6 * wall[int(0.95 * (len(wall) - 1))])


# -- the kernel ---------------------------------------------------------------------------------


def _linucb(seconds: float, *, peers: bool) -> list[Goal]:
    n, small = 1_000, 10
    bank, contexts = _bank(n), _contexts(64)
    few = _bank(small)
    turn = iter(range(1 << 60))
    rows = np.arange(1, n + 1)

    def predict() -> int:
        p = bank.predict(contexts[next(turn) % 64], None, rows)
        return int((p.own[rows] + np.sqrt(p.w2)).argmax())

    def update(b: ArmBank, arms: int) -> Callable[[], None]:
        return lambda: b.update(1 + next(turn) % arms, contexts[next(turn) % 64], 1.0)

    stream = timed(_stream(n), seconds)
    ours, learn = timed(predict, seconds), timed(update(bank, n), seconds)
    learn_few = timed(update(few, small), seconds)
    entries = n * D * (D + 1) // 2
    serving = sum(widths(bank).nbytes(int(row)) for row in rows) + bank.theta32[1 : n + 1].nbytes
    truth = bank.A[1 : n + 1].nbytes + bank.b[1 : n + 1].nbytes
    out = [
        Goal("linucb predict, 1,000 arms x 64", ours.q, 500.0, "us"),
        Goal("  share of streaming N d d float64", ours.q / stream.q, 0.2, "x"),
        Goal("linucb update, 1,000 arms", learn.q, None, "us"),
        Goal("  against 10 arms", learn.q / learn_few.q, 1.3, "x"),
        Goal("serving arrays, bytes a packed entry", serving / entries, 4.5, "B"),
        Goal("float64 A and b", truth / 2**20, None, "MB"),
    ]
    if peers:
        theirs, their_update = _mabwiser(n, contexts, seconds)
        out.insert(2, Goal("  mabwiser predict over ours", theirs / ours.q, 25.0, "x", False))
        out.append(Goal("mabwiser update over ours", their_update / learn.q, 1_000.0, "x", False))
    return out


def _contexts(m: int) -> F64:
    x = np.random.default_rng(1).standard_normal((m, D))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def _bank(n: int) -> ArmBank:
    """Arms that are grown: served from their whole triangles."""
    bank, x = ArmBank(D), _contexts(64)
    for _ in range(n):
        row = bank.add()
        for j in range(widths(bank).R + 1):
            bank.update(row, x[(row + j) % 64], 1.0)
    return bank


def widths(bank: ArmBank) -> Widths:
    """What serves the squared widths of a bank."""
    assert bank.widths is not None
    return bank.widths


def _stream(n: int) -> Callable[[], object]:
    """Read N d d float64 once: what any full-inverse implementation must at least do."""
    a = np.ones(n * D * D)
    half = len(a) // 2

    def run() -> object:
        with one_thread():
            return np.dot(a[:half], a[half:])

    return run


def _mabwiser(n: int, contexts: F64, seconds: float) -> tuple[float, float]:
    try:
        from mabwiser.mab import MAB, LearningPolicy
    except ImportError:
        raise MissingExtraError("dev", needed_for="the peer mabwiser") from None
    arms = list(range(n))
    peer = MAB(arms, LearningPolicy.LinUCB(alpha=1.0))
    peer.fit(arms, [1.0] * n, np.resize(contexts, (n, D)))
    one = contexts[:1]
    with one_thread():
        predict = timed(lambda: peer.predict(one), seconds)
        update = timed(lambda: peer.partial_fit([7], [1.0], one), seconds, least=3)
    return predict.q, update.q


# -- whole decisions ----------------------------------------------------------------------------


def _decisions(seconds: float) -> list[Goal]:
    out = []
    for n, limit in ((100, 100.0), (1_000, 600.0)):
        kernel = timed(_triangles(n), seconds)
        for age, times in (("young", 1), ("grown", 10)):
            t = timed(decision(n, updates=times), seconds)
            name = f"whole decision, {n:,} {age} agents"
            out.append(Goal(f"{name}, up to the enqueue (q)", t.q, limit, "us"))
            out.append(Goal("  against reading the packed triangles", t.q / kernel.q, None, "x"))
            out.append(Goal(f"  p50, {n:,} {age} agents", t.p50, None, "us"))
            out.append(Goal(f"  p95, {n:,} {age} agents", t.p95, None, "us"))
    t = timed(decision(1_000, updates=10, screening=Screening(32)), seconds)
    return [*out, Goal("whole decision, 1,000 grown agents screened to 32", t.q, 600.0, "us")]


def _triangles(n: int) -> Callable[[], object]:
    """Read n packed float32 triangles once: how fast the machine is at this moment."""
    packed = np.ones((n, D * (D + 1) // 2), np.float32)

    def run() -> object:
        with one_thread():
            return packed @ packed[0]

    return run


def decision(
    n: int, *, updates: int = 10, screening: Screening | None = None
) -> Callable[[], object]:
    """A callable that takes one decision over ``n`` agents, d = 64, and enqueues its record.

    Each agent has had ``updates``: beyond eight it is grown (see ``Widths``). Text embedding
    excluded; the queue is a deque, since the ledger's own figure is its own.
    """
    router = LinUCB(width=48)
    candidates = _candidates(n)
    rng = np.random.default_rng(0)
    requests = [_request(candidates, rng) for _ in range(32)]
    for i in range(n * updates):
        agent = str(candidates.names[i % n])
        router.update(Observation(i, f"d{i}", requests[rng.integers(32)], agent, quality=0.9))
    policy = Policy(router, screening=screening)
    queue: deque[DecisionRecord] = deque(maxlen=32)  # what a writer leaves waiting
    turn = iter(range(1 << 60))

    def run() -> None:
        t = next(turn)
        request = requests[t % 32]
        scores, choice = drive(policy.choose(request, rng=keyed_rng(0, "run", "task", t)))
        chosen = tuple(str(request.candidates.names[i]) for i in choice.positions)
        made = Decision(
            id=uuid7(), run_id="run", task_id="task", kind="route", policy=policy.name,
            status=choice.status, chosen=chosen, propensity=choice.propensity,
        )  # fmt: skip
        queue.append(DecisionRecord(made, request, scores, choice.propensities))

    return run


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


def _candidates(n: int) -> Candidates:
    names = np.array([f"agent{i}" for i in range(n)], object)
    e = np.random.default_rng(2).standard_normal((n, E)).astype(np.float32)
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    price = Pricing(expected_usd=0.01)
    cards = tuple(
        CapabilityCard(name=name, description="works", pricing=price, latency_s=1.0)
        for name in names
    )
    index = {str(name): i for i, name in enumerate(names)}
    return Candidates.idle(CardSet(cards, names, e, sha256(e.tobytes()), "bench", index))


def _request(candidates: Candidates, rng: np.random.Generator) -> Request:
    e = rng.standard_normal(E).astype(np.float32)
    task = Task(prompt="x", features={"kind": str(int(rng.integers(5)))})
    return Request(task, e / np.linalg.norm(e), candidates)


# -- neighbours ---------------------------------------------------------------------------------


def _neighbours(seconds: float) -> list[Goal]:
    """The same decision beside two processes that spin: BLAS with two threads would stall."""
    run = decision(1_000)
    quiet = timed(run, seconds)
    spin = [sys.executable, "-c", "while True: pass"]
    children = [subprocess.Popen(spin) for _ in range(2)]
    try:
        busy = timed(run, 2 * seconds)
    finally:
        for child in children:
            child.kill()
            child.wait()
    return [Goal("decision beside two spinning neighbours", busy.p50 / quiet.p50, 2.0, "x")]
