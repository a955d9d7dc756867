import numpy as np
import pytest

from agentroute.choosing.policy import Policy
from agentroute.choosing.screening import Screening, _best
from agentroute.errors import ConfigError
from agentroute.model.ids import keyed_rng
from agentroute.routers.linucb.drift import PageHinkley
from agentroute.routers.linucb.kin import kinship
from agentroute.routers.linucb.single import only
from agentroute.routers.skill_match import SkillMatch
from tests.routers import tools as t


def test_screening_score_by_hand():
    e = np.eye(2, t.E, dtype=np.float32)
    cards = t.cardset(2, embedding=e)
    c = t.candidates(
        cards,
        prior=np.array([0.8, 0.4]),
        load=np.array([0.5, 1.0]),
        latency_s=np.array([1.0, np.nan]),
        success=np.array([1.0, 0.5]),
    )
    s = Screening(1).score(t.request(c, e[0]))
    first = 0.5 * 1.0 + 0.35 * 0.8 + 0.15 * (0.4 * 0.5 + 0.4 * 0.5 + 0.2)
    second = 0.5 * 0.5 + 0.35 * 0.2 + 0.15 * (0.4 * 0.0 + 0.4 * 0.5 + 0.0)
    np.testing.assert_allclose(s, [first, second], atol=1e-6)


def test_nobody_free_is_still_served():
    r = t.request(t.candidates(t.cardset(3), load=np.ones(3)))
    assert Screening(3).keep_rows(r) is None
    assert len(Screening(2).keep_rows(r)) == 2
    _, c = t.run(Policy(SkillMatch(), screening=Screening(2)).choose(r, rng=keyed_rng(0)))
    assert c.positions


def test_terms_are_spread_over_all_candidates():
    r = t.request(t.candidates(t.cardset(9)))
    s, _ = t.run(Policy(SkillMatch(), screening=Screening(4)).choose(r, rng=keyed_rng(0)))
    kept = np.isfinite(s.mean)
    assert kept.sum() == 4
    for term in s.terms.values():
        np.testing.assert_array_equal(np.isfinite(term), kept)


def test_a_drop_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    test = PageHinkley()
    quiet = [test.dropped(1, float(e)) for e in rng.choice([-0.5, 0.5], 100_000)]
    assert not any(quiet)
    when = next(i for i in range(100) if test.dropped(1, -0.9))
    assert when <= 10
    assert not any(PageHinkley(None).dropped(0, -1.0) for _ in range(100))
    with pytest.raises(ConfigError):
        PageHinkley(0)


def test_kinship_finds_near_twins_alone():
    e = t.unit(np.random.default_rng(0), 4, t.E)
    e[1] = e[0]
    found = kinship(t.cardset(4, embedding=e), least=0.75, m=2)
    shares, arms = found.shares(np.arange(4), np.array([0, 5, 0, 7]))
    assert shares[0].sum() == pytest.approx(1.0, abs=1e-6)
    assert arms[0][shares[0] > 0] == [5]
    assert not shares[1:].any()
    assert kinship(t.cardset(4), least=0.9, m=2) is None
    assert kinship(t.cardset(1), least=0.9, m=2) is None


def test_one_agent_of_a_request():
    c = t.candidates(t.cardset(3)).take(np.array([2, 0]))
    assert only(t.request(c), "a0").candidates.rows.tolist() == [0]
    assert only(t.request(c), "a1").candidates.rows.tolist() == [1]
    stranger = only(t.request(c), "nobody").candidates
    assert (stranger.prior[0], stranger.embedding.any()) == (0.5, False)


def test_the_best_are_those_of_a_stable_sort():
    rng = np.random.default_rng(0)
    for _ in range(500):
        n = int(rng.integers(1, 12))
        keep = int(rng.integers(1, n + 1))
        s = np.where(rng.random(n) < 0.2, -np.inf, rng.integers(0, 4, n).astype(float))
        order = np.argsort(-s, kind="stable")[:keep]
        np.testing.assert_array_equal(_best(s, keep), np.sort(order[s[order] > -np.inf]))
