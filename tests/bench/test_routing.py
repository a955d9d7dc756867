from itertools import pairwise

import pytest

from agentroute.bench.decisions import drive
from agentroute.bench.goals import Goal
from agentroute.bench.routing import bench_routing
from agentroute.bench.timing import timed
from agentroute.errors import RoutingError


@pytest.mark.slow
@pytest.mark.checklist("LB9")
def test_latency_is_printed_by_arms_and_features():
    goals = bench_routing(seconds=0.02, peers=False)
    rows = {g.name: g for g in goals}
    for n in ("100 young", "100 grown", "1,000 young"):
        for d in (64, 272):
            p50, p95 = (rows[f"  {p}, {n} agents, d = {d}"].value for p in ("p50", "p95"))
            assert 0 < p50 <= p95
    pairs = list(pairwise(goals))
    arm = [
        whole.value / over.value  # the part that grows with d: the rest is the prompt's words
        for d in (64, 272)
        for whole, over in pairs
        if whole.name == f"whole update, 100 grown agents, d = {d}"
    ]
    assert 0 < arm[0] < arm[1]
    assert rows["serving arrays, bytes a packed entry"].ok


def test_goals_are_bounds():
    assert Goal("x", 1.0, 2.0, "us").ok
    assert not Goal("x", 3.0, 2.0, "us").ok
    assert Goal("x", 3.0, 2.0, "x", at_most=False).ok
    assert Goal("x", 3.0, None, "us").ok


def test_timing_and_driving():
    t = timed(lambda: sum(range(1_000)), 0.01)
    assert 0 < t.q <= t.p50 <= t.p95

    async def answer():
        return 7

    assert drive(answer()) == 7

    class Waits:
        def __await__(self):
            yield

    async def waits():
        await Waits()

    with pytest.raises(RoutingError, match="waits"):
        drive(waits())


@pytest.mark.bench
def test_the_ratios_hold():
    missed = [g for g in bench_routing() if not g.ok and g.unit in ("x", "B")]
    assert not missed, missed
