"""``stats``, on runs that were made through the front door."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Task
from agentroute.cli.app import app
from agentroute.errors import LedgerError, UsageError
from tests.ledger.shop import registry

RUNS = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The ledger's URL, and the results of the runs, for counting again."""
    folder = tmp_path_factory.mktemp("stats")
    return asyncio.run(make(f"sqlite:///{folder}/a.db", folder))


async def make(url, folder):
    runs = []
    async with Orchestrator(registry(), ledger=url, out=folder, exploration=0.2) as orc:
        for i in range(RUNS):
            task = Task(prompt=f"Refund order {i}", skills=("refunds",))
            run = await orc.run(task, run_id=f"r{i}", seed=i)
            who = run.decisions[-1].chosen[0]
            await orc.feedback(run.run_id, score=0.9 if who == "billing" else 0.3)
            await orc.feedback(run.run_id, score=0.0)  # a second word teaches nothing
            runs.append(run)
        runs.append(await orc.run(Task(prompt="Write to Ann", skills=("mail",)), run_id="m"))
    return url, runs


def said(url, *args):
    done = CliRunner().invoke(app, ["stats", "--db", url, *args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def groups(url, *args):
    found = json.loads(said(url, "--json", *args))
    return {g["name"]: g for g in found["groups"]}, found["learning"]


def test_counts_are_conserved_and_quality_is_what_was_learned(made):
    url, runs = made
    found, _ = groups(url)
    routes = [d for r in runs for d in r.decisions if d.kind == "route"]
    assert sum(g["choices"] for g in found.values()) == len(routes)
    first = [d.chosen[0] for d in routes if d.attempt == 1]
    assert found["billing"]["stood"] >= RUNS and found["writer"]["stood"] == 1
    assert found["billing"]["quality"] == pytest.approx(0.9)
    lo, hi = found["helpdesk"]["ci95"]
    assert lo <= found["helpdesk"]["quality"] <= 0.3 + 1e-9 and hi <= 1
    assert found["helpdesk"]["failed"] > 0 and first.count("helpdesk") > 0
    assert found["writer"]["judged"] == 0 and found["writer"]["quality"] is None
    total = sum(g["cost_usd"] for g in found.values())
    assert total == pytest.approx(sum(r.usage.cost_usd for r in runs))
    assert found["billing"]["win_rate"] == pytest.approx(
        found["billing"]["choices"] / found["billing"]["stood"]
    )


def test_other_groups_hold_the_same_choices(made):
    url, runs = made
    n = sum(d.kind == "route" for r in runs for d in r.decisions)
    for by in ("skill", "graph", "day"):
        found, _ = groups(url, "--by", by)
        assert sum(g["choices"] for g in found.values()) == n
    assert set(groups(url, "--by", "skill")[0]) == {"refunds", "mail"}
    with pytest.raises(UsageError, match="--by agnt"):
        said(url, "--by", "agnt")


def test_it_says_whether_learning_helps(made):
    url, _ = made
    _, learning = groups(url)
    assert learning["gain"] == pytest.approx(learning["logged"] - learning["untaught"])
    assert learning["ci95"][0] <= learning["gain"] <= learning["ci95"][1]
    text = said(url)
    assert learning["words"] in text and "won: chosen of the times" in text


def test_a_query_of_the_users_own_reads_and_never_writes(made):
    from agentroute.ledger import Ledger

    with Ledger.open(made[0], read_only=True) as ledger:
        assert ledger.query("SELECT count(*) FROM feedback") == [(2 * RUNS,)]
        for bad in ("DELETE FROM feedback", "CREATE TABLE t (a)", "SELECT nothing FROM nowhere"):
            with pytest.raises(LedgerError):
                ledger.query(bad)
