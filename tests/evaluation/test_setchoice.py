import json

import pytest
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.errors import ConfigError, UsageError
from agentroute.evaluation.runner import EvalSpec
from agentroute.evaluation.setchoice import set_choices
from agentroute.features.text import HashingEncoder
from tests.evaluation.maketable import row, table, write

METRICS = {"hit", "exact", "precision", "recall", "f1", "mean_size", "oos_f1", "onboarding",
           "reward", "recall@1", "recall@3"}  # fmt: skip
TOPICS = ("refund my order please", "fix this python traceback", "book a flight to Rome")


def intents(folder, m=90):
    arms = ("refunds", "python", "flights")
    rows = [
        row(
            i, prompt=f"{TOPICS[i % 3]} {i}", features={}, abstain=i % 9 == 8,
            scores={a: float(j == i % 3 and i % 9 != 8) for j, a in enumerate(arms)},
        )
        for i in range(m)
    ]  # fmt: skip
    return write(folder, rows, arms=arms)


def printed(folder, *more):
    command = ["eval", "--train", str(folder), "--holdout", "0.3", "--embedder", "hashing"]
    return CliRunner().invoke(app, [*command, "--sets", *more])


@pytest.mark.checklist("TC8")
def test_eval_prints_the_set_metrics(tmp_path):
    folder = intents(tmp_path / "t")
    result = printed(folder, "--router", "reasoning", "--router", "knn", "--json")
    assert result.exit_code == 0, result.output
    sets = json.loads(result.stdout)["sets"]
    assert set(sets) == {"reasoning", "knn"}
    assert all(set(m) == METRICS for m in sets.values())
    assert sets["knn"]["hit"] == 1.0 and sets["knn"]["onboarding"] is None
    assert sets["knn"]["recall@3"] == 1.0 >= sets["knn"]["recall@1"] > 0.9
    words = printed(folder, "--router", "knn").stdout
    assert "mean_size" in words and "onboarding" in words


@pytest.mark.checklist("TC8")
def test_withheld_arms_are_the_newcomers(tmp_path):
    folder = intents(tmp_path / "t")
    result = printed(folder, "--router", "reasoning", "--withhold", "1", "--json")
    assert result.exit_code == 0, result.output
    got = json.loads(result.stdout)["sets"]["reasoning"]["onboarding"]
    assert got is not None and 0.0 <= got <= 1.0


@pytest.mark.checklist("TC9")
def test_two_settings_of_one_router_side_by_side(tmp_path):
    specs = ("{name: reasoning, label: with, reason: true}",
             "{name: reasoning, label: without, reason: false}")  # fmt: skip
    result = printed(
        intents(tmp_path / "t"), "--router", specs[0], "--router", specs[1], "--json"
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["routers"]) == {"with", "without"}
    bad = printed(intents(tmp_path / "u"), "--router", "{nome: knn}")
    assert isinstance(bad.exception, ConfigError) and "name" in str(bad.exception)


def test_sets_that_cannot_be_measured():
    spec = EvalSpec(train=table(), holdout=0.3, embedder=HashingEncoder(64), routers=("knn",))
    with pytest.raises(UsageError, match="withheld"):
        set_choices(spec, withhold=2)
    bandit = EvalSpec(test=table(), mode="bandit", embedder=HashingEncoder(64), routers=("knn",))
    with pytest.raises(UsageError, match="full mode"):
        set_choices(bandit)
