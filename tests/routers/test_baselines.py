import numpy as np
import pytest

from agentroute.choosing.policy import Policy
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Bounds, Objective
from agentroute.routers.baselines import Cheapest, FixedBest, RoundRobin, Uniform
from agentroute.routers.skill_match import SkillMatch
from tests.routers import tools as t


def test_uniform_draws_evenly():
    r = t.request(t.candidates(t.cardset(4)))
    policy, counts = Policy(Uniform()), np.zeros(4)
    for i in range(2_000):
        _, c = t.run(policy.choose(r, rng=keyed_rng(0, i)))
        counts[c.positions[0]] += 1
    assert ((counts - 500) ** 2 / 500).sum() < 16.3


def test_round_robin_takes_turns_and_counts_a_call_once():
    cards, policy = t.cardset(4), Policy(RoundRobin())
    counts = np.zeros(4)
    for step in range(40):
        r = t.request(t.candidates(cards))
        s = t.run(policy.scores(r))
        i = int(s.mean.argmax())
        counts[i] += 1
        policy.router.update(t.observe(step, r, f"a{i}", None, cost_usd=0.1))
        policy.router.update(t.observe(step, r, f"a{i}", 0.5))
    assert set(counts) == {10}


def test_round_robin_counts_calls_in_flight():
    cards = t.cardset(3)
    s = t.score(RoundRobin(), t.request(t.candidates(cards, inflight=np.array([1.0, 0, 2]))))
    assert list(np.argsort(-s.mean)) == [1, 0, 2]


def test_cheapest_ranks_by_cost_and_is_neutral_where_it_is_unknown():
    c = t.candidates(t.cardset(4), cost_usd=np.array([0.02, 0.01, np.nan, 0.02]))
    np.testing.assert_allclose(t.score(Cheapest(), t.request(c)).mean, [0.0, 1.0, 0.5, 0.0])
    same = t.candidates(t.cardset(2), cost_usd=np.array([0.02, 0.02]))
    np.testing.assert_allclose(t.score(Cheapest(), t.request(same)).mean, [1.0, 1.0])


def test_fixed_best_follows_the_mean_or_the_name():
    cards, router = t.cardset(3), FixedBest()
    r = t.request(t.candidates(cards))
    for seq, (agent, q) in enumerate([("a0", 0.4), ("a1", 0.9), ("a1", 0.7), ("a0", 0.6)]):
        router.update(t.observe(seq, r, agent, q))
    np.testing.assert_allclose(t.score(router, r).mean, [1.5 / 3, 2.1 / 3, 0.5])
    assert t.score(FixedBest(agent="a2"), r).mean.argmax() == 2


def test_the_objective_moves_fixed_best():
    cards, router = t.cardset(2), FixedBest()
    bounds = Bounds(float(np.log1p(0.001)), float(np.log1p(0.1)))
    c = t.candidates(cards, cost_usd=np.array([0.1, 0.001]), prior=np.array([0.9, 0.8]))
    assert t.score(router, t.request(c)).mean.argmax() == 0
    thrifty = t.request(c, objective=Objective(1.0, 1.0, 0.0, bounds))
    assert t.score(router, thrifty).mean.argmax() == 1


def test_skill_match_reads_the_cards():
    cards = t.cardset(4)
    for i in range(4):
        s = t.score(SkillMatch(), t.request(t.candidates(cards), cards.embedding[i]))
        assert s.mean.argmax() == i
        assert set(s.terms) == {"prior", "similarity", "clip"}
    far = t.unit(np.random.default_rng(77), t.E)
    near = t.request(t.candidates(cards), cards.embedding[2])
    assert t.score(SkillMatch(floor=0.9), t.request(t.candidates(cards), far)).out_of_scope > 0.5
    assert t.score(SkillMatch(floor=0.9), near).out_of_scope < 0.5
    assert t.score(SkillMatch(), near).out_of_scope == 0


def test_an_empty_prompt_says_nothing():
    s = t.score(SkillMatch(), t.request(t.candidates(t.cardset(3))))
    assert s.mean == pytest.approx([0.5] * 3)
