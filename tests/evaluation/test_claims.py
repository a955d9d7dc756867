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
