"""Goals of the routing speed, each measured beside its peer or limit in the same process.

``bench_routing()`` returns rows; the command line prints them and exits with 1 on a missed goal.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np

from agentroute.bench.decisions import D, bench_batches, bench_decisions, bench_updates, decision
from agentroute.bench.goals import Goal
from agentroute.bench.timing import timed
from agentroute.errors import MissingExtraError
from agentroute.features.threads import one_thread
from agentroute.model.arrays import F64
from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.linucb.grams import most_rows
from agentroute.routers.linucb.widths import Widths


def bench_routing(*, seconds: float = 0.5, peers: bool = True) -> list[Goal]:
    """Measure everything; about a minute with ``peers``.

    Args:
        seconds: budget of each figure.
        peers: also run mabwiser (extra ``dev``) and the neighbours' test.

    Raises:
        MissingExtraError: ``peers`` without mabwiser.
    """
    rows = _linucb(seconds, peers=peers)
    rows += bench_updates(seconds)
    rows += bench_batches(seconds)
    rows += bench_decisions(seconds)
    if peers:
        rows += _neighbours(seconds)
    return rows


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
    truth = sum(map(bank.grams.nbytes, range(1, bank.size))) + bank.b[1 : n + 1].nbytes
    out = [
        Goal("linucb predict, 1,000 arms x 64", ours.q, 500.0, "us"),
        Goal("  share of streaming N d d float64", ours.q / stream.q, 0.2, "x"),
        Goal("linucb update of the arm alone, 1,000 arms", learn.q, None, "us"),
        Goal("  against 10 arms", learn.q / learn_few.q, 1.3, "x"),
        Goal("serving arrays, bytes a packed entry", serving / entries, 4.5, "B"),
        Goal("float64 A, its inverse, rows and b", truth / 2**20, None, "MB"),
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
        for j in range(most_rows(D) + 1):
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
