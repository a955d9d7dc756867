import numpy as np
import pytest

from agentroute.choosing.prior import CardPrior
from agentroute.routers.linucb.priors.facets import PULL
from agentroute.routers.linucb.priors.prototypes import CARD, START, Prototypes
from agentroute.routers.linucb.router import LinUCB
from agentroute.routers.linucb.single import only
from agentroute.routers.parts.index import ArmIndex
from tests.routers import tools as t


def random_request(cards, seed):
    return t.request(t.candidates(cards), t.unit(np.random.default_rng(seed), t.E))


def test_before_the_first_row_it_is_the_card_prior():
    cards, prior = t.cardset(4), CardPrior(0.7, 0.2)
    r = random_request(cards, 1)
    np.testing.assert_allclose(Prototypes(prior).read(r, ArmIndex()).mean, prior.mean(r), atol=1e-6)


def test_one_success_by_hand():
    cards, prior, arms = t.cardset(3), CardPrior(1.0, 0.5), ArmIndex()
    p, r = Prototypes(prior), random_request(cards, 2)
    row = arms.add("a1")
    p.read(r, arms)  # fills the cache that a fold must refresh
    p.fold(only(r, "a1"), row, 0.9, 1.0)
    e, card = r.embedding.astype(float), cards.embedding[1].astype(float)
    np.testing.assert_allclose(p.P[row], 0.8 * e, atol=1e-6)
    u = np.array([1.0, card @ e - 0.5])
    gram = START * np.diag([1.0, 0.02]) + np.outer(u, u)
    delta, slope = np.linalg.solve(gram, START * np.array([0.0, 0.02]) + 0.4 * u)
    toward = CARD * card + 0.8 * e
    cos = toward @ e / np.linalg.norm(toward)
    cos += PULL * (1.0 - cos)  # its first facet is this very text
    expected = 0.5 + delta + slope * (cos - 0.5)
    assert p.read(r, arms).mean[1] == pytest.approx(np.clip(expected, 0, 1), abs=1e-6)
    assert p.own(only(r, "a1"), row).mean[0] == pytest.approx(p.read(r, arms).mean[1], abs=1e-6)


def test_a_failure_moves_no_prototype_and_a_reset_forgets_it():
    cards = t.cardset(2)
    p, r = Prototypes(CardPrior(1.0, 0.5)), random_request(cards, 3)
    p.fold(only(r, "a0"), 1, 0.3, 1.0)
    assert not p.P.any()
    p.fold(only(r, "a0"), 1, 1.0, 0.5)
    assert p.P[1].any()
    p.reset(1)
    assert not p.P.any()


@pytest.mark.parametrize("fixed", [CardPrior(0.0, 0.5), CardPrior(1.0, 0.5)])
def test_an_empty_text_says_and_teaches_nothing(fixed):
    cards = t.cardset(2)
    p, r = Prototypes(fixed), t.request(t.candidates(cards))
    before = p.G.copy()
    p.fold(only(r, "a0"), 1, 1.0, 1.0)
    np.testing.assert_array_equal(p.G, before)
    np.testing.assert_allclose(p.read(r, ArmIndex(["a0"])).mean, 0.5)


def test_widths_of_those_that_cannot_win_are_left_out_and_the_choice_is_the_same(monkeypatch):
    cards = t.cardset(40)
    router, rng = LinUCB(alpha=0.5), np.random.default_rng(0)
    for seq in range(400):
        r, i = random_request(cards, seq), int(rng.integers(40))
        router.update(t.observe(seq + 1, r, f"a{i}", float(rng.random())))
    requests = [random_request(cards, 1000 + i) for i in range(50)]
    exact = [t.score(router, r) for r in requests]
    monkeypatch.setattr("agentroute.routers.linucb.router.WIDE", 0)
    few = [t.score(router, r) for r in requests]
    for a, b in zip(exact, few, strict=True):
        np.testing.assert_array_equal(a.mean, b.mean)
        best = int((a.mean + a.bonus).argmax())
        assert int((b.mean + b.bonus).argmax()) == best
        assert b.bonus[best] == pytest.approx(a.bonus[best], rel=1e-4)
        assert np.all((b.bonus == 0) | np.isclose(a.bonus, b.bonus, rtol=1e-4))
    assert np.mean([(s.bonus == 0).mean() for s in few]) > 0.05


def test_an_arm_is_doubted_until_successes_prove_it_and_a_reset_keeps_the_proof():
    cards, arms = t.cardset(3), ArmIndex()
    p, r = Prototypes(CardPrior(1.0, 0.5)), random_request(cards, 5)
    good, bad = arms.add("a0"), arms.add("a1")
    for _ in range(10):
        p.fold(only(r, "a0"), good, 1.0, 1.0)
        p.fold(only(r, "a1"), bad, 0.0, 1.0)
    rows = arms.rows(r.candidates)
    np.testing.assert_allclose(p.doubt(r, rows), [1 / 11, 1 / 2, 1.0])
    p.reset(good)
    assert p.doubt(r, rows)[0] == pytest.approx(1 / 11)
    assert not p.doubt(t.request(t.candidates(cards)), rows).any(), "no text, no prototype"
    fixed = Prototypes(CardPrior(1.0, 0.5), fixed=True)
    assert not fixed.doubt(r, rows).any()
    assert p.doubt(r, np.array([0, 9])).tolist() == [1.0, 1.0], "arms that were never folded"
