import numpy as np
import pytest

from agentroute.choosing.catalog import make_policy
from agentroute.choosing.exploration import Proportional
from agentroute.choosing.policy import Policy
from agentroute.errors import RouterStateError
from agentroute.features.text import make_embedder
from agentroute.model.ids import keyed_rng
from agentroute.model.tasks import Task
from agentroute.routers.recruiting.recruit import recruiting_weights, strength
from agentroute.routers.recruiting.router import Recruiting
from agentroute.routers.recruiting.skills import SkillMatcher
from agentroute.testing.routers import RULES, check_router
from tests.routers import tools as t

CARDS = t.cardset(3)


def taught(rows, **params):
    router = Recruiting(**params)
    for seq, (agent, kind, quality) in enumerate(rows):
        r = t.request(t.candidates(CARDS), features={"kind": kind})
        router.update(t.observe(seq, r, agent, quality))
    return router


ROWS = [
    ("a0", "sql", 1.0),
    ("a0", "sql", 0.9),
    ("a0", "csv", 0.2),
    ("a1", "csv", 0.8),
    ("a1", "sql", 0.1),
]


def test_it_conforms():
    assert len(check_router(Recruiting)) == len(RULES)
    assert len(check_router(lambda: Recruiting(decay=0.9))) == len(RULES)


@pytest.mark.checklist("SM1")
def test_profiles_count_plus_and_minus_one():
    router = taught(ROWS)
    assert router.profile("a0") == {"kind=sql": 2.0, "kind=csv": -1.0}
    assert router.profile("a1") == {"kind=csv": 1.0, "kind=sql": -1.0}
    assert router.profile("a2") == {}


@pytest.mark.checklist("SM2")
@pytest.mark.parametrize(
    ("said", "skill"),
    [
        ("refnuds", "refunds"),
        ("summarise", "summarisation"),
        ("chart-making", "chart_making"),
        ("automobile", "car"),
    ],
)
def test_typos_and_paraphrases_find_their_skill(said, skill):
    vocabulary = ("refunds", "summarisation", "chart_making", "car", "geology")
    matcher = SkillMatcher(make_embedder("wordllama"), near=0.4)
    assert matcher.match([said], vocabulary) == {said: skill}
    assert matcher.match(["zzzz qqqq"], ("refunds",)) == {}
    task = Task(prompt="please do it", skills=(said,))
    assert skill in matcher.needed(task, vocabulary)


@pytest.mark.checklist("SM3")
def test_weights_equal_hand_computed_values():
    p = np.array([[2.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    # G = 1, 0, 0; none negative; gamma = G^2 over its sum
    np.testing.assert_allclose(strength(p), [1, 0, 0])
    p = np.array([[3.0, 1.0], [1.0, 1.0], [2.0, -4.0]])
    # G = 4, 2, -2 -> shifted 7, 5, 1 -> squares 49, 25, 1 over 75
    np.testing.assert_allclose(strength(p), np.array([49, 25, 1]) / 75)
    # S for the first skill = 3, 1, 2
    w = recruiting_weights(p, np.array([1.0, 0.0]))
    np.testing.assert_allclose(w, np.array([49 * 3, 25, 2]) / 75)


@pytest.mark.checklist("SM3")
@pytest.mark.parametrize("replace", [False, True])
def test_recruits_are_drawn_in_proportion(replace):
    rows = [("a0", "sql", 1)] * 3 + [("a1", "sql", 1)] * 2 + [("a2", "sql", 1)]
    policy = Policy(taught(rows), exploration=Proportional(replace=replace))
    r = t.request(t.candidates(CARDS), features={"kind": "sql"})
    expected = np.array([27, 8, 1]) / 36  # gamma S = G^2 S with G = S = 3, 2, 1
    first, twice = np.zeros(3), 0
    s = t.run(policy.scores(r))
    for i in range(10_000):
        c = policy.decide(r, s, k=2, rng=keyed_rng(0, i))
        first[c.positions[0]] += 1
        twice += c.positions[0] == c.positions[1]
        if i == 0:
            np.testing.assert_allclose(c.propensities, expected, atol=1e-9)
    x2 = ((first - 10_000 * expected) ** 2 / (10_000 * expected)).sum()
    assert x2 < 13.8  # 0.999 quantile, 2 degrees of freedom
    assert (twice > 0) == replace


@pytest.mark.checklist("SM4")
def test_all_negative_and_no_skill():
    p = np.array([[-3.0, 0.0], [-1.0, 0.0]])
    w = recruiting_weights(p, np.array([1.0, 0.0]))
    # S = -3, -1 -> shifted 1, 3; G -> shifted 1, 3, squared 1, 9 over 10
    np.testing.assert_allclose(w, [0.1, 2.7])
    even = recruiting_weights(np.zeros((2, 2)), np.zeros(2))
    np.testing.assert_allclose(even, [0.5, 0.5])
    bad = taught([("a0", "sql", 0), ("a1", "sql", 0), ("a1", "sql", 0), ("a2", "sql", 0)])
    r = t.request(t.candidates(CARDS), features={"kind": "sql"})
    s = t.score(bad, r)
    assert s.mean.argmin() == 1
    unknown = t.score(bad, t.request(t.candidates(CARDS), features={"kind": "never seen"}))
    assert np.isfinite(unknown.mean).all()
    assert "card" in t.score(Recruiting(), r).terms


@pytest.mark.checklist("SM9")
def test_profiles_follow_rows_and_old_counts_fade():
    router = taught([("a0", "sql", 1.0)] * 3, decay=0.5)
    assert router.profile("a0") == {"kind=sql": 1.75}
    state = router.state_dict()
    again = Recruiting(decay=0.5)
    again.load_state_dict(state)
    assert again.profile("a0") == router.profile("a0")
    with pytest.raises(RouterStateError):
        make_policy("linucb").router.load_state_dict(state)


def test_the_better_agent_for_the_skill_is_chosen():
    policy = make_policy({"name": "recruiting", "exploration": 0})
    for seq, (agent, kind, q) in enumerate(ROWS):
        r = t.request(t.candidates(CARDS), features={"kind": kind})
        policy.router.update(t.observe(seq, r, agent, q))
    for kind, best in (("sql", 0), ("csv", 1)):
        r = t.request(t.candidates(CARDS), features={"kind": kind})
        s, c = t.run(policy.choose(r, rng=keyed_rng(0)))
        assert c.positions[0] == best, (kind, s.mean)
