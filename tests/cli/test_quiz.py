"""A new agent is asked the past tasks that tell most about it, as ordinary runs."""

import asyncio
import hashlib
import json
import shlex
import shutil

import pytest

from agentroute import Orchestrator, Registry, Task

ECHO = "def agent(call):\n    return call.task.prompt.upper()\n"
NEW = "name: new\ndescription: echoes words\nskills: [echo]\nentrypoint: new.py:agent\n"
SUMS, TOWNS = "add {} and seven", "what is the capital of country {}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A ledger with six sums and six towns: 'one' is good at the former, 'two' at the latter."""

    async def go(path):
        registry = Registry()
        for name in ("one", "two"):
            registry.agent(lambda call: call.task.prompt, name=name, skills=["echo"])
        async with Orchestrator(registry, ledger=f"sqlite:///{path}", state=path.parent) as orc:
            for i in range(6):
                for kind, words, good in (("sum", SUMS, "one"), ("town", TOWNS, "two")):
                    task = Task(prompt=words.format(i), skills=("echo",), features={"kind": kind})
                    ran = await orc.run(task)
                    score = float(ran.results["task"].agent == good)
                    await orc.feedback(ran.run_id, score=score)

    path = tmp_path_factory.mktemp("quiz") / "a.db"
    asyncio.run(go(path))
    return path


@pytest.fixture
def past(here, recorded):
    """That ledger, the two agents as cards, and a new one."""
    shutil.copy(recorded, here / "agentroute.db")
    add_new(here)
    return here


def add_new(folder, more=""):
    (folder / "agents" / "new.yaml").write_text(NEW + more)
    (folder / "agents" / "new.py").write_text(ECHO)


def head(cli):
    return json.loads(cli("ledger", "sql", "SELECT count(*) AS n FROM decisions", "--json").out)


def test_a_list_calls_nobody_and_says_what_tells_most(past, cli):
    before = head(cli)
    got = json.loads(cli("agents", "quiz", "new", "--size", 4, "--list", "--json").out)
    assert head(cli) == before
    assert (got["agent"], got["pool"], len(got["questions"])) == ("new", 12, 4)
    assert len({q["prompt"] for q in got["questions"]}) == 4
    assert {q["features"]["kind"] for q in got["questions"]} == {"sum", "town"}
    assert all(q["spread"] > 0 for q in got["questions"])
    text = cli("agents", "quiz", "new", "--size", 4, "--list").out
    assert "4 of 12 tasks that 'new' could be asked" in text and "others differ" in text


def test_a_quiz_is_ordinary_runs_and_its_own_commands_teach_the_router(past, cli):
    out = cli("agents", "quiz", "new", "--size", 3).out
    runs = json.loads(cli("runs", "ls", "--tag", "quiz:new", "--json").out)
    assert len(runs) == 3 and all(r["agents"] == {"new": 1} for r in runs)
    assert "3 of 3 runs teach nothing of quality until scored" in out
    todo = [shlex.split(x)[1:] for x in out.splitlines() if x.startswith("  agentroute feedback")]
    assert {argv[1] for argv in todo} == {r["run_id"] for r in runs}
    for argv in todo:
        said = cli(*argv[:-1], "0.95").out  # S
        assert "learned" in said and "new: the router now expects" in said
    cli("ledger", "verify")


def test_a_verifier_judges_it_and_what_is_believed_moves(past, cli):
    (past / "agents" / "strict.yaml").write_text(
        "name: strict\ndescription: judges\nskills: [verify]\nrequires: [inputs]\n"
        "entrypoint: strict.py:agent\n"
    )
    (past / "agents" / "strict.py").write_text(
        "from agentroute import AgentReply\n"
        "def agent(call):\n"
        "    rows = [{'task_id': k, 'score': 0.0} for k in call.inputs]\n"
        "    return AgentReply(text='judged', data={'scores': rows})\n"
    )
    argv = ("agents", "quiz", "new", "--size", 6, "--verifier", "strict", "--json")
    got = json.loads(cli(*argv).out)
    assert [a["score"] for a in got["answers"]] == [0.0] * 6
    assert not any(a["needs_score"] for a in got["answers"])
    assert got["after"] < got["before"]
    assert all(a["after"] < a["before"] for a in got["answers"])


def test_a_verifier_that_a_task_had_alone_scores_it_again(here, cli):
    (here / "agents" / "loud.yaml").write_text(
        "name: loud\ndescription: judges\nskills: [verify]\nrequires: [inputs]\n"
        "entrypoint: loud.py:agent\n"
    )
    (here / "agents" / "loud.py").write_text(
        "from agentroute import AgentReply\n"
        "def agent(call):\n"
        "    rows = [{'task_id': k, 'score': float(r.text.isupper())}"
        " for k, r in call.inputs.items()]\n"
        "    return AgentReply(text='judged', data={'scores': rows})\n"
    )
    graph = here / "graphs" / "shout.yaml"
    graph.write_text(graph.read_text() + "verifier: loud\n")
    for i in range(2):
        cli("run", "shout", "-i", f"text={SUMS.format(i)}")
    add_new(here)
    got = json.loads(cli("agents", "quiz", "new", "--size", 2, "--json").out)
    assert [q["verifiers"] for q in got["questions"]] == [["loud"]] * 2
    assert [a["score"] for a in got["answers"]] == [1.0] * 2
    assert got["after"] > got["before"]


def test_failures_teach_and_the_breaker_stops_it(past, cli):
    (past / "agents" / "new.py").write_text("def agent(call):\n    raise KeyError('x')\n")
    got = json.loads(cli("agents", "quiz", "new", "--size", 8, "--json", code=1).out)
    assert got["stopped"] == "circuit breaker is open"
    assert 0 < len(got["answers"]) < 8 and all(a["failed"] for a in got["answers"])
    assert got["after"] < got["before"]


def test_the_budget_is_of_the_quiz_as_a_whole(past, cli):
    add_new(past, "pricing: {call_usd: 0.01, expected_usd: 0.01}\n")
    out = cli("agents", "quiz", "new", "--size", 6, "--budget", 0.025, code=1).out
    assert "stopped with 4 tasks left: expected cost exceeds the budget left" in out
    runs = json.loads(cli("runs", "ls", "--tag", "quiz:new", "--json").out)
    assert len(runs) == 2 and sum(r["cost_usd"] for r in runs) == pytest.approx(0.02)


def test_what_was_asked_already_is_not_asked_again(past, cli):
    first = json.loads(cli("agents", "quiz", "new", "--size", 5, "--json").out)
    got = json.loads(cli("agents", "quiz", "new", "--size", 7, "--list", "--json").out)
    assert got["pool"] == 7 and got["left_out"] == {"were asked of new already": 5}
    asked = {q["prompt"] for q in first["questions"]}
    assert not asked & {q["prompt"] for q in got["questions"]}
    err = cli("agents", "quiz", "new", "--size", 8, "--list", code=2).err
    assert "8 cannot be chosen from 7 tasks" in err and "--size 7" in err


def test_where_only_one_other_was_called_the_tasks_are_the_least_alike(here, cli):
    graph = here / "graphs" / "shout.yaml"
    graph.write_text(graph.read_text().replace("skills: [echo]", "skills: [echo], agent: one"))
    for words in ("say it now", "say it now please", "count the sheep"):
        cli("run", "shout", "-i", f"text={words}")
    out = cli("agents", "quiz", "two", "--size", 2, "--list").out
    assert "count the sheep" in out and "chosen as unlike one another" in out
    got = json.loads(cli("agents", "quiz", "two", "--size", 2, "--list", "--json").out)
    assert [q["spread"] for q in got["questions"]] == [0.0, 0.0]


def test_what_hangs_on_other_tasks_or_was_erased_is_no_question(here, cli):
    (here / "graphs" / "chain.yaml").write_text(
        "name: chain\ntasks:\n  - {id: a, prompt: say it, skills: [echo]}\n"
        "  - {id: b, prompt: again, skills: [echo], depends_on: [a]}\n"
    )
    cli("run", "chain")
    cli("run", "shout", "-i", "text=forget me")
    add_new(here)
    cli("ledger", "erase", hashlib.sha256(b"forget me").hexdigest(), "--reason", "asked to")
    got = json.loads(cli("agents", "quiz", "new", "--size", 1, "--list", "--json").out)
    assert [q["prompt"] for q in got["questions"]] == ["say it"] and got["pool"] == 1
    assert got["left_out"] == {"cannot be asked alone, or were erased": 2}


@pytest.mark.parametrize("status", ["draft", "shadow", "retired"])
def test_who_is_never_asked_is_told_how_to_be(past, cli, status):
    add_new(past, f"status: {status}\n")
    err = cli("agents", "quiz", "new", code=2).err
    assert f"'new' is {status}" in err and "agentroute agents promote new canary" in err


def test_a_canary_takes_a_quiz(past, cli):
    add_new(past, "status: canary\n")
    got = json.loads(cli("agents", "quiz", "new", "--size", 2, "--json").out)
    assert [a["status"] for a in got["answers"]] == ["completed"] * 2


def test_nothing_to_choose_from_is_one_line_with_a_hint(here, cli):
    err = cli("agents", "quiz", "one", code=4).err
    assert "there is no ledger" in err and not (here / "agentroute.db").exists()
    cli("run", "shout")
    err = cli("agents", "quiz", "imports_ast", code=2).err
    assert "from 0 tasks" in err and "lacks a required skill" in err and len(err.splitlines()) == 1
    assert "no agent is called 'onne'" in cli("agents", "quiz", "onne", code=None).err


@pytest.mark.parametrize("router", ["reasoning", "{name: ensemble, members: [linucb, reasoning]}"])
def test_a_router_that_asks_a_model_is_not_asked_for_a_pool(past, cli, monkeypatch, router):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    (past / "agentroute.yaml").write_text(f"router: {router}\n")
    err = cli("agents", "quiz", "new", "--size", 3, "--list", code=2).err
    assert "asks a model for what it expects" in err and "router: linucb" in err


def test_an_agent_that_needs_approval_waits_and_says_so(past, cli):
    add_new(past, "requires_approval: true\n")
    out = cli("agents", "quiz", "new", "--size", 1).out
    assert "waits for approval: agentroute runs show" in out and "until scored" not in out
