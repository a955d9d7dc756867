from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.choosing.decide import decide
from agentroute.choosing.exploration import Epsilon, Proportional
from agentroute.errors import RoutingError, UsageError
from agentroute.model.ids import keyed_rng
from agentroute.model.scores import Scores


def scores(mean, bonus=None, oos=0.0):
    mean = np.asarray(mean, float)
    bonus = np.zeros(len(mean)) if bonus is None else np.asarray(bonus, float)
    return Scores(mean, bonus, {"m": mean}, out_of_scope=oos)


def test_worked_propensities():
    mean = [0.9, 0.5, 0.5, np.nan]
    c = decide(scores(mean), exploration=Epsilon(0.3), rng=np.random.default_rng(0))
    np.testing.assert_allclose(c.propensities, [0.8, 0.1, 0.1, 0.0])
    assert c.propensity == c.propensities[c.positions[0]]
    tied = decide(scores([0.7, 0.7 - 5e-7, 0.1]), rng=np.random.default_rng(0))
    np.testing.assert_allclose(tied.propensities, [0.475 + 0.05 / 3, 0.475 + 0.05 / 3, 0.05 / 3])


def test_the_chosen_maximises_mean_plus_bonus():
    c = decide(scores([0.5, 0.4], [0.0, 0.2]), exploration=Epsilon(0), rng=np.random.default_rng(0))
    assert c.positions == (1,)
    assert c.propensity == 1.0
    assert not c.explored


def test_epsilon_zero_is_propensity_one_even_in_a_tie():
    picks = set()
    for seed in range(40):
        c = decide(scores([0.5, 0.5]), exploration=Epsilon(0), rng=np.random.default_rng(seed))
        assert c.propensity == 1.0
        picks |= set(c.positions)
    assert picks == {0, 1}


def test_status():
    rng = np.random.default_rng(0)
    assert decide(scores([0.9, 0.5]), rng=rng).status == "selected"
    assert decide(scores([0.9, 0.885]), rng=rng).status == "ambiguous"
    assert decide(scores([0.9]), rng=rng).status == "selected"
    assert decide(scores([0.9, 0.89, 0.5]), k=2, rng=rng).status == "selected"
    gone = decide(scores([0.9, 0.5], oos=0.5), rng=rng)
    assert (gone.status, gone.positions, gone.propensity) == ("abstained", (), 1.0)
    assert decide(scores([0.9, 0.5], oos=0.5), abstain_at=0.6, rng=rng).positions


def test_errors():
    rng = np.random.default_rng(0)
    with pytest.raises(RoutingError, match="screened out"):
        decide(scores([np.nan, np.nan]), rng=rng)
    with pytest.raises(UsageError, match="at least one"):
        decide(scores([0.5]), k=0, rng=rng)


def test_agents_that_may_not_be_explored_are_chosen_only_as_the_best():
    free = np.array([False, True, True])
    c = decide(scores([0.9, 0.1, 0.2]), explorable=free, rng=np.random.default_rng(1))
    np.testing.assert_allclose(c.propensities, [0.95, 0.025, 0.025])
    c = decide(scores([0.1, 0.9, 0.2]), explorable=free, rng=np.random.default_rng(1))
    np.testing.assert_allclose(c.propensities, [0.0, 0.975, 0.025])
    nobody = decide(scores([0.1, 0.9]), explorable=np.zeros(2, bool), rng=np.random.default_rng(1))
    np.testing.assert_allclose(nobody.propensities, [0.0, 1.0])


def test_canaries_get_at_most_a_tenth():
    canary = np.array([True, False, False])
    c = decide(
        scores([0.9, 0.5, 0.1]), exploration=Epsilon(0), canary=canary, rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(c.propensities, [0.1, 0.9, 0.0])
    assert c.propensity == c.propensities[c.positions[0]]
    alone = decide(scores([0.9, np.nan, np.nan]), canary=canary, rng=np.random.default_rng(0))
    assert alone.positions == (0,)


@given(
    n=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    eps=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)
def test_propensities_are_a_distribution(n, seed, eps):
    rng = np.random.default_rng(seed)
    mean = np.round(rng.random(n), 1)
    mean[rng.random(n) < 0.3] = np.nan
    if np.isnan(mean).all():
        mean[0] = 0.5
    free, canary = rng.random(n) < 0.7, rng.random(n) < 0.3
    c = decide(
        scores(mean, rng.random(n)),
        exploration=Epsilon(eps),
        explorable=free,
        canary=canary,
        rng=rng,
    )
    assert c.propensities.sum() == pytest.approx(1.0)
    assert (c.propensities[np.isnan(mean)] == 0).all()
    assert c.propensity == c.propensities[c.positions[0]] > 0
    if (canary & ~np.isnan(mean)).any() and (~canary & ~np.isnan(mean)).any():
        assert c.propensities[canary].sum() <= 0.1 + 1e-12


def chi_square(counts, p):
    keep = p > 0
    assert counts[~keep].sum() == 0
    expected = p[keep] * counts.sum()
    return ((counts[keep] - expected) ** 2 / expected).sum(), keep.sum() - 1


@pytest.mark.parametrize("exploration", [Epsilon(0.3), Proportional()])
def test_draws_follow_the_recorded_propensities(exploration):
    s = scores([0.8, 0.8, 0.3, 0.6, np.nan, 0.1])
    canary = np.array([0, 0, 0, 0, 0, 1], bool)
    free = np.array([1, 1, 0, 1, 1, 1], bool)
    counts = np.zeros(6)
    for t in range(6_000):
        rng = keyed_rng(7, "chi", t)
        c = decide(s, exploration=exploration, explorable=free, canary=canary, rng=rng)
        counts[c.positions[0]] += 1
    x2, dof = chi_square(counts, c.propensities)
    assert x2 < {3: 16.3, 4: 18.5}[dof]  # the 0.999 quantiles


@pytest.mark.parametrize("exploration", [Epsilon(0.4), Proportional(), Proportional(replace=True)])
@pytest.mark.parametrize("canary", [None, np.array([0, 0, 0, 1], bool)])
def test_team_propensities_by_enumeration(exploration, canary):
    s = scores([0.7, 0.6, 0.2, 0.5])
    seen: dict[tuple[int, ...], float] = {}
    counts: dict[tuple[int, ...], int] = {}
    draws = 2_500
    for t in range(draws):
        rng = keyed_rng(1, "team", t)
        c = decide(s, k=2, exploration=exploration, canary=canary, rng=rng)
        seen.setdefault(c.positions, c.propensity)
        assert seen[c.positions] == pytest.approx(c.propensity)
        counts[c.positions] = counts.get(c.positions, 0) + 1
    assert sum(seen.values()) == pytest.approx(1.0, abs=0.02)
    if not exploration.replace:
        assert set(seen) <= set(permutations(range(4), 2))
    for team, p in seen.items():
        assert abs(counts[team] / draws - p) < 5 * (p * (1 - p) / draws) ** 0.5 + 1e-9


def test_a_team_is_as_large_as_there_are_candidates():
    c = decide(scores([0.3, np.nan, 0.9]), k=5, rng=np.random.default_rng(0))
    assert sorted(c.positions) == [0, 2]


def test_a_team_without_room_for_its_canary_is_shorter():
    canary = np.array([False, True])
    sizes = set()
    for t in range(60):
        c = decide(scores([0.9, 0.8]), k=2, canary=canary, rng=np.random.default_rng(t))
        sizes.add(len(c.positions))
        if len(c.positions) == 1:
            assert c.propensity == pytest.approx(0.9)
    assert sizes == {1, 2}


def test_the_stream_depends_on_the_key_alone():
    a = [keyed_rng(5, "run", t, "route", 1).random() for t in range(3)]
    b = [keyed_rng(5, "run", t, "route", 1).random() for t in reversed(range(3))]
    assert a == b[::-1]
    assert len(set(a)) == 3
    key = 0x0123456789ABCDEF
    assert keyed_rng(key).random() == keyed_rng(key).random()
