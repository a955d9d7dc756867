"""The claims on real tables that need ten orders: behind ``slow``."""

from pathlib import Path

import pytest

from agentroute.evaluation.runner import EvalSpec, evaluate

DATA = Path(__file__).parents[2] / "examples" / "data"
CHEAP = ("random", "best_single", "best_per_feature", "oracle")


def coderouterbench(seeds):
    return EvalSpec(
        train=DATA / "coderouterbench", test=DATA / "coderouterbench", mode="bandit", seeds=seeds,
        routers=["uniform", "linucb"], train_split=["train"], test_split=["val"], baselines=CHEAP,
    )  # fmt: skip


@pytest.mark.slow
def test_linucb_learns_from_bandit_feedback_on_real_outcomes():
    """Ten orders: above uniform and the best single arm, at most half a point below per feature."""
    result = evaluate(coderouterbench(10))
    linucb, uniform = (result.routers[r] for r in ("linucb", "uniform"))
    assert linucb.differences["best_single"][1] > 0
    assert linucb.ci95[0] > uniform.ci95[1]
    assert linucb.score >= result.baselines["best_per_feature"] - 0.005
    assert len(set(linucb.per_seed)) > 1


@pytest.mark.slow
def test_linucb_learns_150_agents_in_one_pass_with_cards_as_prior():
    """Ten orders (ten minutes), default exploration: 0.88, and 0.82 while learning."""
    folder = DATA / "clinc150"
    spec = EvalSpec(
        train=folder, test=folder, mode="bandit", seeds=10, routers=["linucb"], baselines=CHEAP,
        train_split=["train"], test_split=["val"],
    )  # fmt: skip
    linucb = evaluate(spec).routers["linucb"]
    assert linucb.score >= 0.88
    assert linucb.learning >= 0.82
