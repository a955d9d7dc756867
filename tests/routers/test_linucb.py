from dataclasses import replace

import numpy as np
import pytest

from agentroute.choosing.exploration import Epsilon
from agentroute.choosing.policy import Policy
from agentroute.choosing.prior import cosines
from agentroute.choosing.screening import Screening
from agentroute.errors import ConfigError, RouterStateError
from agentroute.features.vectors import AGENT, agent_vectors
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Bounds, Objective
from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.linucb.router import LinUCB
from tests.routers import tools as t


def learned(router, cards, m, *, seed=0, quality=None, features=True, gap=1):
    """Fold m random rows; returns them."""
    rng = np.random.default_rng(seed)
    rows = []
    for seq in range(1, m + 1):
        f = {"kind": str(int(rng.integers(3)))} if features else {}
        r = t.request(t.candidates(cards), t.unit(rng, t.E), f)
        i = int(rng.integers(len(cards.names)))
        q = float(rng.random()) if quality is None else quality(r, i)
        rows.append(t.observe(gap * seq, r, str(cards.names[i]), q, cost_usd=0.01 * (i + 1)))
        router.update(rows[-1])
    return rows


@pytest.mark.checklist("SC4")
@pytest.mark.parametrize("lam", [0.5, 2.0])
def test_linucb_equals_a_direct_solve(lam):
    router = LinUCB(lam=lam, width=8, drift=None, learn_prior=False, inherit=False)
    cards = t.cardset(4)
    rows = [o for o in learned(router, cards, 200) if o.agent != "a3"]
    router = LinUCB(lam=lam, width=8, drift=None, learn_prior=False, inherit=False)
    for o in rows:
        router.update(o)
    r = t.request(t.candidates(cards), t.unit(np.random.default_rng(9), t.E), {"kind": "1"})
    s, x = t.score(router, r), router.context.vector(r.task, r.embedding)
    prior = router.prior.read(r, router.arms).mean
    for i, name in enumerate(cards.names):
        a, b = lam * np.eye(len(x)), np.zeros(len(x))
        for o in rows:
            if o.agent == name:
                y = router.context.vector(o.request.task, o.request.embedding)
                a += np.outer(y, y)
                b += (o.quality - router.prior.prior.mean(o.request)[i]) * y
        mean = prior[i] + x @ np.linalg.solve(a, b)
        width = np.sqrt(x @ np.linalg.solve(a, x))
        assert s.mean[i] == pytest.approx(np.clip(mean, 0, 1), abs=1e-6)
        assert s.bonus[i] == pytest.approx(router.alpha_t(len(x)) * width, abs=1e-5)
    assert s.bonus[3] == pytest.approx(router.alpha_t(len(x)) * np.sqrt(x @ x / lam), abs=1e-5)


@pytest.mark.checklist("SC4")
def test_sherman_morrison_equals_the_inverse_after_ten_thousand_updates():
    rng = np.random.default_rng(0)
    bank = ArmBank(12, lam=1.0)
    row = bank.add()
    for _ in range(10_000):
        x = rng.standard_normal(12)
        bank.update(row, x / np.linalg.norm(x), rng.random(), weight=float(rng.uniform(0.1, 1.0)))
    assert np.abs(bank.inv(row) - np.linalg.inv(bank.A(row))).max() < 1e-9
    np.testing.assert_array_equal(bank.inv(row), bank.inv(row).T)
    assert np.linalg.eigvalsh(bank.inv(row)).min() > 0
    for x in (np.eye(12)[:, None] + np.eye(12)).reshape(-1, 12):  # these give all entries
        served = bank.predict(x, None, np.array([row])).w2[0]
        assert served == pytest.approx(x @ bank.inv(row) @ x, abs=1e-6)


@pytest.mark.slow
def test_a_hundred_thousand_nearly_collinear_updates():
    rng = np.random.default_rng(0)
    bank, base = ArmBank(16, lam=0.5), rng.standard_normal(16)
    row = bank.add()
    for _ in range(100_000):
        x = base + 1e-4 * rng.standard_normal(16)
        bank.update(row, x / np.linalg.norm(x), rng.random())
    x = base / np.linalg.norm(base)
    p = bank.predict(x, None, np.array([row]))
    assert p.w2[0] >= 0
    exact = np.linalg.solve(bank.A(row), x)
    assert p.w2[0] == pytest.approx(x @ exact, abs=1e-6)
    assert p.own[row] == pytest.approx(np.linalg.solve(bank.A(row), bank.b[row]) @ x, abs=1e-5)


def test_hybrid_equals_one_joint_ridge():
    """Algorithm 2 of Li et al. is ridge over [z, x_1, ..., x_S]: solve that directly."""
    rng, d, k, arms, lam = np.random.default_rng(3), 4, 3, 3, 0.7
    bank = ArmBank(d, k, lam=lam)
    rows = [bank.add() for _ in range(arms)]
    size = k + arms * d
    a, b = lam * np.eye(size), np.zeros(size)
    for step in range(300):
        i, x, z, r = int(rng.integers(arms)), rng.random(d), rng.random(k), rng.random()
        w = float(rng.uniform(0.2, 1))
        bank.update(rows[i], x, r, z=z, weight=w)
        joint = np.zeros(size)
        joint[:k], joint[k + i * d : k + (i + 1) * d] = z, x
        a += w * np.outer(joint, joint)
        b += w * r * joint
        if step == 150:
            again = ArmBank(d, k, lam=lam)
            again.load(bank.arrays())
            bank = again
    x, z = rng.random(d), rng.random((arms, k))
    p = bank.predict(x, z, np.array(rows))
    for i in range(arms):
        joint = np.zeros(size)
        joint[:k], joint[k + i * d : k + (i + 1) * d] = z[i], x
        assert p.own[rows[i]] + p.shared[i] == pytest.approx(
            joint @ np.linalg.solve(a, b), abs=1e-5
        )
        assert p.w2[i] == pytest.approx(joint @ np.linalg.solve(a, joint), abs=1e-5)


@pytest.mark.checklist("SC1")
def test_at_most_l_candidates_reach_the_bandit():
    cards = t.cardset(100)
    load = np.zeros(100)
    load[::2] = 1.0
    r = t.request(t.candidates(cards, load=load), cards.embedding[4])

    class Counting(LinUCB):
        async def score(self, request):
            self.seen = len(request.candidates)
            return await super().score(request)

    policy = Policy(Counting(), screening=Screening(3))
    for seed in range(30):
        s, c = t.run(policy.choose(r, rng=keyed_rng(seed)))
        assert policy.router.seen == 3
        assert np.isfinite(s.mean).sum() == 3
        assert s.mean.shape == s.bonus.shape == (100,)
        assert c.positions[0] % 2 == 1, "an agent at its limit was chosen while others were free"
        assert (c.propensities[np.isnan(s.mean)] == 0).all()


@pytest.mark.checklist("SC2")
def test_agent_features_are_documented_clipped_and_short():
    cards = t.cardset(3)
    fields = {"load": np.array([0.0, 0.5, 3.0]), "latency_s": np.array([0.0, 1.0, np.nan])}
    c = t.candidates(cards, **fields)
    z = agent_vectors(c, np.array([1.0, 0.0, -1.0]))
    assert AGENT == ("one", "similarity", "prior", "load", "latency", "success")
    raw = np.array([[1, 1, 0.5, 0, 0, 1], [1, 0.5, 0.5, 0.5, 0.5, 1], [1, 0, 0.5, 1, 0.5, 1]])
    np.testing.assert_allclose(z, raw / np.linalg.norm(raw, axis=1, keepdims=True))
    assert (np.linalg.norm(z, axis=1) <= 1 + 1e-12).all()
    np.testing.assert_array_equal(z, agent_vectors(c, np.array([1.0, 0.0, -1.0])))


@pytest.mark.checklist("SC3")
def test_mean_and_width_are_both_there_and_sum():
    router, cards = LinUCB(width=8), t.cardset(5)
    learned(router, cards, 50)
    r = t.request(t.candidates(cards), t.unit(np.random.default_rng(1), t.E), {"kind": "0"})
    s, c = t.run(Policy(router).choose(r, rng=keyed_rng(0)))
    assert set(s.terms) == {"prior", "learned", "clip"}
    np.testing.assert_allclose(sum(s.terms.values()), s.mean, atol=1e-12)
    if not c.explored:
        assert c.positions[0] == int((s.mean + s.bonus).argmax())


def realizable(policy, cards, steps, *, seed=0, noise=0.1):
    """Regret of each step where quality is linear in the task's features."""
    rng = np.random.default_rng(seed)
    best = rng.random((len(cards.names), 4))
    regret = np.zeros(steps)
    for step in range(steps):
        kind = int(rng.integers(4))
        r = t.request(t.candidates(cards), None, {"kind": str(kind)})
        _, c = t.run(policy.choose(r, rng=keyed_rng(seed, step)))
        i = c.positions[0]
        q = float(np.clip(best[i, kind] + noise * rng.standard_normal(), 0, 1))
        policy.router.update(t.observe(step + 1, r, str(cards.names[i]), q))
        regret[step] = best[:, kind].max() - best[i, kind]
    return regret, best


@pytest.mark.checklist("SC5", simulated=True)
@pytest.mark.checklist("LB3", simulated=True)
def test_regret_is_sublinear():
    cards = t.cardset(5)
    steps = 800
    regret, best = realizable(Policy(LinUCB(width=4), exploration=Epsilon(0)), cards, steps)
    at_random = (best.max(axis=0) - best.mean(axis=0)).mean() * steps
    assert regret.sum() < 0.3 * at_random
    assert regret[steps // 2 :].sum() < 0.5 * regret[: steps // 2].sum()
    greedy = Policy(LinUCB(width=4, alpha=0), exploration=Epsilon(0.1))
    assert regret.sum() < realizable(greedy, cards, steps)[0].sum()


@pytest.mark.checklist("SC6", simulated=True)
def test_roles_emerge():
    cards, rng = t.cardset(4), np.random.default_rng(0)
    policy, right = Policy(LinUCB(width=4)), []
    for step in range(600):
        kind = int(rng.integers(4))
        r = t.request(t.candidates(cards), None, {"kind": str(kind)})
        _, c = t.run(policy.choose(r, rng=keyed_rng(1, step)))
        i = c.positions[0]
        right.append((kind, i == kind))
        policy.router.update(t.observe(step, r, f"a{i}", 0.9 if i == kind else 0.4))
    for kind in range(4):
        assert np.mean([ok for k, ok in right[350:] if k == kind]) >= 0.9


@pytest.mark.checklist("SC7")
def test_delivery_order_does_not_matter():
    cards = t.cardset(4)
    rows = learned(LinUCB(width=8), cards, 120)
    fixed = {"drift": None, "learn_prior": False, "inherit": False}
    now, late = (LinUCB(width=8, **fixed) for _ in range(2))
    for o in rows[:3]:  # both know the features and the arms
        now.update(o)
        late.update(o)
    order = np.random.default_rng(5).permutation(np.arange(3, len(rows)))
    for o in rows[3:]:
        now.update(o)
    for i in order:
        late.update(rows[i])
    names = {n: now.arms.get(n) for n in now.arms.names}
    for n, row in names.items():
        other = late.arms.get(n)
        same = [late.context.vocabulary[v] for v in now.context.vocabulary]
        p = 1 + 8
        keep = np.r_[np.arange(p), p + np.array(same)]
        mine = np.r_[np.arange(p), p + np.arange(len(same))]
        np.testing.assert_allclose(
            now.quality.A(row)[np.ix_(mine, mine)],
            late.quality.A(other)[np.ix_(keep, keep)],
            atol=1e-9,
        )
        np.testing.assert_allclose(now.quality.b[row][mine], late.quality.b[other][keep], atol=1e-9)


@pytest.mark.checklist("SC10")
@pytest.mark.checklist("LB6")
@pytest.mark.parametrize("mode", ["disjoint", "hybrid"])
def test_new_and_removed_arms_leave_the_others_bit_equal(mode):
    router = LinUCB(width=8, mode=mode)
    few, more = t.cardset(4), t.cardset(6)
    learned(router, few, 80)
    before = {k: v.copy() for k, v in router.quality.arrays().items()}
    r = t.request(t.candidates(more), t.unit(np.random.default_rng(4), t.E), {"kind": "1"})
    router.update(t.observe(900, r, "a5", 0.9))
    size = len(before["n"])
    for name in ("A", "b", "B", "inv", "theta", "C"):
        np.testing.assert_array_equal(router.quality.arrays()[name][:size], before[name])
    kept = t.candidates(few).take(np.array([0, 2]))
    s, all_four = (
        t.score(router, replace(r, candidates=kept)),
        t.score(router, replace(r, candidates=t.candidates(few))),
    )
    np.testing.assert_allclose(s.mean, all_four.mean[[0, 2]], atol=1e-6)


@pytest.mark.checklist("SC11")
@pytest.mark.checklist("LB2")
@pytest.mark.parametrize("mode", ["disjoint", "hybrid", "shared"])
def test_saved_state_scores_identically_and_scoring_learns_nothing(mode):
    router, cards = LinUCB(width=8, mode=mode), t.cardset(5)
    learned(router, cards, 100)
    state = router.state_dict()
    again = LinUCB(width=8, mode=mode)
    again.load_state_dict(state)
    r = t.request(t.candidates(cards), t.unit(np.random.default_rng(1), t.E), {"kind": "2"})
    a, b = t.score(router, r), t.score(again, r)
    np.testing.assert_array_equal(a.mean, b.mean)
    np.testing.assert_array_equal(a.bonus, b.bonus)
    for name, array in again.state_dict().arrays.items():
        np.testing.assert_array_equal(array, state.arrays[name])


def test_state_of_other_settings_or_another_embedder_is_refused():
    router, cards = LinUCB(width=8), t.cardset(3)
    learned(router, cards, 5)
    for other in (LinUCB(width=8, lam=3), LinUCB(width=9), LinUCB(width=8, mode="hybrid")):
        with pytest.raises(RouterStateError):
            other.load_state_dict(router.state_dict())
    strange = replace(cards, embedder_id="another")
    with pytest.raises(RouterStateError, match="another"):
        t.score(router, t.request(t.candidates(strange)))


@pytest.mark.parametrize(
    "bad", [{"mode": "x"}, {"alpha": -1}, {"lam": 0}, {"gamma": 0}, {"drift": -1}, {"width": 0}]
)
def test_bad_parameters(bad):
    with pytest.raises(ConfigError):
        LinUCB(**bad)


@pytest.mark.checklist("LB1")
def test_weights_change_the_choice_with_no_refit_and_cost_falls():
    cards, rng = t.cardset(6, seed=2), np.random.default_rng(2)
    router = LinUCB(width=8)
    price = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05])

    def quality(r, i):
        return float(np.clip(0.3 + 0.1 * i + 0.05 * rng.standard_normal(), 0, 1))

    for seq in range(400):
        r = t.request(t.candidates(cards), t.unit(rng, t.E))
        i = int(rng.integers(6))
        router.update(t.observe(seq, r, f"a{i}", quality(r, i), cost_usd=float(price[i])))
    state = router.state_dict()
    bounds = Bounds(float(np.log1p(0.001)), float(np.log1p(0.05)))
    chosen = []
    for w in np.linspace(0, 3, 13):
        r = t.request(
            t.candidates(cards),
            t.unit(np.random.default_rng(8), t.E),
            None,
            Objective(1.0, float(w), 0.0, bounds),
        )
        s = t.score(router, r)
        chosen.append(int((s.mean + s.bonus).argmax()))
    cost = price[chosen]
    assert (np.diff(cost) <= 0).all()
    assert cost[0] > cost[-1]
    for name, array in router.state_dict().arrays.items():
        np.testing.assert_array_equal(array, state.arrays[name])


def test_in_flight_decisions_spread():
    cards = t.cardset(8)
    router, inflight = LinUCB(width=8), np.zeros(8)
    picks = []
    for _ in range(32):
        c = t.candidates(cards, inflight=inflight.copy())
        s = t.score(router, t.request(c))
        picks.append(int((s.mean + s.bonus + 1e-9 * np.arange(8)).argmax()))
        inflight[picks[-1]] += 1
    assert len(set(picks)) == 8
    assert max(np.bincount(picks)) <= 5


@pytest.mark.checklist("LB7", simulated=True)
def test_a_dead_agent_loses_its_traffic():
    cards, rng, shares = t.cardset(4), np.random.default_rng(0), []
    for seed in range(2):
        policy, to_dead = Policy(LinUCB(width=4)), []
        for step in range(800):
            r = t.request(t.candidates(cards), None, {"kind": str(int(rng.integers(2)))})
            _, c = t.run(policy.choose(r, rng=keyed_rng(seed, step)))
            i = c.positions[0]
            p = (0.9, 0.7, 0.5, 0.3)[i] if i or step < 500 else 0.0
            to_dead.append(i == 0)
            policy.router.update(t.observe(step, r, f"a{i}", float(rng.random() < p)))
        shares.append(np.mean(to_dead[600:700]))
        assert policy.router.drift.alarms >= 1
    assert np.mean(shares) < 0.05


def test_discounting_forgets_and_equals_a_refactored_solve():
    rng, gamma, lam, d = np.random.default_rng(0), 0.9, 0.5, 3
    bank, a, b = ArmBank(d, lam=lam), lam * np.eye(d), np.zeros(d)
    row = bank.add()
    for _ in range(50):
        x, r = rng.random(d), rng.random()
        bank.update(row, x, r, gamma=gamma)
        a, b = gamma * a + np.outer(x, x) + (1 - gamma) * lam * np.eye(d), gamma * b + r * x
    np.testing.assert_allclose(bank.theta[row], np.linalg.solve(a, b), atol=1e-10)


def test_a_twin_inherits_and_a_stranger_does_not():
    e = t.unit(np.random.default_rng(0), 2, t.E)
    cards = t.cardset(3, embedding=np.array([e[0], e[0], e[1]]))
    router = LinUCB(width=4)
    r = t.request(t.candidates(cards), None, {"kind": "1"})
    for seq in range(30):
        router.update(t.observe(seq, r, "a0", 0.95))
    s = t.score(router, r)
    assert s.mean[1] == pytest.approx(s.mean[0], abs=1e-6)
    assert s.mean[2] == pytest.approx(0.5, abs=1e-6)
    router.update(t.observe(31, r, "a1", 0.95))
    assert t.score(router, r).mean[1] > 0.8


def test_an_agent_that_was_no_candidate_is_a_new_arm():
    router, cards = LinUCB(width=4), t.cardset(3)
    r = t.request(t.candidates(cards).take(np.array([0, 1])))
    router.update(t.observe(1, r, "a2", 0.9))
    router.update(t.observe(2, r, "somebody", 0.1))
    assert router.arms.names == ["a2", "somebody"]


def test_the_prior_is_the_cards_similarity_counted_once():
    cards = t.cardset(3)
    r = t.request(t.candidates(cards), cards.embedding[1])
    s = t.score(LinUCB(slope=0.5, centre=0.3), r)
    np.testing.assert_allclose(s.mean, np.clip(0.5 + 0.5 * (cosines(r) - 0.3), 0, 1), atol=1e-6)
    assert s.mean.argmax() == 1
