"""The ledger as SQL views, on ledgers that runs wrote: read with plain sqlite3."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Task
from agentroute.cli.app import app
from agentroute.errors import AgentRouteError, LedgerError
from agentroute.ledger import Ledger
from tests.ledger.shop import registry

N = 60


async def fill(orc, n, first=0):
    for i in range(first, first + n):
        task = Task(prompt=f"Refund order {i}", skills=("refunds",))
        run = await orc.run(task, run_id=f"r{i}", seed=i)
        route = next(d for d in run.decisions if d.kind == "route")
        if i % 5:
            score = 0.1 + 0.013 * (i % 60)
            await orc.feedback(run.run_id, score=score, source="verifier:v")
        if i % 3 == 0:
            await orc.feedback(run.run_id, score=0.37)
            await orc.feedback(route.id, score=0.91, source="test")
            await orc.feedback(run.run_id, score=0.0)  # a second word teaches nothing


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    url = f"sqlite:///{folder}/a.db"

    async def go():
        async with Orchestrator(registry(), ledger=url, out=folder, exploration=0.2) as orc:
            await fill(orc, N)
            await orc.run(Task(prompt="Write to Ann", skills=("mail",)), run_id="m")

    asyncio.run(go())
    return folder / "a.db"


@pytest.fixture
def made(whole, tmp_path):
    """A ledger that runs wrote; each test has a copy of the one file that closing leaves."""
    return Path(shutil.copy(whole, tmp_path / "a.db"))


def said(db, *args, code=0):
    done = CliRunner().invoke(app, [*args, "--db", f"sqlite:///{db}"])
    if isinstance(done.exception, AgentRouteError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def rows(db, sql, *values):
    con = sqlite3.connect(f"file:{db}?mode=ro", uri=True)
    con.row_factory = sqlite3.Row
    try:
        return [dict(r) for r in con.execute(sql, values)]
    finally:
        con.close()


def test_the_leaderboard_is_what_stats_says_to_the_last_digit(made):
    said(made, "ledger", "views")
    board = {r["agent"]: r for r in rows(made, "SELECT * FROM v_leaderboard")}
    groups = json.loads(said(made, "stats", "--by", "agent", "--json"))["groups"]
    assert {g["name"] for g in groups} == set(board) == {"billing", "helpdesk", "writer"}
    for g in groups:
        r = board[g["name"]]
        assert g["choices"] == r["chosen"]
        for name in ("stood", "win_rate", "calls", "explored", "failed", "judged", "quality",
                     "cost_usd", "latency_s"):  # fmt: skip
            assert g[name] == r[name], (g["name"], name)
    assert board["helpdesk"]["failed"] > 0 and 0 < board["billing"]["quality"] < 1


def test_other_weights_are_other_qualities_in_both(made, tmp_path, monkeypatch):
    (tmp_path / "agentroute.yaml").write_text("feedback_weights: {user: 0.0, verifier: 0.9}\n")
    monkeypatch.chdir(tmp_path)
    said(made, "ledger", "views")
    groups = json.loads(said(made, "stats", "--json"))["groups"]
    board = {
        r["agent"]: r["quality"] for r in rows(made, "SELECT agent, quality FROM v_leaderboard")
    }
    assert {g["name"]: g["quality"] for g in groups} == board


def test_candidates_are_those_of_the_packed_rows(made):
    said(made, "ledger", "views")
    shown: dict[str, list] = {}
    for r in rows(made, "SELECT * FROM v_candidates ORDER BY seq, agent"):
        shown.setdefault(r["decision_id"], []).append(r)
    with Ledger.open(f"sqlite:///{made}", read_only=True) as ledger:
        for decision_id, found in shown.items():
            record = ledger.record(decision_id)
            names = [str(n) for n in record.request.candidates.names]
            assert sorted(names) == [r["agent"] for r in found]
            for r in found:
                i = names.index(r["agent"])
                assert r["chosen"] == (r["agent"] in record.decision.chosen)
                if record.scores is not None:
                    assert r["expected"] == record.scores.mean[i]
                    assert r["score"] == record.scores.mean[i] + record.scores.bonus[i]
                    assert r["propensity"] == record.propensities[i]
    routes = rows(made, "SELECT count(*) AS n FROM v_decisions WHERE kind = 'route'")[0]["n"]
    assert len(shown) == routes >= N
    best = "SELECT count(*) AS n FROM v_candidates WHERE place = 1 GROUP BY seq"
    assert all(r["n"] >= 1 for r in rows(made, best))


def test_costs_add_up_to_the_outcomes_and_runs_are_all_there(made):
    said(made, "ledger", "views")
    total = rows(made, "SELECT sum(cost_usd) AS usd, sum(calls) AS n FROM v_costs")[0]
    true = rows(made, "SELECT sum(cost_usd) AS usd, count(*) AS n FROM outcomes")[0]
    assert total["n"] == true["n"] and total["usd"] == pytest.approx(true["usd"], rel=1e-12)
    runs = rows(made, "SELECT run_id, status FROM v_runs")
    listed = json.loads(said(made, "runs", "ls", "-n", "200", "--json"))
    assert {(r["run_id"], r["status"]) for r in runs} == {
        (r["run_id"], r["status"]) for r in listed
    }
    decided = rows(made, "SELECT count(*) AS n FROM v_decisions")[0]
    assert decided == rows(made, "SELECT count(*) AS n FROM decisions")[0]


def test_the_learning_curve_is_a_running_mean(made):
    said(made, "ledger", "views")
    curve = rows(made, "SELECT * FROM v_learning_curve ORDER BY n")
    q = [r["quality"] for r in curve]
    assert [r["n"] for r in curve] == list(range(1, len(q) + 1)) and len(q) > 50
    for i, r in enumerate(curve):
        assert r["mean_so_far"] == pytest.approx(sum(q[: i + 1]) / (i + 1))
        last = q[max(0, i - 49) : i + 1]
        assert r["mean_of_last_50"] == pytest.approx(sum(last) / len(last))


def test_views_are_brought_up_to_date_beside_a_process_that_writes(made):
    said(made, "ledger", "views")
    before = rows(made, "SELECT count(DISTINCT seq) AS n FROM v_candidates")[0]["n"]

    async def go():
        url = f"sqlite:///{made}"
        async with Orchestrator(registry(), ledger=url, out=made.parent, exploration=0.2) as orc:
            await fill(orc, 3, first=1000)
            text = await asyncio.to_thread(said, made, "ledger", "views")
            await fill(orc, 2, first=2000)
            return text

    assert f"{before + 3} decisions" in asyncio.run(go())
    board = "SELECT sum(chosen) AS n FROM v_leaderboard"
    assert rows(made, board)[0]["n"] == before + 3  # candidates and board: as of the last time
    decided = "SELECT count(*) AS n FROM v_decisions WHERE kind = 'route'"
    assert rows(made, decided)[0]["n"] == before + 5  # the others always know all


def test_the_chain_does_not_know_of_them_and_they_go_again(made):
    before = said(made, "ledger", "anchor")
    said(made, "ledger", "views")
    assert said(made, "ledger", "anchor") == before
    assert "rows are as they were written" in said(made, "ledger", "verify")
    said(made, "ledger", "views", "--drop")
    left = rows(made, "SELECT name FROM sqlite_master WHERE name LIKE 'v!_%' ESCAPE '!'"
                " OR name LIKE 'shown%'")  # fmt: skip
    assert left == []
    said(made, "ledger", "verify")


def test_a_ledger_of_an_older_release_has_them_too(tmp_path):
    old = Path(__file__).parent / "fixtures" / "pack1.db.gz"
    (tmp_path / "old.db").write_bytes(gzip.decompress(old.read_bytes()))
    said(tmp_path / "old.db", "ledger", "views")
    assert rows(tmp_path / "old.db", "SELECT * FROM v_candidates")
    for view in ("v_decisions", "v_leaderboard", "v_learning_curve", "v_costs", "v_runs"):
        rows(tmp_path / "old.db", f"SELECT * FROM {view}")


def test_where_there_is_no_ledger_none_is_made(tmp_path):
    with pytest.raises(LedgerError, match="no ledger"):
        said(tmp_path / "none.db", "ledger", "views")
    assert not (tmp_path / "none.db").exists() and not (tmp_path / "none.db.lock").exists()
    (tmp_path / "other.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(LedgerError):
        said(tmp_path / "other.db", "ledger", "views")
    assert not (tmp_path / "other.db.lock").exists()


def test_a_question_in_sql_is_answered_and_writes_nothing(made, tmp_path):
    said(made, "ledger", "views")
    text = said(made, "ledger", "sql", "SELECT agent, chosen, quality FROM v_leaderboard")
    assert text.splitlines()[0].split() == ["agent", "chosen", "quality"]
    assert {line.split()[0] for line in text.splitlines()[1:]} == {"billing", "helpdesk", "writer"}
    (row,) = json.loads(said(made, "ledger", "sql", "SELECT count(*) AS n FROM events", "--json"))
    assert row["n"] > N
    for bad in (
        "DELETE FROM events", "SELECT nothing FROM nowhere", "SELECT 1; SELECT 2",
        f"ATTACH '{tmp_path}/new.db' AS n", f"VACUUM INTO '{tmp_path}/new.db'",
        "PRAGMA query_only = OFF; DELETE FROM events",
    ):  # fmt: skip
        with pytest.raises(LedgerError):
            said(made, "ledger", "sql", bad)
    said(made, "ledger", "sql", "PRAGMA query_only = OFF")  # holds for its own connection alone
    assert not (tmp_path / "new.db").exists()
    assert "as they were written" in said(made, "ledger", "verify")
