"""The sweep over alpha on small worlds, through the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute.bench.teams.rounds import rounds_goals, sweep
from agentroute.cli.app import app
from agentroute.evaluation.worlds.hops import HopWorld, topic_of


@pytest.mark.slow
@pytest.mark.checklist("R1-4", "R1-8", simulated=True)
def test_a_larger_alpha_is_not_dearer_and_hops_take_calls():
    rows = sweep((0.0, 0.5, 1.0), seeds=10, tasks=30)
    assert all(g.ok for g in rounds_goals(rows)), rounds_goals(rows)
    assert rows[0].cost_usd.shape == (10,)


@pytest.mark.checklist("R1-4")
def test_the_command_gives_a_table_and_its_exit_code_says_whether_the_goals_hold():
    line = ["bench", "rounds", "--alpha", "0", "--alpha", "1", "--seeds", "2", "--tasks", "9"]
    done = CliRunner().invoke(app, [*line, "--json"])
    said = json.loads(done.output)
    assert [r["alpha"] for r in said["rows"]] == [0.0, 1.0]
    assert done.exit_code == (0 if all(g["ok"] for g in said["goals"]) else 1)
    shown = CliRunner().invoke(app, line).output
    assert "solved x 100" in shown
    assert "(simulated)" in shown


@pytest.mark.parametrize("alphas", [["0"], ["0", "1.5"]])
def test_one_alpha_or_one_that_cannot_be_is_refused(alphas):
    line = ["bench", "rounds", *(w for a in alphas for w in ("--alpha", a))]
    assert "two alphas or more" in str(CliRunner().invoke(app, line).exception)


def test_the_world_is_of_its_seed_and_each_question_of_one_topic():
    first, again, other = HopWorld(3), HopWorld(3), HopWorld(4)
    assert first.tasks(20)[7].prompt == again.tasks(20)[7].prompt
    assert not np.array_equal(first.strength, other.strength)
    assert first.able(0, 0) == pytest.approx(first.able(0, 1) + 0.2)
    for task in first.tasks(30):
        topics = [topic_of(q) for q in task.params["questions"]]
        assert len(set(topics)) == len(topics) in (1, 2, 3)
