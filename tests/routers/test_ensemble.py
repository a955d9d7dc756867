from dataclasses import replace

import numpy as np
import pytest

from agentroute.choosing.policy import Policy
from agentroute.errors import ConfigError, NotFittedError, RouterStateError
from agentroute.model.candidates import Examples
from agentroute.model.ids import keyed_rng
from agentroute.routers.ensemble.hedge import Hedge
from agentroute.routers.ensemble.router import Ensemble
from agentroute.testing.routers import RULES, check_router
from tests.routers import tools as t


def test_it_conforms():
    assert len(check_router(Ensemble)) == len(RULES)


def fixed(*agents):
    return [{"name": "fixed_best", "agent": a} for a in agents]


def test_trust_goes_to_the_member_that_is_right_for_the_kind():
    cards, rng = t.cardset(3), np.random.default_rng(0)
    policy = Policy(Ensemble(members=fixed("a0", "a1")))
    hits = []
    for step in range(600):
        kind = int(rng.integers(2))
        r = t.request(t.candidates(cards), features={"kind": str(kind)})
        _, c = t.run(policy.choose(r, rng=keyed_rng(3, step)))
        i = c.positions[0]
        hits.append(i == kind)
        q = 0.9 if i == kind else 0.2
        policy.router.update(t.observe(step, r, f"a{i}", q, propensity=c.propensity))
    assert np.mean(hits[300:]) > 0.85
    pi = policy.router.hedge.trust("kind=0")
    assert pi[0] > 0.7
    assert policy.router.hedge.trust("kind=1")[1] > 0.7


def test_charges_are_importance_weighted():
    hedge = Hedge(2, eta=0.1, share=0.0)
    advice = np.array([[1.0, 0.0], [0.0, 1.0]])
    hedge.learn("k", advice, 0, quality=0.4, propensity=0.2)
    ratio = hedge.of_kind["k"][1] - hedge.of_kind["k"][0]
    assert ratio == pytest.approx(0.1 * 0.6 / (0.2 + 0.05))
    np.testing.assert_allclose(hedge.trust("new").sum(), 1.0)


def test_disagreement_is_explored_while_trust_is_open():
    cards = t.cardset(3)
    r = t.request(t.candidates(cards))
    router = Ensemble(members=fixed("a0", "a1"))
    even = t.score(router, r)
    np.testing.assert_allclose(even.bonus, [0.5, 0.5, 0.0])
    assert set(even.terms) == {"fixed_best.0", "fixed_best.1"}
    for _ in range(50):
        router.hedge.learn("", np.array([[1.0, 0, 0], [0, 1.0, 0]]), 1, 0.0, 0.5)
    sure = t.score(router, r)
    assert sure.bonus.max() < 0.2 < even.bonus.max()


def test_members_are_judged_by_what_they_had_said():
    cards = t.cardset(3)
    r = t.request(t.candidates(cards), features={"kind": "1"})
    early, late = Ensemble(), Ensemble()
    evidence = t.score(early, r).evidence
    assert evidence is not None
    for router in (early, late):
        for seq in range(10):
            router.update(t.observe(seq, r, "a1", 0.9))
    recorded = replace(r, recorded=evidence)
    early.update(t.observe(20, recorded, "a0", 0.1))
    late.update(t.observe(20, r, "a0", 0.1))
    assert early.hedge.meta() != late.hedge.meta()
    s, again = t.score(early, r), t.score(early, replace(r, recorded=evidence))
    np.testing.assert_array_equal(s.mean, again.mean)


def test_bad_ensembles():
    with pytest.raises(ConfigError, match="members"):
        Ensemble(members=[])
    with pytest.raises(ConfigError, match="unknown router"):
        Ensemble(members=["nobody"])
    with pytest.raises(ConfigError, match="eta"):
        Ensemble(eta=0)
    with pytest.raises(RouterStateError, match="ensemble of"):
        Ensemble(members=["uniform"]).load_state_dict(Ensemble().state_dict())


def labelled(cards, m=60):
    """Agent 0 is right where kind is 0, agent 1 where it is 1."""
    rng, kinds = np.random.default_rng(4), np.arange(m) % 2
    requests = [t.request(t.candidates(cards), features={"kind": str(k)}) for k in kinds]
    quality = np.where(np.arange(len(cards)) == kinds[:, None], 0.9, 0.2)
    quality[rng.random(quality.shape) < 0.2] = np.nan
    return Examples(
        tasks=tuple(r.task for r in requests),
        embedding=np.array([r.embedding for r in requests]),
        cards=cards,
        quality=quality,
        cost_usd=None,
        latency_s=None,
        abstain=np.zeros(m, bool),
    )


def test_fit_teaches_every_member_and_trusts_who_was_right_on_unseen_rows():
    cards = t.cardset(3)
    examples = labelled(cards)
    members = [*fixed("a0", "a1"), "linucb"]
    router, again = Ensemble(members=members), Ensemble(members=members)
    router.fit(examples, seed=3)
    again.fit(examples, seed=3)
    for kind in (0, 1):
        r = t.request(t.candidates(cards), features={"kind": str(kind)})
        pi = router.hedge.trust(f"kind={kind}")
        assert pi[kind] > pi[1 - kind]
        assert t.score(router, r).mean.argmax() == kind
        np.testing.assert_array_equal(t.score(router, r).mean, t.score(again, r).mean)
    assert router.members[2].folded == int((~np.isnan(examples.quality)).sum())


def test_a_member_that_was_not_fitted_is_silent_until_it_is():
    cards = t.cardset(3)
    r = t.request(t.candidates(cards), features={"kind": "0"})
    router = Ensemble(members=["linucb", "linear"])
    s = t.score(router, r)
    assert set(s.terms) == {"linucb"}
    router.update(t.observe(1, replace(r, recorded=s.evidence), "a0", 0.1, propensity=0.5))
    np.testing.assert_allclose(router.hedge.trust("kind=0"), [0.5, 0.5], atol=1e-3)
    router.fit(labelled(cards))
    assert set(t.score(router, r).terms) == {"linucb", "linear"}
    with pytest.raises(NotFittedError, match="no member"):
        t.score(Ensemble(members=["linear"]), r)


def test_who_sleeps_keeps_its_share():
    hedge = Hedge(3, eta=0.5, share=0.0)
    advice = np.array([[1.0, 0.0], [0.0, 1.0], [np.nan, np.nan]])
    hedge.learn_all("k", advice, np.array([0.2, 1.0]))
    own = np.exp(hedge.of_kind["k"])
    assert own[2] / own.sum() == pytest.approx(1 / 3)
    pi = hedge.trust("k")
    assert pi[1] > pi[2] > pi[0]
    np.testing.assert_allclose(hedge.trust("k", np.array([True, False, True]))[1], 0.0)


def test_without_a_share_trust_survives_what_no_float_can_hold():
    hedge = Hedge(3, eta=5.0, share=0.0)
    advice = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    for _ in range(2_000):
        hedge.learn("k", advice, 1, 0.0, 1.0)
    trust = hedge.trust("k", np.array([True, True, False]))
    assert trust.tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert np.isfinite(hedge.everywhere).all()
    assert hedge.trust("k", np.array([False, True, False])).tolist() == [0.0, 1.0, 0.0]
