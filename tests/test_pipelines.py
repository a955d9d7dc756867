"""The shipped pipelines through the front door: they learn, and they survive any one agent."""

import shutil
from pathlib import Path

import pytest

from agentroute import Orchestrator, Registry
from agentroute.config.paths import bundled
from agentroute.toolbox.handover import locate

HOME = locate("shipped:pedalworks")
INPUTS = {
    "audit_project": {"path": str(HOME / "code/service")},
    "review_code": {"path": str(HOME / "code/service")},
    "report_table": {"path": str(HOME / "tables/rentals.csv")},
    "answer_questions": {},
    "research_report": {"folder": str(HOME / "docs")},
}
SKILL, BETTER, WORSE = "analyse_table", "table_profile_sql", "table_profile_sample"


async def learn(tmp_path, seed, runs=30):
    """Who did the contested step of ``report_table`` in each run, and the verifier's score."""
    registry = Registry.from_folder(bundled("agents"))
    url = f"sqlite:///{tmp_path}/a{seed}.db"
    picks, took = [], []
    async with Orchestrator(registry, ledger=url, out=tmp_path, seed=seed) as orc:
        for i in range(runs):
            inputs = INPUTS["report_table"]
            run = await orc.run("report_table", inputs=inputs, seed=1000 * seed + i)
            step = next(d for d in run.decisions if d.task_id == "analyse")
            scored = next(s for s in run.scores if s["task_id"] == "analyse")
            picks.append((step.chosen[0], scored["score"]))
            took.append(run.usage.wall_s)
    return picks, sorted(took)[len(took) // 2]


async def check_learning(tmp_path, seed):
    picks, median_s = await learn(tmp_path, seed)
    seen = {a: [s for b, s in picks if a == b] for a in (BETTER, WORSE)}
    assert min(seen[BETTER], default=1) > max(seen[WORSE], default=0) + 0.1
    late = [a for a, _ in picks[20:]]
    assert late.count(BETTER) >= 8, late
    return median_s


@pytest.mark.parametrize("seed", [0])
async def test_thirty_runs_move_the_choice_to_the_better_agent(tmp_path, seed):
    await check_learning(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
async def test_thirty_runs_on_ten_seeds(tmp_path, seed):
    await check_learning(tmp_path, seed)


@pytest.mark.bench
async def test_a_run_takes_under_half_a_second(tmp_path):
    assert (await learn(tmp_path, 0, runs=10))[1] < 0.5


@pytest.mark.parametrize(
    "name", ["a_tables.py", pytest.param("z_tables.py", marks=pytest.mark.slow)]
)
async def test_a_review_reads_all_but_the_one_large_file_and_fails(tmp_path, name):
    faulty = "def f(x=[]):\n    try:\n        return eval(x)\n    except:\n        pass\n"
    code = tmp_path / "code"
    code.mkdir()
    for i in range(5):
        (code / f"m{i}.py").write_text(faulty)
    (code / name).write_bytes(b"#" * 2_100_000)
    registry, url = Registry.from_folder(bundled("agents")), f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, ledger=url, out=tmp_path) as orc:
        run = await orc.run("review_code", inputs={"path": str(code), "threshold": "high"})
        assert len(run.replies["files"].data["files"]) == 5
        assert len(run.replies["rank"].data["findings"]) == 15
        assert run.replies["rank"].data["failed"] == 5
        assert run.goal_missed and run.status == "failed"
        assert f"left out by the cap: {name}" in run.answer

        for m in code.glob("m*.py"):
            m.write_text("def f(x):\n    return x\n")
        inputs = {"path": str(code), "threshold": "high"}
        unread = await orc.run("review_code", inputs=inputs)
        assert unread.goal_missed == ("results.rank.blocking is 1, above 0",)
        allowed = await orc.run("review_code", inputs={**inputs, "allow_unread": True})
        assert (allowed.goal_missed, allowed.status) == ((), "completed")
        all_read = await orc.run("review_code", inputs={**inputs, "max_mb": 3})
        assert (all_read.goal_missed, all_read.status) == ((), "completed")
        assert len(all_read.replies["files"].data["files"]) == 6


BROKEN = {
    "raises": "def agent(call):\n    raise RuntimeError('broken')\n",
    "hangs": "import time\ndef agent(call):\n    time.sleep(60)\n",
    "exits": "import os\ndef agent(call):\n    os._exit(3)\n",
}


async def run_with_broken(tmp_path, graph, agent, how):
    """Run a graph while one agent of the catalogue is broken in one way."""
    folder = tmp_path / "agents"
    shutil.copytree(bundled("agents"), folder)
    card = folder / f"{agent}.yaml"
    code = card.read_text().split("entrypoint: ")[1].split(".py")[0]
    (folder / f"{code}_broken.py").write_text(BROKEN[how])
    text = card.read_text().replace(f"entrypoint: {code}.py", f"entrypoint: {code}_broken.py")
    lines = [line for line in text.splitlines() if not line.startswith("limits:")]
    card.write_text("\n".join(lines) + "\nlimits: {timeout_s: 0.5}\n")
    url = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(
        Registry.from_folder(folder), ledger=url, out=tmp_path, deadline_s=60
    ) as orc:
        run = await orc.run(graph, inputs=INPUTS[graph])
        assert orc.ledger.verify().ok
        called = any(o.agent == agent for o in orc.ledger.outcomes(run.run_id))
    return run, called


def users_of(graph, agent):
    """Whether the graph could call the agent."""
    from agentroute.planning.graphfile import load_graph

    spec = load_graph(bundled("graphs") / f"{graph}.yaml")
    skills = {s for t in spec.tasks for s in t.skills}
    named = {v.name for v in spec.verifier} | {spec.refine.name if spec.refine else "refiner"}
    card = Registry.from_folder(bundled("agents")).card(agent)
    return bool(card.skill_ids & skills) or agent in named


def pairs():
    names = sorted(p.stem for p in bundled("agents").glob("*.yaml") if "chat" not in p.stem)
    return [(g, a) for g in INPUTS for a in names if users_of(g, a)]


async def check_broken(tmp_path, graph, agent, how):
    run, called = await run_with_broken(tmp_path, graph, agent, how)
    assert run.status in ("completed", "degraded", "failed")
    if called:
        assert any(agent in words for words in run.degraded), run.degraded
    return run


# Each pipeline and each way once; every way for every agent that a pipeline can call is slow.
@pytest.mark.parametrize(
    ("graph", "agent", "how"),
    [
        ("audit_project", "imports_ast", "exits"),
        ("review_code", "inspect_ast", "raises"),
        ("report_table", "table_profile_sql", "hangs"),
        ("research_report", "summarise_cover", "raises"),
    ],
)
async def test_a_broken_competitor_degrades_and_the_artefact_is_there(tmp_path, graph, agent, how):
    run = await check_broken(tmp_path, graph, agent, how)
    assert run.status != "failed"  # who is left does its work
    assert any(a.name.endswith(".html") and Path(a.path).is_file() for a in run.artifacts)


@pytest.mark.slow
@pytest.mark.parametrize("how", sorted(BROKEN))
@pytest.mark.parametrize(("graph", "agent"), pairs())
async def test_any_broken_agent_still_ends_every_pipeline(tmp_path, graph, agent, how):
    await check_broken(tmp_path, graph, agent, how)
