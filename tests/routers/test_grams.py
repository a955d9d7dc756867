"""An arm's A and inverse: what they are does not depend on how they are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.routers.linucb.grams import Grams, most_rows
from tests.routers.tools import unit


@given(n=st.integers(0, 12), d=st.integers(1, 40), seed=st.integers(0, 9))
def test_young_and_grown_arms_are_the_sums_they_stand_for(n, d, seed):
    rng, g, lam = np.random.default_rng(seed), Grams(d, lam=0.5), 0.5
    g.add()
    A = lam * np.eye(d)
    for _ in range(n):
        x, w = unit(rng, d).astype(float), float(rng.uniform(0.1, 1))
        inv = np.linalg.inv(A)
        v = inv @ x
        u, step, _ = g.step(0, x, w)
        np.testing.assert_allclose(step, v / (1 / w + x @ v), atol=1e-9)
        A += w * np.outer(x, x)
        np.testing.assert_allclose(inv - np.outer(u, u), np.linalg.inv(A), atol=1e-9)
    np.testing.assert_allclose(g.A(0), A, atol=1e-12)
    np.testing.assert_allclose(g.inv(0), np.linalg.inv(A), atol=1e-9)
    for matrix in (g.A(0), g.inv(0)):
        np.testing.assert_array_equal(matrix, matrix.T)


def test_a_young_arm_takes_its_rows_and_a_grown_one_its_matrices():
    g, rng, d = Grams(256, lam=2.0), np.random.default_rng(0), 256
    g.add()
    assert g.nbytes(0) == 0
    for _ in range(most_rows(d)):
        g.step(0, unit(rng, d), 1.0)
    assert g.nbytes(0) == 2 * 8 * most_rows(d) * d
    g.step(0, unit(rng, d), 1.0)
    assert 0 <= g.nbytes(0) - 2 * 8 * d * d <= 2 * 8 * most_rows(d) * d


@pytest.mark.parametrize("n", [3, most_rows(40), 30])
def test_weighted_arms_go_on_bit_equal_after_a_load(n):
    """Also where a weight is no power of two, and where a loaded arm is saved unread."""
    rng, g = np.random.default_rng(1), Grams(40, lam=2.0)
    again, third = Grams(40, lam=2.0), Grams(40, lam=2.0)
    g.add()
    for _ in range(n):
        g.step(0, unit(rng, 40), 0.3)
    again.load(g.arrays())
    third.load(again.arrays())
    for _ in range(20):
        x = unit(rng, 40)
        ours = g.step(0, x, 0.7)
        for other in (again, third):
            for a, b in zip(other.step(0, x, 0.7), ours, strict=True):
                np.testing.assert_array_equal(a, b)
    for other in (again, third):
        np.testing.assert_array_equal(other.A(0), g.A(0))
        np.testing.assert_array_equal(other.inv(0), g.inv(0))
