"""``bench assign``: items given to agents together are sooner done, and their rows say so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute.bench.teams.assigning import assign_goals, assigning
from agentroute.cli.app import app
from agentroute.errors import UsageError


def test_it_is_shown_as_json_and_as_a_table():
    line = ["bench", "assign", "--wait", "0.2", "--seeds", "2", "--items", "12"]
    done = CliRunner().invoke(app, [*line, "--json"])
    found = json.loads(done.stdout)
    assert [r["way"] for r in found["rows"]] == ["alone", "queued", "assigned"]
    assert len(found["goals"]) == 3
    done = CliRunner().invoke(app, line)
    assert "worth over alone" in done.output
    done = CliRunner().invoke(app, [*line, "--wait", "2"])
    assert isinstance(done.exception, UsageError)


@pytest.mark.slow
def test_over_ten_worlds_together_is_sooner_and_worth_more():
    rows = assigning()
    assert all(g.ok for g in assign_goals(rows)), assign_goals(rows)
    alone, by_wait = rows[0], rows[2::2]
    assert all(np.mean(r.quality) <= np.mean(alone.quality) for r in by_wait)  # what it costs
