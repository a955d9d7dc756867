"""A run while it goes on, and beside another, from the command line."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from typer.testing import CliRunner

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.inspector.following import follow
from agentroute.ledger import Ledger


def opened(folder, *, slow=None, who="good"):
    registry = Registry()

    @registry.agent(name=who, skills=["s"])
    def agent(call):
        if slow is not None:
            slow.wait(10)
        if "break" in call.task.prompt:
            raise ValueError("it broke")
        return f"{who} did it"

    return Orchestrator(registry, ledger=f"sqlite:///{folder}/a.db", out=folder, embedder="hashing")


async def ran(folder, prompt="do it", **options):
    async with opened(folder, **options) as orc:
        return await orc.run(Task(id="t", prompt=prompt, skills=("s",)))


def invoke(folder, *words):
    return CliRunner().invoke(app, ["runs", *words, "--db", f"sqlite:///{folder}/a.db"])


def test_a_run_that_is_over_is_shown_from_its_first_row_to_its_last(tmp_path):
    asyncio.run(ran(tmp_path, "break"))
    last = asyncio.run(ran(tmp_path))
    done = invoke(tmp_path, "watch", "last", "--json")
    lines = [json.loads(x) for x in done.stdout.splitlines()]
    assert {x["run_id"] for x in lines} == {last.run_id}
    words = [x["words"] for x in lines]
    assert words[0].startswith("started") and words[-1] == "finished: completed"
    assert any(w.startswith("route: good (p=") for w in words)
    assert any(w.startswith("good done in") for w in words)
    assert [x["over"] for x in lines] == [False] * (len(lines) - 1) + [True]


def test_failures_are_said(tmp_path):
    asyncio.run(ran(tmp_path, "break"))
    shown = invoke(tmp_path, "watch", "last").stdout
    assert "good failed: ValueError: it broke" in shown
    assert "finished: failed" in shown


def test_a_run_that_goes_on_is_followed_until_it_ends(tmp_path):
    """The one that is open is found; its rows come while it runs, not after."""
    gate = threading.Event()
    url = f"sqlite:///{tmp_path}/a.db"
    Ledger.open(url).close()
    worker = threading.Thread(target=lambda: asyncio.run(ran(tmp_path, slow=gate)))
    worker.start()
    seen = []
    with Ledger.open(url, read_only=True) as ledger:
        for line in follow(ledger, None):
            seen.append(line.words)
            if line.words.startswith("route"):
                assert not any(w.startswith("finished") for w in seen)
                gate.set()  # the agent answers only after its choice was seen
            if line.over:
                break
    worker.join(10)
    assert seen[-1] == "finished: completed"


def test_the_next_run_is_waited_for(tmp_path):
    asyncio.run(ran(tmp_path))
    starter = threading.Timer(1.0, lambda: asyncio.run(ran(tmp_path, who="late")))
    starter.start()
    done = invoke(tmp_path, "watch")
    starter.join(10)
    assert "late done in" in done.stdout
    assert "good done in" not in done.stdout


def test_a_run_and_all_of_them_are_not_asked_for_at_once(tmp_path):
    asyncio.run(ran(tmp_path))
    assert "every run" in str(invoke(tmp_path, "watch", "last", "--all").exception)


@pytest.fixture
def two(tmp_path):
    return tmp_path, asyncio.run(ran(tmp_path)), asyncio.run(ran(tmp_path, who="other"))


def test_two_runs_are_put_side_by_side(two):
    folder, first, second = two
    shown = invoke(folder, "diff", first.run_id[:13], "last").stdout
    assert first.run_id in shown and second.run_id in shown
    assert "1 of 1 tasks were done by others (*); the answers differ" in shown
    told = json.loads(invoke(folder, "diff", first.run_id, "--json").stdout)
    (task,) = told["tasks"]
    assert (task["a"]["chosen"], task["b"]["chosen"]) == (["good"], ["other"])
    assert told["answers_alike"] is False
    same = invoke(folder, "diff", "last", "last").stdout
    assert "0 of 1 tasks" in same and "the same text" in same


def test_answers_are_shown_as_they_come_and_a_waiting_run_goes_on_by_one_command(
    tmp_path, monkeypatch
):
    """A chat agent that streams; then a card that requires approval."""
    from agentroute.testing import ScriptedChatServer

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "agents"
    folder.mkdir()
    card = {"name": "talker", "description": "talks of the sea", "entrypoint": "chat",
            "prompt": "You talk.", "skills": ["talk"]}  # fmt: skip
    (folder / "talker.yaml").write_text(json.dumps(card))
    graph = "tasks: [{id: t, prompt: talk of the sea, skills: [talk]}]\nverifier: null\n"
    (tmp_path / "g.yaml").write_text(graph)
    with ScriptedChatServer(["one two three four"] * 2) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        line = ["run", "g.yaml", "--agents", str(folder), "--stream"]
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.output
        assert "\nt: one" in done.stderr
        (folder / "talker.yaml").write_text(json.dumps({**card, "requires_approval": True}))
        waits = CliRunner().invoke(app, line)
        assert waits.exit_code == 1
        assert "--approve t" in waits.stdout and "--reject t" in waits.stdout
        assert "agentroute runs resume" in waits.stdout
        assert "waiting" in CliRunner().invoke(app, ["runs", "ls"]).stdout
        go_on = ["runs", "resume", "last", "--approve", "t", "--agents", str(folder)]
        ends = CliRunner().invoke(app, go_on)
    assert ends.exit_code == 0, ends.output
    seen = CliRunner().invoke(app, ["runs", "watch", "last"]).stdout
    assert "waits for a word on talker" in seen  # and what came after the word is seen too
    assert seen.rstrip().endswith("finished: completed")
    assert "one two three four" in ends.stdout
