"""Every shipped graph loads, reaches its topology through the selector, and ends in an artefact."""

import importlib.util
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from agentroute.config.paths import bundled
from agentroute.config.yaml import load_yaml
from agentroute.execution.answer.teams import with_team
from agentroute.execution.results import speaking
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.model.cards import CapabilityCard
from agentroute.planning.graphfile import load_graph, make_plan
from agentroute.refining.joining import join
from agentroute.toolbox.handover import locate

GRAPHS, AGENTS = bundled("graphs"), bundled("agents")
HOME = locate("shipped:pedalworks")
TOPOLOGY = {
    "audit_project": "hybrid", "review_code": "parallel", "report_table": "sequential",
    "answer_questions": "hierarchical", "research_report": "parallel",
}  # fmt: skip
SMALL = {
    "audit_project": {"path": str(HOME / "code/service")},
    "review_code": {"path": str(HOME / "code/service")},
    "report_table": {"path": str(HOME / "tables/rentals.csv")},
    "answer_questions": {},
    "research_report": {"folder": str(HOME / "docs")},
}
CARDS = [CapabilityCard(**load_yaml(p).data) for p in sorted(AGENTS.glob("*.yaml"))]
CODE = [c for c in CARDS if c.entrypoint != "chat"]
_functions = {}


def function(card):
    if card.entrypoint not in _functions:
        file, _, attr = card.entrypoint.partition(":")
        spec = importlib.util.spec_from_file_location(f"graph_{file[:-3]}", AGENTS / file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        _functions[card.entrypoint] = getattr(module, attr)
    return _functions[card.entrypoint]


def plan_of(name, **inputs):
    return make_plan(load_graph(GRAPHS / f"{name}.yaml"), {**SMALL[name], **inputs})


def answerers(task):
    """The agents that have a task's skills and need no endpoint."""
    return [c for c in CODE if set(task.skills) <= c.skill_ids]


def execute(plan, folder, *, broken=(), everybody=False):
    """The plan's tasks in order, each by the first able agent, or questions by a team of all."""
    graph, replies = plan.graph(), {}
    for task_id in graph.order:
        task, team = graph[task_id], {}
        for card in answerers(task):
            if card.name in broken:
                continue
            workdir = folder / f"{len(replies)}-{card.name}"
            workdir.mkdir(parents=True)
            inputs = {p: replies[p] for p in graph.ancestors(task_id) if p in replies}
            call = AgentCall(task, inputs, {**card.params, **task.params}, workdir=workdir)
            try:
                reply = function(card)(call)
            except Exception:
                if not broken:
                    raise
                continue
            team[card.name] = AgentReply.model_validate_json(reply.model_dump_json())
            if not everybody or "answer" not in task.skills:
                break
        if team:
            alone, heard = next(iter(team.values())), speaking(team) or team
            replies[task_id] = alone if len(team) == 1 else with_team(join(heard), heard)
    return replies


def verify(plan, replies, folder):
    scores = []
    for use in plan.verifiers:
        card = next(c for c in CARDS if c.name == use.name)
        workdir = folder / use.name
        workdir.mkdir(parents=True, exist_ok=True)
        call = AgentCall(plan.tasks[0], replies, dict(use.params), workdir=workdir)
        scores += function(card)(call).data["scores"]
    return scores


@pytest.mark.parametrize("name", TOPOLOGY)
def test_the_selector_chooses_the_topology(name):
    spec = load_graph(GRAPHS / f"{name}.yaml")
    assert spec.topology == "auto"
    assert make_plan(spec, {}).topology.value == TOPOLOGY[name]
    assert plan_of(name).topology.value == TOPOLOGY[name]


def test_there_is_a_graph_for_each_topology_and_no_other_file():
    assert {p.stem for p in GRAPHS.glob("*.yaml")} == set(TOPOLOGY)
    assert set(TOPOLOGY.values()) == {"hybrid", "parallel", "sequential", "hierarchical"}


@pytest.mark.parametrize("name", TOPOLOGY)
def test_every_task_has_an_able_agent_and_every_verifier_exists(name):
    plan = plan_of(name)
    assert (GRAPHS / f"{name}.yaml").read_text().startswith("# yaml-language-server: $schema=")
    assert all(answerers(t) for t in plan.tasks)
    verifiers = {c.name for c in CARDS if "verify" in c.skill_ids}
    assert {v.name for v in plan.verifiers} <= verifiers
    assert plan.artifact in {t.id for t in plan.tasks}


def test_each_pipeline_has_a_contested_step():
    for name in TOPOLOGY:
        assert any(len(answerers(t)) > 1 for t in plan_of(name).tasks), name


@pytest.mark.parametrize("name", TOPOLOGY)
def test_a_pipeline_ends_in_a_report_and_is_verified(name, tmp_path):
    plan = plan_of(name)
    replies = execute(plan, tmp_path)
    assert set(replies) == {t.id for t in plan.tasks}
    report = replies[plan.artifact]
    html = Path(next(a.path for a in report.artifacts if a.name == "report.html")).read_text()
    assert "<html" in html
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert report.data["missing"] == []
    scores = verify(plan, replies, tmp_path)
    assert scores
    assert all(0 <= s["score"] <= 1 and s["method"] for s in scores)
    assert {s["task_id"] for s in scores} <= {t.id for t in plan.tasks}


@pytest.mark.parametrize("name", [n for n in TOPOLOGY if n != "answer_questions"])
def test_without_any_one_agent_a_report_still_comes(name, tmp_path):
    plan = plan_of(name)
    inner = [t for t in plan.tasks if t.id != plan.artifact]
    for i, task in enumerate(inner):
        broken = {c.name for c in answerers(task)}
        replies = execute(plan, tmp_path / str(i), broken=broken)
        assert replies[plan.artifact].artifacts, task.id
        if task.id in plan.graph().parents(plan.artifact):
            assert replies[plan.artifact].data["missing"], task.id


def test_with_everybody_asked_the_reconciler_gets_all_forty_right(tmp_path):
    plan = plan_of("answer_questions")
    replies = execute(plan, tmp_path, everybody=True)
    rows = replies["reconcile"].data["answers"]
    answers = {
        f"q[{i}]": AgentReply(text=r["answer"], abstained=r["status"] == "unknown")
        for i, r in enumerate(rows)
    }
    scores = verify(plan, answers, tmp_path)
    wrong = [rows[i]["question"] for i, s in enumerate(scores) if s["score"] < 1]
    assert len(scores) == 40
    assert wrong == []
    assert replies["reconcile"].data["unknown"] == 3
    assert replies["reconcile"].data["contradictions"] == []


def test_the_threshold_decides_the_exit_code(tmp_path):
    rule = plan_of("review_code").fail_when
    assert rule.field == "results.rank.blocking"
    for threshold, failed in (("high", 1), ("never", 0)):
        replies = execute(plan_of("review_code", threshold=threshold), tmp_path / threshold)
        assert replies["report"].data["results"]["rank"]["blocking"] == failed


@pytest.mark.parametrize("name", [n for n in TOPOLOGY if n != "answer_questions"])
def test_a_warm_pipeline_takes_half_a_second(name, tmp_path):
    plan = plan_of(name)
    execute(plan, tmp_path / "cold")
    spent = []
    for i in range(3):
        began = time.process_time()
        replies = execute(plan, tmp_path / str(i))
        verify(plan, replies, tmp_path / str(i))
        spent.append(time.process_time() - began)
    assert min(spent) < 0.5


def tables():
    folder = Path(find_spec("sklearn").origin).parent / "datasets" / "data"
    return [folder / n for n in ("iris.csv", "wine_data.csv", "linnerud_exercise.csv")]


@pytest.mark.parametrize("path", tables(), ids=lambda p: p.name)
def test_tables_of_others(path, tmp_path):
    plan = plan_of("report_table", path=str(path))
    replies = execute(plan, tmp_path)
    assert verify(plan, replies, tmp_path)[0]["score"] == 1.0
    assert replies["report"].artifacts
