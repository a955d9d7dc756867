import json

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute.bench.teams.recruiting import (
    AGGREGATORS,
    RECRUITERS,
    _joined,
    recruiting_ablation,
)
from agentroute.cli.app import app
from agentroute.errors import UsageError
from agentroute.features.text import HashingEncoder
from tests.evaluation.maketable import row, table, write

E = HashingEncoder(64)


def found(m=240, n=6, k=3):
    rows = recruiting_ablation(table(m, n, flip=0.1), k=k, cuts=2, embedder=E)
    return {(r.recruiter, r.aggregator): r for r in rows}


def test_recruiting_for_the_task_beats_a_fixed_team_where_each_kind_has_its_expert():
    got = found()
    assert set(got) == {(r, a) for r in RECRUITERS for a in AGGREGATORS}
    mine = got["per instance", "A*"].accuracy
    assert mine > got["fixed top-k", "A*"].accuracy + 0.1
    assert mine > got["random", "A*"].accuracy + 0.1
    assert mine > got["per instance", "random"].accuracy + 0.1
    assert all(r.ci95[0] <= r.accuracy <= r.ci95[1] for r in got.values())
    assert recruiting_ablation(table(60, 3), k=2, cuts=1, embedder=E) == recruiting_ablation(
        table(60, 3), k=2, cuts=1, embedder=E
    )


@pytest.mark.parametrize(
    ("weights", "good", "right"),
    [
        ([0.5, 0.3, 0.1], [1, 0, 0], (1 / 3, 1.0, 1.0)),
        ([0.5, 0.3, 0.3], [1, 0, 0], (1 / 3, 1.0, 0.0)),
        ([0.5, 0.3, 0.2], [1, 0, 0], (1 / 3, 1.0, 0.0)),
        ([0.0, 0.0, 0.0], [0, 1, 1], (2 / 3, 0.0, 1.0)),
    ],
)
def test_who_is_believed(weights, good, right):
    got = _joined([0, 1, 2], np.array(weights), np.array(good, bool))
    np.testing.assert_allclose(got, right)


@pytest.mark.checklist("SM8")
def test_the_command_prints_the_nine_rows(tmp_path):
    rows = [row(i, scores={"a": float(i % 2 == 0), "b": float(i % 2), "c": 0.0}) for i in range(60)]
    write(tmp_path / "t", rows, arms=("a", "b", "c"))
    command = ["bench", "recruiting", str(tmp_path / "t"), "--k", "2", "--cuts", "1"]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    got = {(r["recruiter"], r["aggregator"]): r["accuracy"] for r in json.loads(result.stdout)}
    assert len(got) == 9
    assert got["per instance", "A*"] == 1.0 > got["random", "random"]
    words = CliRunner().invoke(app, command).stdout
    assert "per instance" in words and "fixed top-k" in words and "vote" in words


def test_teams_that_cannot_be():
    with pytest.raises(UsageError, match="team of 9"):
        recruiting_ablation(table(20, 3), k=9, embedder=E)
