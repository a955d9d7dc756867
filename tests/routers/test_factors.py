"""Rows of young arms: whatever is put in and dropped, each slot loses what its own rows say."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.routers.linucb.factors import Factors

D, R = 6, 5
STEPS = st.lists(
    st.one_of(st.just("add"), st.just("reload"), st.tuples(st.just("put"), st.integers(0, 9)),
              st.tuples(st.just("drop"), st.integers(0, 9))),
    max_size=60,
)  # fmt: skip


@given(steps=STEPS, seed=st.integers(0, 9))
@settings(deadline=None)
def test_each_slot_loses_the_squares_of_its_own_rows(steps, seed):
    rng, f, own = np.random.default_rng(seed), Factors(D, R), []
    for step in steps:
        if step == "add":
            assert f.add() == len(own)
            own.append([])
        elif step == "reload":
            x = rng.standard_normal(D).astype(np.float32)
            before, again = f.lost(x), Factors(D, R)
            again.load(f.arrays(), len(own), lambda slot: np.array(own[slot]))
            np.testing.assert_array_equal(again.lost(x), before)  # to the last bit
            f = again
        elif own and step[0] == "put" and len(own[slot := step[1] % len(own)]) < R:
            own[slot].append(rng.standard_normal(D).astype(np.float32))
            f.put(slot, own[slot][-1])
        elif own and step[0] == "drop":
            slot = step[1] % len(own)
            assert f.drop(slot) == len(own) - 1
            own[slot] = own[-1]
            own.pop()
        check(f, own, rng)


def check(f, own, rng):
    X = rng.standard_normal((D, 3)).astype(np.float32)
    want = np.array([[sum(float(u @ x) ** 2 for u in rows) for x in X.T] for rows in own])
    want = want.reshape(len(own), 3)
    assert f.size == len(own) and f.n == sum(map(len, own))
    np.testing.assert_allclose(f.lost(X[:, 0].copy()), want[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(f.lost_by_all(X), want, rtol=1e-4, atol=1e-4)
    some = rng.permutation(len(own))[:2]
    np.testing.assert_allclose(f.lost_by(X[:, 1].copy(), some), want[some, 1], rtol=1e-4, atol=1e-5)
    assert [f.nbytes(i) for i in range(len(own))] == [4 * D * len(rows) for rows in own]


def test_a_longer_x_keeps_what_was_lost():
    rng, f = np.random.default_rng(0), Factors(D, R)
    for _ in range(3):
        slot = f.add()
        for _ in range(R - slot):
            f.put(slot, rng.standard_normal(D))
    x = rng.standard_normal(D).astype(np.float32)
    before = f.lost(x)
    f.widen(D + 4, R + 2)
    longer = np.concatenate([x, np.ones(4, np.float32)])
    np.testing.assert_allclose(f.lost(longer), before, rtol=1e-6)
    f.put(2, np.ones(D + 4))
    assert f.lost(longer)[2] > before[2]
