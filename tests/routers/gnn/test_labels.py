import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.model.tasks import Task
from agentroute.routers.gnn.labels import hard_labels, kl_divergence, soft_labels
from agentroute.routers.gnn.means import KAPPA, ShrunkenMeans


@pytest.mark.checklist("AR3")
def test_soft_labels_by_hand():
    # e^(1/.25) = 54.598, e^(.5/.25) = 7.389, e^0 = 1: sum 62.987
    p = soft_labels(np.array([1.0, 0.5, 0.0]))
    expected = 0.999 * np.array([54.59815, 7.389056, 1.0]) / 62.987206 + 0.001 / 3
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.checklist("AR3")
def test_all_zero_is_uniform_and_no_mass_is_ever_zero():
    np.testing.assert_allclose(soft_labels(np.zeros(5)), 0.2)
    p = soft_labels(np.array([1.0, *[0.0] * 99]), tau=0.01)
    assert p.min() == pytest.approx(1e-3 / 100)


@pytest.mark.checklist("AR3")
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_soft_labels_are_a_distribution_in_the_order_of_the_scores(f):
    p = soft_labels(np.array(f))
    assert p.sum() == pytest.approx(1, abs=1e-9)
    assert (np.diff(p[np.argsort(f)]) >= -1e-12).all()


def test_an_agent_that_was_not_observed_has_no_mass():
    for labels in (soft_labels, hard_labels):
        p = labels(np.array([0.5, np.nan, 0.5]))
        np.testing.assert_allclose(p, [0.5, 0.0, 0.5])


def test_hard_labels_share_among_ties():
    np.testing.assert_allclose(hard_labels(np.array([1.0, 1.0, 0.0]), epsilon=0.0), [0.5, 0.5, 0])


def test_kl_by_hand():
    kl = kl_divergence(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    assert kl == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert kl_divergence(np.array([0.0, 1.0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))


def means():
    tasks = [Task(prompt="x", features={"k": v}) for v in "aab"]
    f = np.array([[1.0, 0.0], [1.0, np.nan], [0.0, 1.0]])
    return tasks, f, ShrunkenMeans.learn(tasks, f)


def test_means_shrink_in_levels_by_hand():
    tasks, _, m = means()
    grand = 3 / 5
    overall = (2 + KAPPA * grand) / (3 + KAPPA)
    assert m.expected(tasks[0])[0] == pytest.approx((2 + KAPPA * overall) / (2 + KAPPA))


def test_a_value_never_seen_is_the_overall_mean():
    _, _, m = means()
    np.testing.assert_allclose(m.expected(Task(prompt="x", features={"k": "z"})), m.overall())
    np.testing.assert_allclose(m.expected(Task(prompt="x")), m.overall())


def test_leaving_a_row_out_is_learning_without_it():
    tasks, f, m = means()
    for i in range(3):
        keep = [j for j in range(3) if j != i]
        without = ShrunkenMeans.learn([tasks[j] for j in keep], f[keep])
        np.testing.assert_allclose(m.expected(tasks[i], f[i]), without.expected(tasks[i]))
