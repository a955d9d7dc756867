"""The colony under load on a simulated clock; the cost figures only where timing is asked for."""

from __future__ import annotations

import pytest

from agentroute.bench.pheromone import LEVELS, bench_pheromone, crowd, crowd_goals
from agentroute.errors import NestedLoopError


def test_the_colony_is_better_under_a_small_crowd():
    rows = crowd(levels=(20, 100), requests=600)
    assert all(g.ok for g in crowd_goals(rows))


@pytest.mark.slow
@pytest.mark.checklist("AM12", simulated=True)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_colony_is_better_than_round_robin_and_random_at_every_level(seed):
    rows = crowd(seed=seed, requests=2000)
    assert [(r.policy, r.concurrent) for r in rows[::3]] == [("pheromone", n) for n in LEVELS]
    assert len(rows) == 3 * len(LEVELS)
    assert all(g.ok for g in crowd_goals(rows))
    by = {(r.policy, r.concurrent): r for r in rows}
    assert by["pheromone", 100].throughput > by["weighted round robin", 100].throughput
    assert by["pheromone", 100].throughput > 10 * by["pheromone", 1].throughput


def test_the_crowd_is_seeded():
    assert crowd(levels=(20,), requests=200, seed=3) == crowd(levels=(20,), requests=200, seed=3)


async def test_the_crowd_is_not_run_inside_a_loop():
    with pytest.raises(NestedLoopError):
        crowd(levels=(1,), requests=1)


@pytest.mark.bench
def test_goals_are_met():
    assert not [g for g in bench_pheromone() if not g.ok]
