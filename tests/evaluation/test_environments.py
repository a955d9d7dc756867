import numpy as np
import pytest

from agentroute.bench.drift import bench_drift, dead_agent
from agentroute.choosing.catalog import make_router
from agentroute.errors import UsageError
from agentroute.evaluation.worlds.drift import (
    deadlocks,
    recovery,
    rolling_mean,
    steps_until_left,
)  # fmt: skip
from agentroute.evaluation.worlds.environments import ENVIRONMENTS, drift, make_environment
from agentroute.evaluation.worlds.play import run_bandit
from agentroute.model.ids import keyed_rng
from agentroute.model.scores import Scores
from tests.evaluation.players import Recorder


class Oracle(Recorder):
    """Reads the world: an upper bound that no router is given."""

    def __init__(self, env):
        super().__init__()
        self.env = env

    async def score(self, request):
        q = self.env.quality(request.task)[request.candidates.rows]
        away = self.env.should_abstain(request.task)
        return Scores(q, np.zeros(len(q)), out_of_scope=float(away))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_optimum_is_what_the_oracle_gets_and_nobody_gets_more(name):
    from agentroute.choosing.exploration import Epsilon
    from agentroute.choosing.policy import Policy

    env = make_environment(name)
    oracle = run_bandit(Policy(Oracle(env), exploration=Epsilon(0.0)), env, 200, 1)
    uniform = run_bandit(make_router("uniform"), env, 200, 1)
    assert oracle.regret[-1] == pytest.approx(0)
    assert np.array_equal(oracle.kind, uniform.kind), "both meet the same tasks"
    assert (uniform.best >= uniform.expected).all() and uniform.regret[-1] > 20
    assert oracle.reward.mean() == pytest.approx(oracle.best.mean(), abs=0.1)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_world_repeats_with_its_seed(name):
    env, again = make_environment(name), make_environment(name)
    for t in (0, 3, 600):
        a, b = env.sample(keyed_rng(5, t), t), again.sample(keyed_rng(5, t), t)
        assert a.task == b.task and np.array_equal(a.embedding, b.embedding)
        assert a.candidates.cards.sha256 == b.candidates.cards.sha256


def test_what_each_world_is_for():
    costs = make_environment("cost_spread").cost
    assert costs.max() / costs.min() == pytest.approx(20)
    late = make_environment("unseen_agent")
    before, after = (late.sample(keyed_rng(0, t), t).candidates for t in (0, late.change_at))
    assert set(after.names) - set(before.names) == {"gardening-3"}
    hops = make_environment("multi_hop")
    request = hops.sample(keyed_rng(0, 0))
    assert request.upstream and request.stage == 1
    made_by = int(hops.cardset.index[request.upstream[0]])
    kind = int(request.task.id.split(":")[1])
    assert hops.quality(request.task)[(made_by + 1) % 3] == hops.table[kind, (made_by + 1) % 3]
    away = make_environment("out_of_scope")
    asked = [away.sample(keyed_rng(0, t), t).task for t in range(300)]
    share = np.mean([away.should_abstain(t) for t in asked])
    assert share == pytest.approx(0.2, abs=0.06)
    assert all(not away.quality(t).any() for t in asked if away.should_abstain(t))
    lies = make_environment("adversarial_feedback")
    task = lies.sample(keyed_rng(0, 0), 0).task
    assert lies.feedback(task, lies.flattered, 0.0, keyed_rng(1)) == 1.0
    said = [lies.feedback(task, 0, 1.0, keyed_rng(s)) for s in range(500)]
    assert np.mean(said) == pytest.approx(0.9, abs=0.05)


def test_the_words_do_not_say_the_kind_where_it_is_hidden():
    assert make_environment("overlapping").sample(keyed_rng(0)).task.features == {}


def test_frozen_means_that_nothing_is_learned():
    env, router = make_environment("separable"), Recorder()
    run_bandit(router, env, 50, 0, learning=lambda step: step < 20)
    assert len(router.shown) == 20


def test_an_unknown_world_is_refused():
    with pytest.raises(UsageError, match="seperable") as e:
        make_environment("seperable")
    assert "separable" in e.value.hint


def test_rolling_mean_by_hand():
    assert rolling_mean(np.array([1.0, 0, 0, 1]), 2).tolist() == [1.0, 0.5, 0.0, 0.5]


def test_recovery_by_hand():
    """0.8 before; 0.2 for 60 steps; 0.8 again: the window is at 0.72 once 44 of 50 are good."""
    reward = np.concatenate([np.full(300, 0.8), np.full(60, 0.2), np.full(200, 0.8)])
    back = recovery(reward, 300)
    assert back.fell and back.before == pytest.approx(0.8)
    assert back.lowest == pytest.approx(0.2)
    assert back.steps == 60 + 44 - 1
    assert recovery(np.full(400, 0.5), 200) == type(back)(0.5, 0.5, False, 0)
    assert recovery(np.concatenate([np.full(200, 0.8), np.zeros(100)]), 200).steps is None


def test_a_recovery_that_does_not_hold_does_not_count():
    short = np.concatenate([np.full(300, 0.8), np.zeros(60), np.full(60, 0.8), np.zeros(100)])
    assert recovery(short, 300).steps is None


def test_traffic_to_the_dead_and_deadlocks_by_hand():
    there = np.concatenate([np.ones(20), np.zeros(100)]).astype(bool)
    # 50-window share is under 5 % when at most 2 of the 20 are left in it: after step 67
    assert steps_until_left(there) == 67
    assert steps_until_left(np.ones(80, bool)) is None
    assert steps_until_left(np.zeros(80, bool)) == 0
    assert deadlocks(np.array([0, 0, 0, 0, 1, 0, 0])) == 2


@pytest.mark.parametrize("seeds", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.checklist("SC9", simulated=True)
@pytest.mark.checklist("LB7", simulated=True)
def test_after_an_agent_dies_linucb_leaves_it_and_recovers(seeds):
    """Under 5 % of tasks 51 to 100 after the death go to it; the frozen twin never comes back."""
    row = bench_drift(["linucb"], seeds=seeds, tasks=1_000)["routers"]["linucb"]
    live, frozen = row["adaptive"], row["frozen"]
    assert row["ok"] and live["dead_share_before"] > 0.4
    assert live["dead_share_51_to_100"] < 0.05 < frozen["dead_share_51_to_100"]
    assert live["recovered"] == 1.0 and frozen["recovered"] == 0.0
    assert max(live["recovery_steps"]) <= 250
    assert live["after"] > frozen["after"] + 0.2


def test_bench_drift_sets_adaptive_beside_frozen():
    out = bench_drift(["uniform"], seeds=2, tasks=400)
    row = out["routers"]["uniform"]
    assert not row["ok"] and not out["ok"] and out["simulated"]
    assert row["adaptive"]["dead_share_51_to_100"] == pytest.approx(0.2, abs=0.15)
    assert row["adaptive"] == row["frozen"], "uniform has nothing to learn"
    assert dead_agent(drift()) == 4
