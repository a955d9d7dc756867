"""How many are asked, by the command line, the settings and a graph, with what ships."""

from __future__ import annotations

import json

import pytest

from agentroute.choosing.depth import make_depth
from agentroute.choosing.depth.protocol import Answer, AskMore, Seen
from agentroute.ledger import Ledger
from agentroute.model.ids import keyed_rng

SAID = {"low": ("23", 0.9, 0.01), "mid": ("The answer is 24.", 0.8, 0.1), "top": ("24", 0.7, 1.0)}
GRAPH = (
    "name: sum\ndepth: {name: sigma, audit: 0}\ntasks: [{id: a, prompt: 20 + 4, skills: [sum]}]\n"
)
NODE = (
    "name: node\ntasks:\n- {id: a, prompt: 20 + 4, skills: [sum], depth: {name: sigma, audit: 0}}\n"
)
WORK = "name: work\ntasks: [{id: a, prompt: 20 + 4, skills: [sum]}]\n"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Three agents for one skill: the one that is expected to be best is cheap and wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "graphs").mkdir()
    for name, (text, prior, usd) in SAID.items():
        (tmp_path / "agents" / f"{name}.yaml").write_text(
            f"name: {name}\ndescription: adds numbers\nskills: [sum]\nentrypoint: {name}.py:agent\n"
            f"prior_quality: {prior}\nisolation: inline\npricing: {{expected_usd: {usd}}}\n"
        )
        (tmp_path / "agents" / f"{name}.py").write_text(
            "from pathlib import Path\n\n\ndef agent(call):\n"
            f"    with Path(r'{tmp_path}', 'called').open('a') as f:\n"
            f"        f.write('{name} ')\n"
            f"    return {text!r}\n"
        )
    (tmp_path / "graphs" / "sum.yaml").write_text(GRAPH)
    (tmp_path / "graphs" / "work.yaml").write_text(WORK)
    (tmp_path / "graphs" / "node.yaml").write_text(NODE)
    return tmp_path


def called(shop):
    path = shop / "called"
    return path.read_text().split() if path.exists() else []


def depth_rows(result):
    return [d["chosen"] for d in result["decisions"] if d["kind"] == "depth"]


def test_the_default_asks_one_and_writes_no_row_of_depth(shop, cli):
    result = json.loads(cli("run", "work", "--json").out)
    assert (len(called(shop)), depth_rows(result)) == (1, [])


SIGMA = "{name: sigma, audit: 0}"


@pytest.mark.checklist("AC2", "PR2")
@pytest.mark.parametrize("by", ["option", "settings", "graph", "task"])
def test_a_disagreement_asks_a_third_wherever_depth_is_named(by, shop, cli):
    if by == "settings":
        (shop / "agentroute.yaml").write_text(f"depth: {SIGMA}\nexploration: 0\n")
    else:
        (shop / "agentroute.yaml").write_text("exploration: 0\n")
    argv = ("--depth", SIGMA) if by == "option" else ()
    work = {"graph": "sum", "task": "node"}.get(by, "work")
    result = json.loads(cli("run", work, "--json", *argv).out)
    assert sorted(called(shop)) == ["low", "mid", "top"]
    assert "24" in result["answer"]  # the majority, not who was expected to be best
    steps = depth_rows(result)
    assert [s[0] for s in steps] == ["ask", "accept"]
    assert sorted(steps[-1][1:]) == ["mid", "top"]


def test_a_cascade_on_the_command_line_asks_the_cheapest_that_clears_the_bar(shop, cli):
    (shop / "agentroute.yaml").write_text("exploration: 0\n")
    spec = "{name: cascade, accept_at: 0.5}"
    result = json.loads(cli("run", "work", "--depth", spec, "--json").out)
    assert (called(shop), depth_rows(result)) == (["low"], [["accept", "low"]])


@pytest.mark.checklist("AC11")
@pytest.mark.parametrize("spec", [SIGMA, "{name: fixed, k: 3}"])
def test_an_estimate_above_the_budget_is_refused_before_any_call(spec, shop, cli):
    (shop / "agentroute.yaml").write_text("exploration: 0\n")
    argv = ("run", "work", "--depth", spec, "--budget", "0.105", "--json")
    result = json.loads(cli(*argv, code=1).out)
    assert called(shop) == []
    assert "low, mid were not called: they are expected to cost $0.11" in result["degraded"][0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("casc", "casc"), ("{name: cascade, accept_at: 2}", "depth.accept_at"),
        ("{name: sigma, mode: none}", "depth.mode"), ("{name: sigma, probs: 2}", "probs"),
        ("{name: cascade, calibration: [[0.5, 1], [0.4, 0]]}", "depth.calibration"),
        ("{name: cascade, verifier: nobody}", "nobody"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anybody_is_called(spec, words, shop, cli):
    said = cli("run", "work", "--depth", spec, code=None).err
    assert words in said
    assert called(shop) == []


def test_a_depth_of_one_task_is_of_that_task_alone(shop, cli):
    (shop / "agentroute.yaml").write_text("exploration: 0\n")
    (shop / "graphs" / "node.yaml").write_text(
        NODE + "- {id: b, prompt: 1 + 1, skills: [sum], depends_on: [a]}\n"
    )
    result = json.loads(cli("run", "node", "--json").out)
    asked = {v: t["tried"] for v, t in result["tasks"].items()}
    assert (len(asked["a"]), len(asked["b"])) == (3, 1)
    assert {d["task_id"] for d in result["decisions"] if d["kind"] == "depth"} == {"a"}
    (shop / "graphs" / "node.yaml").write_text(NODE.replace("sigma", "sigmas"))
    assert "did you mean 'sigma'" in cli("graphs", "check", "node", code=None).err
    assert "did you mean 'sigma'" in cli("run", "node", code=None).err


def test_route_takes_it_too(shop, cli):
    (shop / "agentroute.yaml").write_text("exploration: 0\n")
    found = json.loads(cli("route", "20 + 4", "--skill", "sum", "--depth", SIGMA, "--json").out)
    assert len(found["chosen"]) == 2


@pytest.mark.checklist("AC8")
@pytest.mark.parametrize(
    "spec",
    [
        "{name: sigma, audit: 0.5}", "{name: sigma, audit: 1.0, lite: 2}",
        "{name: cascade, accept_at: 0.95}", "{name: confidence, tau_c: 0.95}",
        "{name: confidence, tau_c: 0.1, tau_a: 0.9}",
    ],
)  # fmt: skip
def test_each_row_of_depth_can_be_taken_again_from_what_it_says(spec, shop, cli):
    (shop / "agentroute.yaml").write_text("exploration: 0\n")
    for seed in range(3):
        cli("run", "work", "--depth", spec, "--seed", str(seed), "--json", code=None)
    with Ledger.open(f"sqlite:///{shop}/agentroute.db", read_only=True) as ledger:
        rows = [d for r in ledger.runs() for d in ledger.decisions(r.run_id) if d.kind == "depth"]
        assert rows
        for row in rows:
            assert words(*taken_again(ledger, row)) == row.chosen


def taken_again(ledger, row):
    c = ledger.record(row.id).context
    policy = make_depth({"name": row.policy, **c["params"]})
    answers = tuple(
        Answer(a["agent"], str(a["group"]), a["expected"], a["confidence"], a["verified"])
        for a in c["answers"]
    )
    seen = Seen(answers, c["sigma"], c["asked"], c["left"])
    rng = keyed_rng(row.seed, row.run_id, row.task_id, "depth", row.attempt)
    step = policy.next(seen, rng)
    assert (step.reason.split(";")[0], step.propensity) == (
        row.reason.split(";")[0],
        row.propensity,
    )
    return step, policy, seen


def words(step, policy, seen):
    if isinstance(step, AskMore):
        k = min(step.k, policy.k_max - seen.asked, seen.left)
        return ("ask", str(k)) if k > 0 else ("escalate",)
    if hasattr(step, "agents"):
        return ("accept", *(step.agents or ()), *(("short",) if step.short else ()))
    return ("escalate",)
