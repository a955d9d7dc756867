import numpy as np
import pytest

from agentroute.evaluation.curves import reference_rewards
from agentroute.evaluation.metrics import (
    TaskScores,
    bootstrap_ci,
    by_task,
    expected_calibration_error,
    recall_precision,
)  # fmt: skip


def test_scores_gather_by_task():
    s = by_task(np.array([0, 2, 0]), np.array([1.0, 0.5, 0.0]), 3)
    assert s.total.tolist() == [1.0, 0.0, 0.5] and s.count.tolist() == [2, 0, 1]
    assert s.mean() == 0.5


def test_the_interval_matches_the_normal_one_and_covers():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        x = (rng.random(200) < 0.3).astype(float)
        lo, hi = bootstrap_ci(TaskScores(x, np.ones(200)), resamples=400)
        se = x.std() / np.sqrt(200)
        assert (lo, hi) == pytest.approx((x.mean() - 1.96 * se, x.mean() + 1.96 * se), abs=0.04)
        hits += lo <= 0.3 <= hi
    assert hits >= 52


def test_repetitions_of_a_task_are_not_independent_evidence():
    rng = np.random.default_rng(0)
    x = (rng.random(50) < 0.5).astype(float)
    once, often = (bootstrap_ci(TaskScores(k * x, np.full(50, float(k)))) for k in (1, 20))
    assert once == pytest.approx(often)


def test_paired_differences_are_tighter_than_their_parts():
    rng = np.random.default_rng(0)
    hard = rng.random(300)
    a, b = (TaskScores((hard < t).astype(float), np.ones(300)) for t in (0.52, 0.5))
    lo, hi = bootstrap_ci(a.minus(b))
    alone = bootstrap_ci(a)
    assert hi - lo < 0.5 * (alone[1] - alone[0])


def test_nothing_played_is_not_a_number():
    empty = TaskScores(np.zeros(3), np.zeros(3))
    assert np.isnan(empty.mean()) and np.isnan(bootstrap_ci(empty)).all()


def test_recall_and_precision_are_none_where_undefined():
    yes, no = np.ones(2, bool), np.zeros(2, bool)
    assert recall_precision(no, no) == (None, None)
    assert recall_precision(yes, np.array([True, False])) == (1.0, 0.5)
    assert recall_precision(no, yes) == (0.0, None)


def test_calibration_by_hand():
    assert expected_calibration_error(
        np.array([0.95, 0.05]), np.array([1.0, 0.0])
    ) == pytest.approx(0.05)


def test_reference_rewards_in_hindsight():
    q = np.array([[1.0, 0], [1, 0], [0, 1], [1, 0.5]])
    kinds = [{"k": "x"}, {"k": "x"}, {"k": "y"}, {"k": "z"}]
    refs = reference_rewards(q, kinds)
    assert refs["best_single"].tolist() == [1, 1, 0, 1]
    assert refs["best_per_feature"].tolist() == [1, 1, 1, 1] == refs["oracle"].tolist()
    assert refs["uniform"].tolist() == [0.5, 0.5, 0.5, 0.75]
