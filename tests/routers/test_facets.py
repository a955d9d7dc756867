import numpy as np
import pytest

from agentroute.choosing.prior import CardPrior
from agentroute.routers.linucb.priors.facets import NEAREST, PULL, Facets, M
from agentroute.routers.linucb.priors.prototypes import Prototypes
from agentroute.routers.linucb.single import only
from agentroute.routers.parts.index import ArmIndex
from tests.routers import tools as t


def texts(m, seed=0):
    return t.unit(np.random.default_rng(seed), m, t.E).astype(np.float64)


def test_facets_open_one_by_one_then_a_text_joins_the_nearest():
    f, e = Facets(), texts(M + 1)
    for v in e[:M]:
        f.fold(2, v, 1.0)
    np.testing.assert_array_equal(f.T[2], e[:M])
    j = int((e[:M] @ e[M]).argmax())
    f.fold(2, e[M], 0.5)
    np.testing.assert_allclose(f.T[2, j], e[j] + 0.5 * e[M])
    assert f.used[2] == M
    assert not f.T[[0, 1]].any()


def test_an_arm_with_two_trades_is_near_to_both():
    """The mean of two orthogonal texts has cosine 0.71 with each; a facet closes half the gap."""
    f, e = Facets(), np.eye(t.E)
    for i in (0, 1):
        f.fold(1, e[i], 1.0)
    cos, rows = np.array([0.5**0.5, 0.2]), np.array([1, 0])
    lift = f.lift(cos, rows, e[0].astype(np.float32))
    np.testing.assert_allclose(lift, [PULL * (1 - 0.5**0.5), 0.0], atol=1e-7)
    assert f.own_lift(0.5**0.5, 1, e[0]) == pytest.approx(lift[0], abs=1e-7)
    assert not f.lift(cos, rows, e[5].astype(np.float32)).any(), "it is never pushed away"


def test_beyond_the_nearest_nobody_is_lifted_and_ties_are_treated_alike():
    f, n = Facets(), NEAREST + 4
    e = texts(1)[0]
    for row in range(1, n + 1):
        f.fold(row, e, 1.0)
    cos, rows = np.linspace(0.1, 0.5, n), np.arange(1, n + 1)
    lift = f.lift(cos, rows, e.astype(np.float32))
    assert (lift[:4] == 0).all() and (lift[4:] > 0).all()
    assert (f.lift(np.full(n, 0.3), rows, e.astype(np.float32)) > 0).all()
    order = np.random.default_rng(1).permutation(n)
    np.testing.assert_allclose(
        f.lift(cos[order], rows[order], e.astype(np.float32)), lift[order], atol=1e-7
    )


def test_a_loaded_bank_goes_on_bit_equal_and_a_reset_forgets():
    f, again, e = Facets(), Facets(), texts(30)
    for i, v in enumerate(e):
        f.fold(1 + i % 2, v, 1.0)
    again.load(f.arrays())
    for bank in (f, again):
        bank.fold(3, e[0], 0.7)
        bank.fold(1, e[1], 0.7)
    np.testing.assert_array_equal(f.T, again.T)
    np.testing.assert_array_equal(f.U, again.U)
    f.reset(1)
    assert f.used[1] == 0 and not f.T[1].any() and not f.U[1].any()


def test_what_is_scored_is_what_is_learned_from():
    cards, arms = t.cardset(6), ArmIndex()
    p, rng = Prototypes(CardPrior(1.0, 0.5)), np.random.default_rng(3)
    for _ in range(120):
        r = t.request(t.candidates(cards), t.unit(rng, t.E))
        name = f"a{int(rng.integers(6))}"
        p.fold(only(r, name), arms.add(name), 0.9, 1.0)
    r = t.request(t.candidates(cards), t.unit(rng, t.E))
    own = [p.own(only(r, n), arms.get(n)).mean[0] for n in cards.names]
    np.testing.assert_allclose(p.read(r, arms).mean, own, atol=1e-6)
    loaded = Prototypes(CardPrior(1.0, 0.5))
    loaded.load(p.arrays())
    np.testing.assert_array_equal(p.read(r, arms).mean, loaded.read(r, arms).mean)
