"""The learned shape on the command line: run, plan, stats, replay, and what others would get."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.cli.app import app

# PARALLEL by A4: four tasks, r 0.75, gamma 0.3.
FAN = [
    Task(id="read", prompt="read the log", skills=("s",)),
    *(
        Task(id=v, prompt=f"what broke, {v}", skills=("s",), depends_on=["read"])
        for v in ("a", "b", "c")
    ),
]
QUALITY = {"hybrid": 0.9, "sequential": 0.7, "parallel": 0.5, "hierarchical": 0.4, "single": 0.2}


async def fill(url, folder, n, exploration=0.5):
    registry = Registry()

    @registry.agent(name="worker", skills=["s"], cost_usd=0.001)
    def worker(call):
        return AgentReply(text=call.task.id)

    async with Orchestrator(
        registry, ledger=url, out=folder,
        topology={"name": "learned", "exploration": exploration},
    ) as orc:  # fmt: skip
        for i in range(n):
            run = await orc.run(FAN, run_id=f"run-{i}")
            await orc.feedback(run.run_id, score=QUALITY[run.topology])


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    url = f"sqlite:///{folder}/a.db"
    asyncio.run(fill(url, folder, 120))
    return url


def said(*words, code=0):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_replay_draws_every_shape_again_as_it_was(ledger):
    found = json.loads(said("replay", "--db", ledger, "--json"))
    assert found["holds"]
    assert found["agreed"] == found["decisions"] >= 240  # a shape and a route at least, each run


@pytest.mark.parametrize("shape", ["hybrid", "single"])
def test_what_another_shape_would_have_got_is_estimated(ledger, tmp_path, shape):
    file = tmp_path / "p.yaml"
    file.write_text(f"topology: {shape}\n")
    found = json.loads(said("replay", "--db", ledger, "--policy", str(file), "--json"))
    gain = found["quality"]
    lo, hi = (gain["logged"] + x for x in gain["ci95"])
    assert gain["rows"] == found["decisions"] == 120
    assert lo - 0.05 <= QUALITY[shape] <= hi + 0.05
    assert abs(gain["predicted"] - QUALITY[shape]) < 0.12
    assert found["cost_usd"]["rows"] == 120


def test_the_rule_and_a_shape_that_nobody_logged(ledger, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("topology: auto\n")
    shown = said("replay", "--db", ledger, "--policy", str(file))
    assert "auto:" in shown
    assert "quality: " in shown
    assert "predicted" in shown


def test_certain_shapes_say_nothing_of_others(tmp_path):
    url = f"sqlite:///{tmp_path}/b.db"
    asyncio.run(fill(url, tmp_path, 12, exploration=0.0))
    file = tmp_path / "p.yaml"
    file.write_text("topology: hybrid\n")
    shown = said("replay", "--db", url, "--policy", str(file))
    assert "cannot be predicted: every logged choice was certain" in shown


def test_stats_say_how_often_single_wins(ledger):
    rows = {
        g["name"]: g
        for g in json.loads(said("stats", "--by", "topology", "--db", ledger, "--json"))["groups"]
    }
    assert sum(g["choices"] for g in rows.values()) == 120
    assert rows["single"]["stood"] == 120
    assert rows["single"]["win_rate"] == rows["single"]["choices"] / 120
    for name, g in rows.items():
        assert g["quality"] == pytest.approx(QUALITY[name])
    assert "single" in said("stats", "--by", "topology", "--db", ledger)


def test_plan_and_run_take_the_topology(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("kind,price\nbike,300\nbike,500\nbell,9\n")
    work = ("report_table", "--topology", "learned", "-i", "path=t.csv")
    assert "what was learned picks the shape" in said("plan", *work)
    made = json.loads(said("run", *work, "--json"))
    row = next(d for d in made["decisions"] if d["kind"] == "topology")
    assert (row["policy"], row["chosen"]) == ("learned", [made["topology"]])
    assert made["status"] == "completed"
    assert "unknown topology" in str(
        CliRunner().invoke(app, ["plan", "report_table", "--topology", "flat"]).exception
    )
