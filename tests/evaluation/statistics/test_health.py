"""What ``doctor`` says of learning, on ledgers that runs wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.evaluation.statistics.health import health
from agentroute.ledger import Ledger

RUNS = 40


def registry():
    registry = Registry()
    for name in ("good", "bad"):

        @registry.agent(name=name, skills=["work"])
        async def worker(call):
            """Works."""
            return "done"

    return registry


async def findings(tmp_path, *, judged, now=None, **options):
    url = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry(), ledger=url, out=tmp_path, **options) as orc:
        for i in range(RUNS):
            run = await orc.run(Task(prompt=f"work {i}", skills=("work",)), seed=i)
            if judged:
                who = run.decisions[-1].chosen[0]
                await orc.feedback(run.run_id, score=0.9 if who == "good" else 0.1)
    with Ledger.open(url, read_only=True) as ledger:
        return {f.what: f for f in health(ledger, now=now)}


async def test_a_ledger_that_can_be_learned_from_is_well(tmp_path):
    found = await findings(tmp_path, judged=True, exploration=0.2)
    assert found["feedback"].state == "ok" and "100%" in found["feedback"].detail
    assert found["exploration"].state == "ok" and found["clock"].state == "ok"
    assert f"over {RUNS} judged choices" in found["calibration"].detail


async def test_no_feedback_no_exploration_and_who_never_wins_are_noted(tmp_path):
    router = {"name": "fixed_best", "agent": "good"}
    found = await findings(tmp_path, judged=False, router=router, exploration=0.0)
    assert found["feedback"].state == "note" and "agentroute feedback" in found["feedback"].detail
    assert found["exploration"].state == "note" and "100%" in found["exploration"].detail
    assert found["agents tried"].state == "note" and "bad" in found["agents tried"].detail
    assert "are needed" in found["calibration"].detail


async def test_a_clock_that_stands_in_the_future_is_noted(tmp_path):
    past = datetime.now(UTC) - timedelta(hours=1)
    found = await findings(tmp_path, judged=False, now=past)
    assert found["clock"].state == "note" and "in the future" in found["clock"].detail


async def test_doctor_shows_it(tmp_path, monkeypatch):
    await findings(tmp_path, judged=True)
    monkeypatch.setenv("AGENTROUTE_DB", f"sqlite:///{tmp_path}/a.db")
    rows = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert {"feedback", "calibration", "clock"} <= {r["what"] for r in rows}
    with Ledger.open(f"sqlite:///{tmp_path}/empty.db") as ledger:
        assert health(ledger) == ()
