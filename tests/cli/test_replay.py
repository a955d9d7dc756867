"""``replay``: the ledger's decisions taken again, as recorded and by another policy."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter

import orjson
import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.errors import AgentRouteError, ConfigError, UnknownRunError

QUALITY = {"billing": 0.9, "helpdesk": 0.3, "lawyer": 0.6}
COST = {"billing": 0.002, "helpdesk": 0.001, "lawyer": 0.004}


def registry(calls=None):
    made = Registry()
    calls = Counter() if calls is None else calls

    def agent(name, about):
        async def act(call):
            calls[name] += 1
            return f"{name} did it"

        act.__name__, act.__doc__ = name, about
        made.agent(skills=["refunds"], cost_usd=COST[name])(act)

    agent("billing", "Refunds orders and invoices.")
    agent("helpdesk", "Answers questions about orders.")
    agent("lawyer", "Reads contracts, and refunds.")
    return made


async def fill(url, folder, n, *, calls=None, **settings):
    settings = {"exploration": 0.3, **settings}
    async with Orchestrator(
        registry(calls), ledger=url, out=folder / "out", state=folder / "state", **settings
    ) as orc:
        for i in range(n):
            task = Task(prompt=f"Refund order {i}, case {i % 5}", skills=("refunds",))
            run = await orc.run(task, run_id=f"r{i}", seed=i)
            who = next(d.chosen[0] for d in run.decisions if d.kind == "route")
            await orc.feedback(run.run_id, score=QUALITY[who])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    url, calls = f"sqlite:///{folder}/a.db", Counter()
    asyncio.run(fill(url, folder, 120, calls=calls))
    return url, calls


def said(url, *args, code=0):
    done = CliRunner().invoke(app, ["replay", "--db", url, *map(str, args)])
    if isinstance(done.exception, AgentRouteError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def found(url, *args, code=0):
    return json.loads(said(url, "--json", *args, code=code))


def policy(tmp_path, text):
    file = tmp_path / "p.yaml"
    file.write_text(text)
    return file


def test_the_recorded_policy_takes_every_decision_again_and_asks_nobody(made):
    url, calls = made
    before = calls.total()
    r = found(url)
    assert r["decisions"] == r["agreed"] == 120 and r["agreement"] == 1.0 and r["holds"]
    assert not r["changed"] and not r["failed"] and r["quality"] is None
    assert calls.total() == before
    assert said(url).startswith("as recorded: 120 of 120 decisions agree, 100.0%")
    assert found(url, "last")["decisions"] == found(url, "r119")["decisions"] == 1
    with pytest.raises(UnknownRunError):
        found(url, "nothing-of-that-name")


@pytest.mark.parametrize(
    "router", ["knn", "pheromone", "ensemble", "recruiting", "round_robin", "uniform"]
)
def test_each_router_takes_its_decisions_again(router, tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    asyncio.run(fill(url, tmp_path, 25, router=router))
    assert found(url)["agreement"] == 1.0


def test_what_is_set_now_does_not_matter(made, tmp_path, monkeypatch):
    """A run says itself how it chose: another router, seed and exploration are set today."""
    (tmp_path / "agentroute.yaml").write_text("router: knn\nexploration: 0.9\nseed: 7\n")
    monkeypatch.chdir(tmp_path)
    assert found(made[0])["agreement"] == 1.0


def test_a_row_that_no_policy_would_have_written_fails_the_build(made, tmp_path):
    con = sqlite3.connect(tmp_path / "b.db")
    sqlite3.connect(made[0].removeprefix("sqlite:///")).backup(con)
    con.execute("DROP TRIGGER decisions_no_update")
    sql = "SELECT seq, id, body FROM decisions WHERE kind = 'route' ORDER BY seq DESC LIMIT 1"
    seq, decision, raw = con.execute(sql).fetchone()
    body = orjson.loads(raw)
    other = next(a for a in QUALITY if a not in body["chosen"])
    con.execute(
        "UPDATE decisions SET body = ? WHERE seq = ?",
        (orjson.dumps({**body, "chosen": [other]}), seq),
    )
    con.commit()
    con.close()
    r = found(f"sqlite:///{tmp_path}/b.db", code=1)
    assert r["agreed"] == 119 and not r["holds"]
    (changed,) = r["changed"]
    assert (changed["id"], changed["was"], changed["now"]) == (decision, [other], body["chosen"])


def test_another_policy_is_valued_by_what_was_logged(made, tmp_path):
    """Drawn evenly among three agents of known quality and cost, the truth is their mean."""
    url, _ = made
    r = found(url, "--policy", policy(tmp_path, "{name: knn, exploration: 1.0}"))
    for got, truth in (("quality", QUALITY), ("cost_usd", COST)):
        g, mean = r[got], sum(truth.values()) / 3
        assert g["rows"] == 120 and g["predicted"] == pytest.approx(g["logged"] + g["difference"])
        lo, hi = g["ci95"]
        assert lo <= mean - g["logged"] <= hi and lo <= g["difference"] <= hi and hi - lo < 0.3
    assert r["quality"]["ci95"][1] < 0  # the ledger's own policy had learned: an even draw is worse


def test_it_says_who_would_have_been_chosen_in_whose_place(made, tmp_path):
    url, _ = made
    file = policy(tmp_path, "router: {name: cheapest}")
    r = found(url, "--policy", file)
    assert r["policy"] == "cheapest" and r["agreed"] + len(r["changed"]) == 120
    routes = Counter()
    con = sqlite3.connect(url.removeprefix("sqlite:///"))
    for (chosen,) in con.execute("SELECT chosen FROM decisions WHERE kind = 'route'"):
        routes[chosen] += 1
    assert Counter(c["was"][0] for c in r["changed"])["billing"] > routes["billing"] / 2
    assert all(c["now"] != c["was"] for c in r["changed"])
    text = said(url, "--policy", file)
    assert "is now" in text and "billing" in text and "quality:" in text and "USD" in text


def test_another_policy_knows_what_was_known_then_and_nothing_later(made, tmp_path):
    """The recorded router asked for by name, with its own exploration, is the recorded policy."""
    r = found(made[0], "--policy", policy(tmp_path, "{name: default, exploration: 0.3}"))
    assert r["agreement"] == 1.0
    assert r["quality"]["difference"] == pytest.approx(0.0, abs=0.05)


def test_without_exploration_nothing_is_predicted_and_it_says_why(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    asyncio.run(fill(url, tmp_path, 12, exploration=0.0))
    r = found(url, "--policy", policy(tmp_path, "knn"))
    assert "nothing was explored" in r["quality"]
    assert "cannot be predicted: every logged choice was certain" in said(
        url, "--policy", tmp_path / "p.yaml"
    )
    assert found(url)["agreement"] == 1.0


def test_code_that_a_ledger_names_is_not_run(made, tmp_path):
    """A row is data: a router from a module needs the user's own settings to say so."""
    con = sqlite3.connect(tmp_path / "b.db")
    sqlite3.connect(made[0].removeprefix("sqlite:///")).backup(con)
    con.execute("DROP TRIGGER events_no_update")
    for seq, raw in con.execute("SELECT seq, body FROM events WHERE type = 'run.started'"):
        body = orjson.loads(raw)
        body["data"]["policy"]["router"]["name"] = "os:system"
        con.execute("UPDATE events SET body = ? WHERE seq = ?", (orjson.dumps(body), seq))
    con.commit()
    con.close()
    r = found(f"sqlite:///{tmp_path}/b.db", code=1)
    assert r["decisions"] == 0 and sum(r["failed"].values()) == 120


@pytest.mark.parametrize(
    "text", ["[1, 2]", "{k: 5}", "{name: nobody_knows_it}", "{name: knn, k: x}"]
)
def test_a_policy_that_is_none_is_said_in_one_line(made, tmp_path, text):
    with pytest.raises(ConfigError) as e:
        found(made[0], "--policy", policy(tmp_path, text))
    assert str(e.value).strip() and "\n" not in str(e.value)


@pytest.mark.slow
def test_five_thousand_decisions_take_less_than_twenty_seconds(tmp_path):
    import time

    url = f"sqlite:///{tmp_path}/a.db"

    async def many():
        async with Orchestrator(registry(), ledger=url, out=tmp_path, exploration=0.2) as orc:
            for i in range(5_000):
                task = Task(prompt=f"Refund order {i}, case {i % 7}", skills=("refunds",))
                d = await orc.decide(task, seed=i)
                await orc.report(d.id, quality=QUALITY[d.chosen[0]], latency_s=1.0)

    asyncio.run(many())
    for args in ((), ("--policy", policy(tmp_path, "{name: knn, k: 5}"))):
        start = time.perf_counter()
        r = found(url, *args)
        took = time.perf_counter() - start
        assert r["decisions"] == 5_000 and took < 20, took


GRAPH = """
name: three
router: {name: knn, k: 3}
exploration: 0.5
depth: {name: fixed, k: 2}
tasks:
  - {id: a, prompt: Refund the first, skills: [refunds]}
  - {id: b, prompt: Refund the second, skills: [refunds]}
  - {id: c, prompt: Say what was refunded, skills: [refunds], depends_on: [a, b]}
"""


def test_teams_and_graphs_that_say_how_they_choose_are_taken_again(tmp_path):
    (tmp_path / "three.yaml").write_text(GRAPH)
    url = f"sqlite:///{tmp_path}/a.db"

    async def go():
        async with Orchestrator(registry(), ledger=url, out=tmp_path / "out", seed=3) as orc:
            for i in range(8):
                run = await orc.run(str(tmp_path / "three.yaml"), run_id=f"r{i}")
                await orc.feedback(run.run_id, score=0.1 * i)
                await orc.run(Task(prompt=f"Refund {i}", skills=("refunds",)), router="linucb")

    asyncio.run(go())
    r = found(url)
    assert r["agreement"] == 1.0 and r["decisions"] == 8 * 3 + 8 and not r["failed"]


def test_a_ledger_of_before_is_read_with_what_is_set(made, tmp_path, monkeypatch):
    con = sqlite3.connect(tmp_path / "b.db")
    sqlite3.connect(made[0].removeprefix("sqlite:///")).backup(con)
    con.execute("DROP TRIGGER events_no_update")
    for seq, raw in con.execute("SELECT seq, body FROM events WHERE type = 'run.started'"):
        body = orjson.loads(raw)
        del body["data"]["policy"]
        con.execute("UPDATE events SET body = ? WHERE seq = ?", (orjson.dumps(body), seq))
    con.commit()
    con.close()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agentroute.yaml").write_text("exploration: 0.3\n")
    old = f"sqlite:///{tmp_path}/b.db"
    assert found(old)["agreement"] == 1.0
    (tmp_path / "agentroute.yaml").write_text("exploration: 0.0\n")
    r = found(old)
    assert r["agreement"] < 1.0 and r["unstated"] == r["decisions"] == 120
    assert "120 of them are of runs that do not say what decided them" in said(old)


def test_a_router_object_cannot_be_made_again_and_that_is_said(tmp_path):
    from agentroute.choosing.catalog import make_router

    url, own = f"sqlite:///{tmp_path}/a.db", make_router("uniform")
    own.name = "of_my_own"
    asyncio.run(fill(url, tmp_path, 3, router=own))
    r = found(url, code=1)
    assert r["decisions"] == 0 and sum(r["failed"].values()) == 3
    assert "of_my_own" in next(iter(r["failed"]))
    assert "3 could not be decided again" in said(url, code=1)


def test_named_agents_and_an_empty_ledger_are_nothing_to_take_again(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"

    async def go(*tasks):
        async with Orchestrator(registry(), ledger=url, out=tmp_path / "out") as orc:
            for task in tasks:
                await orc.run(task)

    asyncio.run(go())
    assert found(url)["agreement"] is None
    assert said(url).startswith("as recorded: 0 of 0 decisions agree")
    asyncio.run(go(Task(prompt="Refund it", agent="lawyer")))
    r = found(url)
    assert r["decisions"] == 0 and sum(r["left_out"].values()) == 1 and r["holds"]
