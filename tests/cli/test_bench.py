"""How goals are shown: limits in both directions, information without one, exit 1 on a miss."""

import pytest
import typer

from agentroute.bench.goals import Goal
from agentroute.cli.measure import goals, show


def test_a_met_goal_and_a_line_of_information(capsys):
    rows = goals(lambda: [Goal("fast", 3.0, 5.0, "us"), Goal("said", 7.0, None, "x")])
    show("t", rows, as_json=False)
    out = capsys.readouterr().out
    assert "<= 5" in out
    assert "7 x" in out


def test_a_missed_goal_exits_1(capsys):
    rows = goals(lambda: [Goal("times", 3.0, 25.0, "x", at_most=False)])
    with pytest.raises(typer.Exit) as e:
        show("t", rows, as_json=False)
    assert e.value.exit_code == 1
    out = capsys.readouterr().out
    assert "MISSED" in out
    assert ">= 25" in out
