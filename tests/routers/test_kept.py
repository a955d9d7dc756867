"""What each learner promises beyond choosing well, by worked numbers."""

from dataclasses import replace

import numpy as np
import pytest

from agentroute.model.objective import Objective
from agentroute.routers.ensemble.hedge import Hedge
from agentroute.routers.knn.router import KNN
from agentroute.routers.linucb import arms as arms_module
from agentroute.routers.linucb import router as linucb_module
from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.linucb.contenders import contending
from agentroute.routers.linucb.router import LinUCB
from agentroute.routers.pheromone.router import GENERAL, GENERAL_VISITS, PheromoneRouter, sources
from agentroute.routers.pheromone.trails import Trails
from agentroute.routers.reasoning.evidence import Evidence
from tests.routers.tools import E, candidates, cardset, observe, request, score, unit


def test_an_arm_is_computed_anew_after_a_thousand_updates(monkeypatch):
    """Rounding does not pile up: the inverse is then that of A, to the last bits."""
    monkeypatch.setattr(arms_module, "REFACTOR_EVERY", 50)
    bank, rng = ArmBank(6, lam=1.0), np.random.default_rng(0)
    row = bank.add()
    for i in range(1, 51):
        bank.update(row, rng.standard_normal(6), float(rng.random()))
        assert bank.since[row] == i % 50
    exact = np.linalg.inv(bank.A(row))
    np.testing.assert_array_equal(bank.inv(row), (exact + exact.T) / 2)
    np.testing.assert_array_equal(bank.theta[row], bank.inv(row) @ bank.b[row])


def test_exploration_is_worth_its_share_of_the_objective():
    """Where quality counts a quarter, what is not known of it counts a quarter too."""
    c = candidates(cardset(3))
    router = LinUCB()
    whole = score(router, request(c, objective=Objective(1.0, 0.0, 0.0)))
    part = score(router, request(c, objective=Objective(1.0, 3.0, 0.0)))
    np.testing.assert_allclose(part.bonus, whole.bonus / 4)
    assert (whole.bonus > 0).all()


def test_a_changed_agent_loses_its_prototype_too():
    """An alarm forgets what it once did well: nothing is said for it any more but its card."""
    c, x = candidates(cardset(2)), unit(np.random.default_rng(1), E)
    router = LinUCB()
    for seq, quality in enumerate([1.0] * 60 + [0.0] * 40, start=1):
        router.update(observe(seq, request(c, x), "a0", quality))
        if router.drift.alarms:
            break
    assert router.drift.alarms == 1 and quality == 0.0
    row = router.arms.rows(c)[0]
    assert not router.prior.P[row].any()


def test_the_prior_moves_to_the_tasks_that_were_done_well():
    c, x = candidates(cardset(2)), unit(np.random.default_rng(1), E)
    router = LinUCB()
    before = score(router, request(c, x)).terms["prior"]
    for seq in range(1, 20):
        router.update(observe(seq, request(c, x), "a0", 1.0))
    after = score(router, request(c, x)).terms["prior"]
    assert after[0] > before[0] + 0.05 and router.prior.P[router.arms.rows(c)[0]].any()


def test_an_arm_that_can_win_by_its_width_is_never_left_out(monkeypatch):
    """Widths of some arms only: the best by mean plus bonus is the same as with all of them."""
    rng, n = np.random.default_rng(3), 40
    c = candidates(cardset(n))
    router = LinUCB(alpha=1.5)
    for seq in range(1, 400):
        i = int(rng.integers(0, n // 2))  # half of them are never tried: only their width speaks
        router.update(observe(seq, request(c, unit(rng, E)), f"a{i}", float(rng.random())))
    asked = [request(c, unit(rng, E)) for _ in range(60)]
    full = [score(router, r) for r in asked]
    monkeypatch.setattr(linucb_module, "WIDE", 0)
    some = [score(router, r) for r in asked]
    assert any((s.bonus == 0).any() for s in some)
    best = [int((s.mean + s.bonus).argmax()) for s in full]
    assert [int((s.mean + s.bonus).argmax()) for s in some] == best
    assert any(s.mean.argmax() != b for s, b in zip(full, best, strict=True))


@pytest.mark.parametrize("seed", range(50))
def test_whose_width_is_looked_at_is_whoever_can_come_first(seed):
    """Also one whose mean is low and whose width alone, just, puts it first."""
    rng, n = np.random.default_rng([seed, 5]), 40
    mean, width = rng.random(n), 0.3 * rng.random(n)
    mean[7] = 0.3 * rng.random()
    width[7] = (mean + width).max() - mean[7] + 0.01
    asked = []

    def widths(at):
        asked.extend(at)
        return width[at] ** 2

    some = np.sqrt(contending(mean, width, np.zeros(n), widths))
    assert (mean + some).argmax() == (mean + width).argmax()
    assert len(asked) == len(set(asked)) < n


def test_no_member_falls_below_the_fixed_share():
    """After a thousand losses it is back within as many steps as its floor allows."""
    hedge = Hedge(2, share=0.01)
    advice = np.array([[1.0, 0.0], [0.0, 1.0]])
    for _ in range(1_000):
        hedge.learn("k", advice, 1, 0.0, 1.0)
    assert hedge.trust("k")[1] >= 0.01 / 2 / 4
    assert np.exp(hedge.everywhere).min() / np.exp(hedge.everywhere).sum() >= 0.005 - 1e-9


def test_the_nearer_neighbour_counts_more():
    """Weights fall as e^(-distance / 0.05): what was done far away hardly counts."""
    c = candidates(cardset(2))
    near, far = np.zeros(E, np.float32), np.zeros(E, np.float32)
    near[0], far[0], far[1] = 1.0, 0.8, 0.6
    router = KNN()
    router.update(observe(1, request(c, near), "a0", 1.0))
    router.update(observe(2, request(c, far), "a0", 0.0))
    s = score(router, request(c, near))
    assert s.mean[0] > 0.6  # with equal weights below (1 + 0.5) / 3
    assert score(router, request(c, far)).mean[0] < 0.35


def test_visits_of_the_general_kind_count_up_to_a_limit():
    c = candidates(cardset(2))
    router = PheromoneRouter()
    for seq in range(1, 2_000):
        router.update(observe(seq, request(c, features={"k": "a"}), "a0", 1.0))
    new = request(c, features={"k": "never"})
    _, visits = router.fuse({GENERAL: 1.0}, sources(new), router.index.rows(c))
    assert visits.max() == GENERAL_VISITS


def test_several_inputs_share_one_deposit():
    """Two inputs: each edge gets half of what a single one would have."""
    c = candidates(cardset(2))
    one, two = PheromoneRouter(rho=0.0), PheromoneRouter(rho=0.0)
    alone = replace(request(c), upstream=("a1",))
    both = replace(request(c), upstream=("a1", "a0"))
    one.update(observe(1, alone, "a0", 1.0))
    two.update(observe(1, both, "a0", 1.0))
    slot = one.index.rows(c)[:1]
    rows = [r.trails.row(GENERAL, "0|a1") for r in (one, two)]
    tau = [float(r.trails.read(i, slot)[0][0]) for r, i in zip((one, two), rows, strict=True)]
    assert tau[1] - 0.5 == pytest.approx((tau[0] - 0.5) / 2)
    assert two.trails.read(rows[1], slot)[1] == pytest.approx(0.5)


def test_a_trail_stays_between_its_bounds_whatever_is_deposited():
    trails = Trails(rho=0.1, eta=0.9, tau_min=0.2)
    row = trails.open_row("k", "s")
    for quality in (0.0, 0.0, 0.0):
        trails.deposit(row, 1, quality, 1.0, gate=True)
        assert float(trails.d[row, 1] * trails.scale[0]) >= 0.2
    for _ in range(60):  # evaporated far below, a deposit starts from the bound again
        trails.evaporate("k")
    change = trails.deposit(row, 1, 1.0, 1.0, gate=True)
    assert change == pytest.approx(0.9 * 0.8)
    trails.deposit(row, 1, 1.0, 3.0, gate=True)
    assert float(trails.d[row, 1] * trails.scale[0]) <= 1.0


def test_what_was_done_badly_is_disliked_and_not_what_was_done_well():
    c = candidates(cardset(2))
    good, bad = unit(np.random.default_rng(5), 2, E)
    evidence = Evidence()
    for x, quality in ((good, 1.0), (bad, 0.0)):
        r = request(c, x, prompt="words")
        evidence.add(evidence.read(r, x), x, r.task, "a0", quality, 1.0)
    slot = evidence.index.rows(c)[0]
    np.testing.assert_allclose(evidence.liked[slot], good)
    np.testing.assert_allclose(evidence.disliked[slot], bad)
