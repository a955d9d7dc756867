"""Sets of agents: worked numbers for the reward and the metrics; recall of the prefilter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agentroute.choosing.sets import agent_set, recall_at, set_metrics, set_reward


@pytest.mark.checklist("TC7")
@pytest.mark.parametrize(
    ("chosen", "wanted", "expected"),
    [
        ("a", "a", 1.0),
        ("ab", "a", 0.5 * 0.5 + 0.5 * 1.0 - 0.1),
        ("a", "ab", 0.5 * 1.0 + 0.5 * 0.5),
        ("abc", "d", -0.2),
        ("", "a", 0.0),
        ("", "", 0.0),
    ],
)
def test_set_reward_is_the_papers_formula(chosen, wanted, expected):
    assert set_reward(chosen, wanted, alpha=0.5, beta=0.1) == pytest.approx(expected)


@pytest.mark.checklist("TC7")
def test_alpha_and_beta_count():
    assert set_reward("ab", "a", alpha=1.0, beta=0.0) == 0.5
    assert set_reward("ab", "a", alpha=0.0, beta=0.25) == 0.75


@pytest.mark.checklist("TC8")
def test_metrics_by_hand():
    chosen = [{"a"}, {"a", "b"}, {"c"}, set(), {"d"}, set()]
    wanted = [{"a"}, {"b"}, {"a"}, set(), set(), {"e"}]
    m = set_metrics(chosen, wanted, unseen={"e", "b"})
    assert m["hit"] == 2 / 4 and m["exact"] == 1 / 4
    assert m["precision"] == 2 / 4 and m["recall"] == 2 / 4 and m["f1"] == 0.5
    assert m["mean_size"] == (1 + 2 + 1 + 0) / 4
    assert m["oos_f1"] == 0.5  # one of two refusals is right, one of two oos tasks refused
    assert m["onboarding"] == 1 / 2


@pytest.mark.checklist("TC8")
def test_f1_is_between_precision_and_recall():
    """One of two right, one of one found: 2 * 0.5 * 1 / 1.5."""
    m = set_metrics([{"a", "b"}], [{"a"}])
    assert (m["precision"], m["recall"]) == (0.5, 1.0)
    assert m["f1"] == pytest.approx(2 / 3)


def test_what_nothing_asks_for_is_nan():
    m = set_metrics([{"a"}], [{"a"}])
    assert m["hit"] == 1.0 and math.isnan(m["onboarding"]) and math.isnan(m["oos_f1"])
    assert math.isnan(set_metrics([set()], [set()])["hit"])


def test_agent_set_keeps_who_is_near_the_best():
    mean = np.array([0.5, 0.58, np.nan, 0.29, 0.49, 0.55])
    assert agent_set(mean, tau_in=0.3, delta=0.1, cap=3).tolist() == [1, 5, 0]
    assert agent_set(mean, tau_in=0.3, delta=0.1, cap=9).tolist() == [1, 5, 0, 4]
    assert agent_set(mean, tau_in=0.6).tolist() == []
    assert agent_set(np.array([np.nan])).tolist() == []


def test_recall_at_m():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
    wanted = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert recall_at(scores, wanted, 1) == 0.5
    assert recall_at(scores, wanted, 2) == recall_at(scores, wanted, 9) == 1.0
