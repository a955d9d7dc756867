"""The kernel of the supervised router: left-out predictions, serving, confidence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.routers.linear.classes import kernel as module
from agentroute.routers.linear.classes.classhead import confidence, joined
from agentroute.routers.linear.classes.kernel import fit_kernel
from agentroute.routers.linear.classes.ngrams import fit_ngrams

WORDS = ["refund", "card", "train", "pasta", "guitar", "chess", "garden", "doctor", "tax", "movie"]


def rows_of(seed, m=40, k=4, d=12):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(m)]
    x = rng.standard_normal((m, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    target = np.eye(k, dtype=np.float32)[rng.integers(k, size=m)]
    return texts, x, target


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_left_out_rows_are_predicted_as_by_a_fit_without_them(seed, held):
    texts, x, target = rows_of(seed)
    grams = fit_ngrams(texts)
    s = grams.matrix(texts)
    _, left_out = fit_kernel(grams, s, x, target, held=held)
    without, none = fit_kernel(grams, s[:-held], x[:-held], target[:-held])
    served = [without.scores(grams.row(t), e) for t, e in zip(texts, x, strict=True)][-held:]
    assert len(none) == 0
    np.testing.assert_allclose(left_out, served, atol=1e-4)


def test_coefficients_solve_the_regularised_system():
    texts, x, target = rows_of(1)
    grams = fit_ngrams(texts)
    kernel, _ = fit_kernel(grams, grams.matrix(texts), x, target)
    fitted = np.array(
        [kernel.scores(grams.row(t), e) for t, e in zip(texts, x, strict=True)]
    )  # K C + 1 / k, and (K + lambda I) C = Y - 1 / k
    np.testing.assert_allclose(fitted + module.LAM * kernel.C, target, atol=1e-4)


def test_a_text_like_no_row_gets_nearly_equal_shares():
    texts, x, target = rows_of(2)
    grams = fit_ngrams(texts)
    kernel, _ = fit_kernel(grams, grams.matrix(texts), x, target)
    far = kernel.scores(grams.row("zzz"), 0 * x[0])
    near = kernel.scores(grams.row(texts[0]), x[0])
    assert np.ptp(near) > 0.3 > np.ptp(far)


@pytest.mark.parametrize("d", [1, 128, 200])
def test_at_most_the_leading_directions_are_kept(d):
    texts, x, target = rows_of(3, d=d)
    grams = fit_ngrams(texts)
    kernel, _ = fit_kernel(grams, grams.matrix(texts), x, target)
    assert kernel.E.shape == (len(x), min(d, module.KEPT))
    np.testing.assert_allclose(kernel.P.T @ kernel.P, np.eye(min(d, module.KEPT)), atol=1e-5)


def test_experts_are_multiplied():
    z, f = np.log(np.float32([[0.7, 0.2, 0.1]])), np.float32([[0.0, 0.5, 0.0]])
    shares = np.exp(joined(z, f))[0]
    assert shares[1] / shares[0] == pytest.approx(2 / 7 * np.exp(0.5 * 10), rel=1e-4)


def test_confidence_sets_the_best_candidate_against_nobody():
    z = np.float32([[9.0, 0.0, 0.0], [0.0, 0.0, 9.0], [3.0, 3.0, 0.0]])
    sure = confidence(z, np.array([0, 1]))
    assert sure[0] > sure[2] > 0.5 > sure[1]
    assert confidence(z[0], np.array([1])) < sure[0]  # the best one is not a candidate
    assert confidence(z[0], np.array([], int)) <= 0.5
