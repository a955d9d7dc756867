"""``replay --policy`` for what is many choices in one: how many were asked, and who together."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app

QUALITY = {"ann": 0.9, "bob": 0.5, "cy": 0.1}
COST = {"ann": 0.003, "bob": 0.001, "cy": 0.002}


def registry():
    made = Registry()

    def agent(name):
        async def act(call):
            return "yes"

        act.__name__, act.__doc__ = name, f"{name} says yes or no."
        made.agent(skills=["s"], cost_usd=COST[name])(act)

    for name in QUALITY:
        agent(name)
    return made


async def fill(url, folder, n, score, **settings):
    settings = {"exploration": 0.6, **settings}
    async with Orchestrator(registry(), ledger=url, out=folder, **settings) as orc:
        for i in range(n):
            task = Task(prompt=f"yes or no, {i % 7}?", skills=("s",))
            run = await orc.run(task, run_id=f"r{i}")
            await orc.feedback(run.run_id, score=score(run))


def told(url, folder, policy):
    file = folder / "p.yaml"
    file.write_text(policy)
    result = CliRunner().invoke(app, ["replay", "--db", url, "--policy", str(file), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def holds(gain, truth, within):
    lo, hi = (gain["logged"] + x for x in gain["ci95"])
    assert lo - within <= truth <= hi + within
    assert gain["predicted"] == pytest.approx(truth, abs=3 * within)


@pytest.fixture(scope="module")
def depths(tmp_path_factory):
    """Two that agree; three in ten agreements are audited by a third, and users like that."""
    folder = tmp_path_factory.mktemp("depths")
    url = f"sqlite:///{folder}/a.db"
    sigma = {"name": "sigma", "probes": 2, "audit": 0.3}
    asyncio.run(fill(url, folder, 150, lambda run: 0.4 + 0.4 * (run.usage.calls > 2), depth=sigma))
    return url


@pytest.mark.parametrize("audit", [0.0, 0.9])
def test_another_audit_is_estimated_from_what_was_logged(depths, tmp_path, audit):
    found = told(depths, tmp_path, f"depth: {{name: sigma, probes: 2, audit: {audit}}}\n")
    assert found["decisions"] == found["quality"]["rows"] == 150
    holds(found["quality"], 0.4 + 0.4 * audit, 0.04)
    holds(found["cost_usd"], 0.004 + 0.002 * audit, 0.0002)


def test_the_policy_that_logged_agrees_with_its_own_mean(depths, tmp_path):
    found = told(depths, tmp_path, "depth: {name: sigma, probes: 2, audit: 0.3}\n")
    assert found["quality"]["difference"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("policy", ["one", "{name: fixed, k: 3}"])
def test_a_depth_that_was_never_possible_is_refused(depths, tmp_path, policy):
    found = told(depths, tmp_path, f"depth: {policy}\n")
    assert "could not have been logged" in found["quality"]
    assert found["agreed"] == 0


def test_without_steps_there_is_nothing_to_weigh(tmp_path):
    url = f"sqlite:///{tmp_path}/b.db"
    asyncio.run(fill(url, tmp_path, 5, lambda run: 0.5))
    found = told(url, tmp_path, "depth: {name: sigma, probes: 2}\n")
    assert found["left_out"] == {"no step was decided by the answers": 5}
    assert found["quality"] == "nothing is known of what came of them"


def test_the_teams_of_another_router_are_estimated_as_a_whole(tmp_path):
    url = f"sqlite:///{tmp_path}/t.db"

    def score(run):
        team = next(d.chosen for d in run.decisions if d.kind == "route")
        return sum(QUALITY[a] for a in team) / len(team)

    asyncio.run(fill(url, tmp_path, 150, score, depth={"name": "fixed", "k": 2}, router="uniform"))
    found = told(url, tmp_path, "router: {name: cheapest, exploration: 0}\n")
    holds(found["teams"], 0.3, 0.06)  # bob and cy
    file = tmp_path / "p.yaml"
    shown = CliRunner().invoke(app, ["replay", "--db", url, "--policy", str(file)]).stdout
    assert "quality of a team: " in shown


def test_teams_that_were_certain_are_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/c.db"
    certain = {"depth": {"name": "fixed", "k": 2}, "exploration": 0.0}
    asyncio.run(fill(url, tmp_path, 12, lambda run: 0.5, **certain))
    found = told(url, tmp_path, "router: {name: cheapest, exploration: 0}\n")
    assert "every logged choice was certain" in found["teams"]
