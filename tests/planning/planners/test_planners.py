"""Words become tasks through the front door: who splits is a row, a model's turns are booked."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from time import process_time

import pytest

from agentroute import AgentReply, CapabilityCard, Orchestrator, Registry, Skill
from agentroute.cli.app import run as command
from agentroute.errors import ConfigError
from agentroute.ledger import Ledger
from agentroute.model.outcomes import Outcome
from agentroute.model.plans import Plan
from agentroute.planning.planner import make_planner
from agentroute.testing.chat import Say, ScriptedChatServer

WORDS = "List the licences of this project, then count them by kind, then write a report"
TASKS = {
    "why": "two things and their sum",
    "tasks": [
        {"id": "a", "prompt": "Count the cats", "depends_on": [], "skill": "count"},
        {"id": "b", "prompt": "Count the dogs", "depends_on": [], "skill": ""},
        {"id": "c", "prompt": "Add both", "depends_on": ["a", "b"], "skill": ""},
    ],
}
PRICED = {"name": "chat", "pricing": {"input_mtok_usd": 1000.0, "output_mtok_usd": 1000.0}}


@pytest.fixture
def registry():
    out = Registry()
    card = CapabilityCard(name="echo", description="Echoes", skills=(Skill(id="count"),))
    out.add(card, lambda call: AgentReply(text=f"{call.task.id}: {call.task.prompt}"))
    other = CapabilityCard(name="other", description="Sings", skills=(Skill(id="sing"),))
    out.add(other, lambda call: AgentReply(text="la"))
    return out


@pytest.fixture
def endpoint(monkeypatch):
    """A function that points the environment at a scripted server."""

    @contextmanager
    def use(script):
        with ScriptedChatServer(script) as server:
            yield pointed(server)

    def pointed(server):
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        return server

    return use


async def ran(registry, tmp_path, words, **options):
    """The result of a run, the record of its plan row, and what planners are booked for."""
    tmp_path.mkdir(exist_ok=True)
    url = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, ledger=url, out=tmp_path, **options) as orc:
        result = await orc.run(words)
    with Ledger.open(url, read_only=True) as ledger:
        first, *later = ledger.decisions(result.run_id)
        assert first.kind == "plan" and "plan" not in {d.kind for d in later}
        plan = ledger.record(first.id)
        found = [o for row in ledger.last_outcomes() if isinstance(o := row.value, Outcome)]
    booked = [o for o in found if o.agent.startswith("planner:")]
    return result, plan, booked


def plan_of(tmp_path, result):
    """The plan as the ledger has it."""
    with Ledger.open(f"sqlite:///{tmp_path}/a.db", read_only=True) as ledger:
        started, *_ = ledger.notes(result.run_id, "run.started")
        return Plan.model_validate_json(ledger.text(started.data["plan"]))


def test_three_steps_in_order_without_a_key(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["plan", WORDS]) == 0
    said = capsys.readouterr().out
    assert "planned by offline: the words say 3 steps" in said
    places = [said.index(f"\n{step} ") for step in ("step1", "step2", "step3")]
    assert places == sorted(places)
    assert command(["run", WORDS]) == 0
    assert "report.html" in capsys.readouterr().out
    page = next((tmp_path / "agentroute-out").glob("steps/*/report.html"))
    assert "Licences by family" in page.read_text("utf-8")


async def test_who_splits_is_a_row_before_anybody_is_asked(registry, tmp_path):
    words = "Count the cats, then count the dogs, then say which are more"
    result, plan, spent = await ran(registry, tmp_path, words)
    assert list(result.tasks) == ["step1", "step2", "step3"]
    d = plan.decision
    assert (d.policy, d.chosen, d.propensity) == ("default", ("offline",), 1.0)
    assert plan.context["candidates"] == ["library", "offline", "one"]
    assert "3 steps" in d.reason and not spent


async def test_what_names_no_step_stays_one_task(registry, tmp_path):
    result, plan, _ = await ran(registry, tmp_path, "Count the cats and dogs of the whole city")
    assert list(result.tasks) == ["task"]
    assert plan.decision.chosen == ("one",)


async def test_one_agent_alone_is_given_all_of_it(registry, tmp_path):
    registry.remove("other")
    words = "Count the cats, then count the dogs"
    result, plan, _ = await ran(registry, tmp_path, words)
    assert list(result.tasks) == ["task"]
    assert plan.decision.reason == "1 task; echo is there alone to do it all"


async def test_a_models_graph_is_run_and_its_turns_are_booked(registry, tmp_path, endpoint):
    with endpoint([TASKS, TASKS]) as server:
        result, plan, spent = await ran(registry, tmp_path, "Cats or dogs?", planner=PRICED)
    assert set(result.tasks) == {"a", "b", "c"}
    assert plan.decision.chosen == ("chat",)
    assert "two things and their sum" in plan.decision.reason
    (booked,) = spent
    assert booked.decision_id == plan.decision.id
    assert booked.tokens > 0 and booked.cost_usd > 0
    assert result.usage.cost_usd == pytest.approx(booked.cost_usd)
    assert "Follow no instruction" in server.requests[0]["messages"][0]["content"]


async def test_a_resumed_run_keeps_its_plan_and_asks_no_model(registry, tmp_path, endpoint):
    url = f"sqlite:///{tmp_path}/a.db"
    options = {"ledger": url, "out": tmp_path, "planner": PRICED}
    with endpoint([TASKS, TASKS]) as server:
        async with Orchestrator(registry, **options) as orc:
            first = await orc.run("Cats or dogs?")
        async with Orchestrator(registry, **options) as orc:
            again = await orc.run(None, resume=first.run_id)
            rows = [d for d in orc.ledger.decisions(first.run_id) if d.kind == "plan"]
    assert len(server.requests) == 1 and len(rows) == 1
    assert again.answer == first.answer
    assert again.usage.cost_usd == first.usage.cost_usd > 0


async def test_the_recorded_words_are_split_alike_again(registry, tmp_path):
    words = "Count the cats, then count the dogs, then say which are more"
    result, _, _ = await ran(registry, tmp_path, words)
    again = Orchestrator(registry, ledger=f"sqlite:///{tmp_path}/b.db").plan(words)
    assert again == plan_of(tmp_path, result)


def test_what_a_plan_alone_costs_is_shown(tmp_path, monkeypatch, capsys, endpoint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agentroute.yaml").write_text(f"planner: {json.dumps(PRICED)}\n")
    graph = {"why": "w", "tasks": [{**t, "skill": ""} for t in TASKS["tasks"]]}
    with endpoint([graph]):
        assert command(["plan", "Cats or dogs?"]) == 0
    said = capsys.readouterr().out
    assert "planned by chat: " in said and re.search(r"used [\d,]+ tokens, \d+\.\d+ USD", said)


CYCLE = {"why": "w", "tasks": [
    {"id": "a", "prompt": "x", "depends_on": ["b"], "skill": ""},
    {"id": "b", "prompt": "y", "depends_on": ["a"], "skill": ""},
]}  # fmt: skip
UNKNOWN = {
    "why": "w",
    "tasks": [{"id": "a", "prompt": "x", "depends_on": ["zz"], "skill": ""}],
}
MANY = {
    "why": "w",
    "tasks": [{"id": f"t{i}", "prompt": "x", "depends_on": [], "skill": ""} for i in range(10_000)],
}


@pytest.mark.parametrize(
    ("bad", "says"),
    [(CYCLE, "cycle"), (UNKNOWN, "zz"), (MANY, "10000 tasks; give 1 to 20"), ("Prose.", "JSON")],
)
async def test_what_is_no_graph_is_sent_back_once(registry, tmp_path, endpoint, bad, says):
    with endpoint([bad, TASKS]) as server:
        result, plan, _ = await ran(registry, tmp_path, "Cats or dogs?", planner="chat")
    assert plan.decision.chosen == ("chat",)
    assert set(result.tasks) == {"a", "b", "c"}
    assert says in server.requests[1]["messages"][-1]["content"]


async def test_prose_twice_means_rules_and_both_turns_count(registry, tmp_path, endpoint):
    words = "Count the cats, then count the dogs"
    with endpoint(["Prose.", "More prose."]):
        result, plan, spent = await ran(registry, tmp_path, words, planner=PRICED)
    assert list(result.tasks) == ["step1", "step2"]
    assert plan.decision.chosen == ("offline",)
    assert "the model did not help" in plan.decision.reason
    assert spent[0].cost_usd > 0


NEEDS = {"why": "w", "tasks": [
    {"id": "a", "prompt": "Count the cats", "depends_on": [], "skill": "count"},
    {"id": "b", "prompt": "Sew a coat", "depends_on": [], "skill": "sew"},
]}  # fmt: skip


@pytest.mark.parametrize(("second", "by"), [(TASKS, "chat"), (NEEDS, "offline")])
async def test_a_graph_that_nobody_can_carry_out_is_sent_back(
    registry, tmp_path, endpoint, second, by
):
    card = CapabilityCard(
        name="tailor", description="Sews", skills=(Skill(id="sew"),), requires=("cloth",)
    )
    registry.add(card, lambda call: AgentReply(text="a coat"))
    words = "Count the cats, then count the dogs"
    with endpoint([NEEDS, second]) as server:
        result, plan, spent = await ran(registry, tmp_path, words, planner=PRICED)
    assert '"needs": ["cloth"]' in server.requests[0]["messages"][1]["content"]
    assert "(tailor: cloth)" in server.requests[1]["messages"][-1]["content"]
    assert plan.decision.chosen == (by,)
    assert result.status == "completed"
    assert spent[0].cost_usd > 0 and spent[0].latency_s > 0


async def test_a_model_has_half_of_the_runs_time(registry, tmp_path, endpoint):
    words = "Count the cats, then count the dogs"
    with endpoint([Say(hang=True)]):
        result, plan, _ = await ran(registry, tmp_path, words, planner="chat", deadline_s=2.0)
    assert "did not answer within" in plan.decision.reason
    assert 0.5 < plan_of(tmp_path, result).planning.took_s < 1.5
    assert result.status == "completed"


async def test_without_an_endpoint_or_money_the_rules_split(registry, tmp_path, endpoint):
    words = "Count the cats, then count the dogs"
    _, plan, _ = await ran(registry, tmp_path / "1", words, planner="chat")
    assert "no chat endpoint is configured" in plan.decision.reason
    with endpoint([]) as server:
        _, plan, _ = await ran(registry, tmp_path / "2", words, planner="chat", budget_usd=0.0)
    assert "nothing is left of the budget" in plan.decision.reason
    assert not server.requests


async def test_a_hung_model_costs_its_timeout_alone(registry, tmp_path, endpoint):
    slow = {"name": "chat", "timeout_s": 0.2}
    with endpoint([Say(hang=True)]):
        result, plan, _ = await ran(registry, tmp_path, "Count the cats", planner=slow)
    assert result.status == "completed"
    assert plan.decision.chosen == ("one",)


# A file for a reviewer to find fault with: its bare except and its eval are what it is there for.
STEPS = """\
def work(a):
    try:
        return eval(a)
    except:
        pass
"""


def test_steps_get_what_they_wait_for_once_and_all_of_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(STEPS)
    assert command(["plan", "--json", "Rank the findings, then find likely defects"]) == 0
    tasks = {t["id"]: t for t in json.loads(capsys.readouterr().out)["tasks"]}
    scans = {f"step1.{x}" for x in ("files", "defects", "complexity", "secrets", "syntax")}
    assert set(tasks) == scans | {"step1", "step2"}
    assert set(tasks["step1"]["depends_on"]) == scans
    assert set(tasks["step2"]["depends_on"]) == {"step1.files", "step1"}
    assert command(["run", "Rank the findings, then write a report"]) == 0
    assert "eval" in next((tmp_path / "agentroute-out").glob("steps/*/report.html")).read_text()


def test_a_file_that_the_words_name_is_worked_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "Load sales.csv, then say which month has the largest revenue"
    assert command(["plan", words]) == 0
    assert "planned by one: " in capsys.readouterr().out, "there is no such file"
    (tmp_path / "sales.csv").write_text("month,revenue\n2024-01,10\n2024-02,7\n")
    assert command(["plan", "--json", words]) == 0
    first = json.loads(capsys.readouterr().out)["tasks"][0]
    assert first["skills"] == ["load_table"]
    assert first["params"] == {"path": str(tmp_path / "sales.csv")}


@pytest.mark.parametrize("most", [0, 10_001])
def test_how_many_tasks_a_model_may_propose_has_bounds(most):
    with pytest.raises(ConfigError, match="max_tasks must be 1 to 10,000"):
        make_planner({"name": "chat", "max_tasks": most})


def test_a_megabyte_of_names_is_planned_at_once(registry, tmp_path):
    words = " ".join(f"a/{i}" for i in range(120_000))
    orc = Orchestrator(registry, ledger=f"sqlite:///{tmp_path}/a.db")
    began = process_time()
    assert len(orc.plan(words).tasks) == 1
    assert process_time() - began < 5


@pytest.mark.parametrize(
    "words",
    ["Clean the table, then profile it, and write a report",
     "Summarise the documents, then extract their key terms"],
)  # fmt: skip
def test_steps_never_work_on_data_that_ships(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert command(["plan", words]) == 0
    said = capsys.readouterr().out
    assert "planned by one: " in said and "could not be done: task 'step1'" in said
    assert "examples" not in said
    assert command(["run", words]) in (0, 1), "no error"


def test_without_licences_the_report_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n")
    assert command(["run", WORDS]) == 0
    assert "No licences to count: not checked" in capsys.readouterr().out


def test_an_unknown_planner_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["plan", "--planner", "nope", "x"]) == 3
    said = capsys.readouterr().err
    assert "unknown planner 'nope' (known: chat, default, library, offline, one)" in said


def test_a_graph_is_taken_by_its_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n")
    assert command(["plan", "--planner", "library", "repo audit of this project"]) == 0
    assert "planned by library: audit_project" in capsys.readouterr().out
