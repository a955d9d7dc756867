import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.linucb.grams import most_rows
from agentroute.routers.linucb.widths import Widths


def unit(rng, d):
    x = rng.standard_normal(d)
    return x / np.linalg.norm(x)


def exact(bank, x, rows):
    return np.array([x @ np.linalg.solve(bank.A(row), x) for row in rows])


def served(bank, x, rows):
    return bank.w2(x.astype(np.float32), np.asarray(rows))


STEPS = st.lists(
    st.one_of(
        st.just("add"),
        st.tuples(st.just("update"), st.integers(0, 5), st.integers(1, 12)),
        st.tuples(st.just("reset"), st.integers(0, 5)),
        st.tuples(st.just("forget"), st.integers(0, 5)),
        st.just("widen"),
        st.just("reload"),
        st.just("ask"),
    ),
    max_size=25,
)


@given(steps=STEPS, d=st.integers(1, 40), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_to_arms_their_widths_are_those_of_a_direct_solve(steps, d, seed):
    rng, bank = np.random.default_rng(seed), ArmBank(d, lam=2.0)
    bank.add()
    for step in steps:
        row = 1 + step[1] % (bank.size - 1) if isinstance(step, tuple) else 0
        if step == "add":
            bank.add()
        elif step == "widen":
            bank.widen(bank.d + 5)
        elif step == "reload":
            again = ArmBank(bank.d, lam=2.0)
            again.load(bank.arrays())
            bank = again
        elif step == "ask":
            check(bank, unit(rng, bank.d), rng)
        elif step[0] == "reset":
            bank.reset(row)
        else:
            for _ in range(step[2] if step[0] == "update" else 1):
                gamma = 0.9 if step[0] == "forget" else 1.0
                weight = float(rng.uniform(0.1, 1))
                bank.update(row, unit(rng, bank.d), rng.random(), weight=weight, gamma=gamma)
    check(bank, unit(rng, bank.d), rng)


def check(bank, x, rng):
    rows = np.arange(bank.size)
    want = exact(bank, x, rows)
    np.testing.assert_allclose(served(bank, x, rows), want, atol=1e-6)
    one = rng.permutation(rows)[: max(1, bank.size // 3)]  # gathered where they are few
    np.testing.assert_allclose(served(bank, x, one), want[one], atol=1e-6)


@given(k=st.integers(0, 4), seed=st.integers(0, 9))
def test_the_mean_of_one_arm_is_that_of_all(k, seed):
    rng, bank = np.random.default_rng(seed), ArmBank(12, k, lam=1.0)
    for _ in range(4):
        row = bank.add()
        for _ in range(row):
            z = rng.standard_normal(k) if k else None
            bank.update(row, unit(rng, 12), rng.random(), z=z)
    x, z = unit(rng, 12), rng.standard_normal((5, k)) if k else None
    p = bank.predict(x, z, np.arange(5))
    means = p.own + (0.0 if p.shared is None else p.shared)
    one = [bank.mean(x, None if z is None else z[row], row) for row in range(5)]
    np.testing.assert_allclose(one, means, atol=1e-6)


def test_an_arm_grows_once_its_factors_are_full():
    rng, bank = np.random.default_rng(0), ArmBank(64, lam=2.0)
    bank.add()
    w = bank.widths
    assert most_rows(64) == 8
    for i in range(9):
        assert w.nbytes(1) == 4 * i * 64
        bank.update(1, unit(rng, 64), 0.5)
        assert w.grown == int(i == 8)
    assert w.nbytes(1) == 4 * 64 * 65 // 2


def test_an_untouched_arm_takes_no_bytes_of_its_own_in_a_triangle():
    w = Widths(272, lam=1.0)
    for _ in range(1_000):
        w.add()
    assert w.P.nbytes == 0
    x = unit(np.random.default_rng(1), 272).astype(np.float32)
    np.testing.assert_allclose(w.of(x, np.arange(1_001)), 1.0, rtol=1e-6)


def test_a_loaded_bank_serves_bit_equal_and_goes_on_so():
    rng, bank = np.random.default_rng(3), ArmBank(20, lam=1.0)
    for n in (0, 3, 50, 2, 9):
        row = bank.add()
        for _ in range(n):
            bank.update(row, unit(rng, 20), rng.random())
    bank.reset(3)
    again = ArmBank(20, lam=1.0)
    again.load(bank.arrays())
    for _ in range(30):
        x, row = unit(rng, 20), int(rng.integers(1, 6))
        rows = np.arange(6)
        np.testing.assert_array_equal(served(bank, x, rows), served(again, x, rows))
        bank.update(row, x, 0.5)
        again.update(row, x, 0.5)


@pytest.mark.parametrize("d", [1, 2, 3, 8, 9])
def test_wrapped_diagonals_hold_every_pair_once(d):
    w = Widths(d, lam=1.0)
    pairs = {tuple(sorted(divmod(int(f), d))) for f in w._flat}
    assert len(pairs) == w.m == d * (d + 1) // 2
    assert w._two.sum() == d * d
