"""What is valued: worked numbers, and a router that is taught it and serves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.errors import ConfigError, TableError
from agentroute.evaluation.tables.reading import load_table
from agentroute.evaluation.tables.targets import Target, efficiency, soft_targets
from agentroute.evaluation.tables.writing import write_table
from tests.evaluation.maketable import row, write

TOKENS, PROCESS = {"a": 300, "b": 100}, {"a": 0.2, "b": 1.0}


def both_right(folder, n=40, **more):
    columns = {"tokens": TOKENS, "process": PROCESS} | more
    made = [row(i, scores={"a": 1.0, "b": 0.9}, **columns) for i in range(n)]
    return write(folder, made)


@pytest.mark.checklist("PR7")
def test_worked_values(tmp_path):
    table = load_table(both_right(tmp_path / "t"))
    # e_0 = 200: u(a) = 200 / 500, u(b) = 200 / 300
    f = Target(correct=0.5, process=0.2, efficient=0.3).taught(table).scores[0]
    assert f == pytest.approx([0.5 + 0.04 + 0.12, 0.45 + 0.2 + 0.2])
    assert soft_targets(f) == pytest.approx(f / f.sum())
    assert Target().taught(table).scores == pytest.approx(table.scores)


@pytest.mark.checklist("PR7")
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(0.1, 10),
)
def test_a_soft_target_is_a_distribution_that_scaling_leaves(rows, times):
    f = np.array(rows)
    p = soft_targets(f)
    assert np.all(p >= 0)
    assert p.sum(axis=1) == pytest.approx(np.ones(len(f)))
    assert soft_targets(f * times) == pytest.approx(p, abs=1e-9)


@pytest.mark.checklist("PR7")
def test_efficiency_is_of_tokens_and_never_of_time(tmp_path):
    slow = load_table(both_right(tmp_path / "slow", latency_s={"a": 0.001, "b": 900.0}))
    fast = load_table(both_right(tmp_path / "fast", latency_s={"a": 900.0, "b": 0.001}))
    only = Target(correct=0.0, efficient=1.0)
    assert np.array_equal(only.taught(slow).scores, only.taught(fast).scores)
    assert efficiency(np.array([0.0, 50.0, 100.0, np.nan]))[[0, 1]] == pytest.approx([1.0, 0.5])


@pytest.mark.checklist("PR7")
def test_what_is_valued_changes_who_is_chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")  # nobody is called
    table = str(both_right(tmp_path / "t"))
    agents = tmp_path / "agents"
    agents.mkdir()
    for name in "ab":
        card = {
            "name": name, "description": f"agent {name}", "skills": ["toy"],
            "entrypoint": "chat", "prompt": "p",
        }  # fmt: skip
        (agents / f"{name}.yaml").write_text(json.dumps(card))

    def chosen(name, *more):
        done = CliRunner().invoke(app, ["train", "knn", table, "--name", name, *more])
        assert done.exit_code == 0, done.output
        line = ["route", "task number 7", "--router", f"{{name: knn, state: {name}}}",
                "--agents", str(agents), "--skill", "toy", "--json"]  # fmt: skip
        said = CliRunner().invoke(app, line)
        assert said.exit_code == 0, (said.output, said.exception)
        return done.output, json.loads(said.stdout)["chosen"]

    assert chosen("right")[1] == ["a"]
    told, who = chosen("lean", "--target", "{correct: 1, efficient: 1}")
    assert who == ["b"]
    assert "target: {correct: 1, process: 0.0, efficient: 1}" in told
    assert "most of what is valued: b 52." in told


@pytest.mark.parametrize(
    "weights", ["{correct: -1}", "{corect: 1}", "{correct: 0}", "{correct: yes}", "1"]
)
def test_weights_that_cannot_be_are_refused(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    line = ["train", "knn", str(both_right(tmp_path / "t")), "--target", weights]
    assert CliRunner().invoke(app, line).exit_code != 0


def test_an_unknown_weight_names_the_near_one():
    with pytest.raises(ConfigError, match="no weight is called 'corect'"):
        Target.of({"corect": 1})


def test_a_column_that_is_not_there_is_named(tmp_path):
    table = load_table(write(tmp_path / "t", [row(i) for i in range(4)]))
    with pytest.raises(TableError, match="no column 'tokens'"):
        Target(efficient=0.1).taught(table)
    with pytest.raises(TableError, match="no column 'process'"):
        Target(process=0.1).taught(table)


def test_the_columns_make_a_round_trip_and_are_checked(tmp_path):
    table = load_table(both_right(tmp_path / "t"))
    write_table(table, tmp_path / "again")
    again = load_table(tmp_path / "again")
    assert np.array_equal(again.tokens, table.tokens)
    assert np.array_equal(again.process, table.process)
    with pytest.raises(TableError, match="process: a value is above 1"):
        load_table(both_right(tmp_path / "bad", process={"a": 1.5}))
