"""What the systems checklist says of trails, reasoning and recruiting, from the front door."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.routers.recruiting.recruit import recruiting_weights
from agentroute.testing import ScriptedChatServer

STAGES = (("a", "b", "c"), ("d", "e", "f"), ("g", "h", "i"))
BEST = ("b", "f", "g")


def staged():
    """Three agents a stage that say the same of themselves."""
    registry = Registry()
    for n, names in enumerate(STAGES):
        for name in names:

            @registry.agent(name=name, skills=[f"stage{n}"])
            async def worker(call):
                """Does its part."""
                return "done"

    return registry


def chain():
    return [
        Task(
            id=f"t{n}",
            prompt="Do your part of the job",
            features={"kind": "k"},
            skills=(f"stage{n}",),
            depends_on={f"t{n - 1}": 0.5} if n else {},
        )
        for n in range(3)
    ]


def path_of(run):
    return tuple(d.chosen[0] for d in run.decisions if d.kind == "route")


async def colony(orc, best, runs, *, seed=0, first=0):
    """Runs whose score is the square of the share of right agents; the paths that were taken."""
    taken = []
    for i in range(first, first + runs):
        run = await orc.run(chain(), run_id=f"s{seed}-{i}", seed=seed * 1000 + i)
        path = path_of(run)
        right = np.mean([x == y for x, y in zip(path, best, strict=True)])
        await orc.feedback(run.run_id, score=float(right**2))
        taken.append(path)
    return taken


def opened(tmp_path, registry, router, **more):
    url = f"sqlite:///{tmp_path}/a.db"
    return Orchestrator(
        registry, ledger=url, out=tmp_path / "out", router=router, exploration=0.0, **more
    )


def shown(tmp_path, *args):
    """What ``pheromone show`` prints as JSON."""
    url = f"sqlite:///{tmp_path}/a.db"
    done = CliRunner().invoke(app, ["pheromone", "show", "--db", url, "--json", *args])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


# -- pheromones -------------------------------------------------------------------------------


@pytest.mark.checklist("AM1")
async def test_each_trail_goes_from_one_stage_to_the_next(tmp_path):
    async with opened(tmp_path, staged(), "pheromone") as orc:
        await colony(orc, BEST, 25)
        run = await orc.run(chain())
        rows = [orc.ledger.record(d.id) for d in run.decisions if d.kind == "route"]
    path = path_of(run)
    assert [r.request.stage for r in rows] == [0, 1, 2]
    assert [r.request.upstream for r in rows] == [(), path[:1], path[1:2]]
    kind = shown(tmp_path, "--task", "kind=k")["kinds"]["kind=k"]
    edges = set(kind["sources"]) - {"*"}
    assert "0|" in edges and len(edges) > 4
    assert edges <= {"0|", *(f"{n + 1}|{a}" for n in (0, 1) for a in STAGES[n])}
    assert all(len(p["agents"]) == 3 for p in kind["paths"])


@pytest.mark.checklist("AM5")
async def test_draws_follow_the_recorded_proportions(tmp_path):
    router = {"name": "pheromone", "exploration": "proportional"}
    async with opened(tmp_path, staged(), router) as orc:
        await colony(orc, BEST, 20)
        first = chain()[0]
        found = await orc.route(first, seed=0)
        p = {r.agent: r.propensity for r in found.ranked}
        total = {r.agent: r.total for r in found.ranked}
        n = 3_000
        drawn = [(await orc.route(first, seed=seed)).chosen[0] for seed in range(n)]
    assert sum(p.values()) == pytest.approx(1.0)
    mass = sum(total.values())
    assert all(p[a] == pytest.approx(total[a] / mass, abs=1e-6) for a in p), (p, total)
    chi2 = sum((drawn.count(a) - n * p[a]) ** 2 / (n * p[a]) for a in p)
    assert chi2 < 13.82  # 0.999 quantile, 2 degrees of freedom


@pytest.mark.checklist("AM5")
async def test_alpha_weighs_the_trails_that_are_shown(tmp_path, monkeypatch):
    async with opened(tmp_path, staged(), "pheromone") as orc:
        await colony(orc, BEST, 20)
    monkeypatch.chdir(tmp_path)
    for alpha in (0.0, 1.0, 2.0):
        (tmp_path / "agentroute.yaml").write_text(f"router: {{name: pheromone, alpha: {alpha}}}\n")
        kind = shown(tmp_path)["kinds"]["kind=k"]
        tau = np.array(kind["tau"]) ** alpha
        np.testing.assert_allclose(kind["p"], tau / tau.sum(1, keepdims=True), atol=2e-4)


async def wins_and_forgets(tmp_path, seed, runs):
    """Share of the best path among the last third, before and after best and worst change."""
    router = {"name": "pheromone", "eta": 0.1, "rho": 0.01}
    tmp_path.mkdir(exist_ok=True)
    async with opened(tmp_path, staged(), router) as orc:
        won = await colony(orc, BEST, runs, seed=seed)
        other = ("c", "d", "i")
        moved = await colony(orc, other, runs, seed=seed, first=runs)
    last = runs // 3
    return won[-last:].count(BEST) / last, moved[-last:].count(other) / last


@pytest.mark.checklist("AM9", simulated=True)
@pytest.mark.checklist("AM10", simulated=True)
async def test_the_best_path_wins_and_after_a_change_the_new_one(tmp_path):
    shares = [await wins_and_forgets(tmp_path / str(s), s, 60) for s in range(3)]
    won, moved = np.mean(shares, axis=0)
    assert won > 0.5
    assert moved > 0.5


@pytest.mark.slow
@pytest.mark.checklist("AM9", simulated=True)
@pytest.mark.checklist("AM10", simulated=True)
async def test_the_best_path_wins_over_ten_seeds(tmp_path):
    shares = [await wins_and_forgets(tmp_path / str(s), s, 300) for s in range(10)]
    won, moved = np.array(shares).T
    print(won, moved)
    for x, least in ((won, 0.7), (moved, 0.5)):
        assert x.mean() - 1.96 * x.std(ddof=1) / np.sqrt(len(x)) > least


# -- reasoning --------------------------------------------------------------------------------


def desk(called):
    registry = Registry()

    @registry.agent(skills=["refunds"])
    async def billing(call):
        """Refunds orders and explains invoices and charges."""
        called.append("billing")
        return "refunded"

    @registry.agent(skills=["delivery"])
    async def courier(call):
        """Says where a parcel is and when it is delivered."""
        called.append("courier")
        return "on its way"

    return registry


@pytest.mark.checklist("TC3")
@pytest.mark.parametrize("model", [False, True])
async def test_nobody_is_called_for_what_nobody_does(tmp_path, monkeypatch, model):
    called = []
    with ScriptedChatServer([{"reason": "Nobody here cooks.", "agents": []}]) as server:
        if model:
            for name, value in server.env.items():
                monkeypatch.setenv(name, value)
        router = {"name": "reasoning", "model": "scripted"} if model else "reasoning"
        async with opened(tmp_path, desk(called), router) as orc:
            run = await orc.run("make me a sandwich with cheese")
        assert len(server.requests) == int(model)
    assert (run.status, called) == ("abstained", [])
    (row,) = [d for d in run.decisions if d.kind == "route"]
    assert (row.status, row.chosen) == ("abstained", ())


@pytest.mark.checklist("TC9")
@pytest.mark.parametrize("reason", [True, False])
async def test_the_model_is_asked_for_a_reason_or_not(tmp_path, monkeypatch, reason):
    reply = {"reason": "It is about money.", "agents": ["billing"]}
    with ScriptedChatServer([reply if reason else {"agents": ["billing"]}]) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        router = {"name": "reasoning", "model": "scripted", "reason": reason}
        async with opened(tmp_path, desk([]), router) as orc:
            run = await orc.run("refund my order")
        (sent,) = server.requests
    schema = sent["response_format"]["json_schema"]["schema"]
    assert ("reason" in schema["properties"]) is reason
    (row,) = [d for d in run.decisions if d.kind == "route"]
    assert row.chosen == ("billing",)
    assert ("It is about money." in row.reason) is reason


# -- recruiting -------------------------------------------------------------------------------

SAID = [
    ("a0", "sql", 0.9),
    ("a0", "sql", 1.0),
    ("a0", "csv", 0.2),
    ("a1", "csv", 0.8),
    ("a1", "sql", 0.1),
]


async def recruited(tmp_path, decay):
    """The means that ``route`` shows for a task of kind sql, after what was said."""
    registry = Registry()
    for name in ("a0", "a1"):

        @registry.agent(name=name)
        async def hand(call):
            """Works with data."""
            return "done"

    async with opened(tmp_path, registry, {"name": "recruiting", "decay": decay}) as orc:
        for agent, kind, score in SAID:
            run = await orc.run(Task(prompt="q", features={"kind": kind}, agent=agent))
            await orc.feedback(run.run_id, score=score)
        found = await orc.route(Task(prompt="q", features={"kind": "sql"}))
    return {r.agent: r.mean for r in found.ranked}


@pytest.mark.checklist("SM1")
@pytest.mark.checklist("SM9")
@pytest.mark.parametrize(
    ("decay", "profiles"),
    [(1.0, [[2.0, -1.0], [-1.0, 1.0]]), (0.5, [[0.1875, -0.25], [-1.0, 0.5]])],
)
async def test_rows_count_plus_and_minus_one_and_fade(tmp_path, decay, profiles):
    w = recruiting_weights(np.array(profiles), np.array([1.0, 0.0]))
    means = await recruited(tmp_path, decay)
    assert means == pytest.approx({"a0": w[0] / w.max(), "a1": w[1] / w.max()}, abs=1e-9)
