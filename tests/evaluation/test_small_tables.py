"""Tables too small or too plain for statistics are scored all the same, in finite numbers."""

import pytest

from agentroute.evaluation.baselines.reference import BASELINE_NAMES
from agentroute.evaluation.runner import EvalSpec, evaluate
from agentroute.features.text import HashingEncoder
from tests.evaluation.maketable import row, write

PLAIN = {
    "four rows": [row(i, scores={"a": 0.1 * i, "b": 0.5}) for i in range(4)],
    "single letters": [row(i, prompt="a b", scores={"a": 0.3, "b": i % 2}) for i in range(12)],
    "no letters": [row(i, prompt="?!") for i in range(12)],
    "no text, no features": [row(i, prompt="", features={}) for i in range(12)],
    "nobody scores": [row(i, scores={"a": 0.0, "b": 0.0}) for i in range(12)],
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("mode", ["full", "bandit"])
def test_every_baseline_scores_it(tmp_path, name, mode):
    write(tmp_path / "t", PLAIN[name])
    spec = EvalSpec(
        train=tmp_path / "t", routers=["linucb"], mode=mode, holdout=0.3, cuts=2, seeds=2,
        embedder=HashingEncoder(16),
    )  # fmt: skip
    result = evaluate(spec)
    assert set(result.baselines) == set(BASELINE_NAMES)
    scores = [*result.baselines.values(), result.routers["linucb"].score]
    assert all(0.0 <= s <= 1.0 for s in scores)


def test_many_arms_of_which_one_is_ever_good(tmp_path):
    rows = [row(i, scores={"a": 1.0, "b": 0.0, "c": 0.0}) for i in range(12)]
    write(tmp_path / "t", rows, arms=("a", "b", "c"))
    spec = EvalSpec(
        train=tmp_path / "t", routers=["linucb"], holdout=0.3, embedder=HashingEncoder(16)
    )
    assert evaluate(spec).baselines["linear"] == 1.0
