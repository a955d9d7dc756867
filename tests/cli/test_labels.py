"""What a caller says of a run: kept with its start, found again by ``runs ls``."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.errors import UsageError

WORK = {"tags": ["nightly", "eu"], "user": "ann", "session": "s-1", "metadata": {"ticket": 7}}


def registry():
    made = Registry()

    @made.agent(skills=["echo"])
    async def echo(call):
        """Says it again."""
        return call.task.prompt

    return made


def orchestrator(folder):
    return Orchestrator(registry(), ledger=f"sqlite:///{folder}/a.db", out=folder / "out")


TASK = Task(prompt="say it", skills=("echo",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")

    async def go():
        async with orchestrator(folder) as orc:
            for i in range(60):  # more than a page, so that the filter pages on
                said = WORK if i in (3, 58) else {"tags": ["eu"]} if i % 2 else {}
                await orc.run(TASK, run_id=f"r{i}", **said)

    asyncio.run(go())
    return folder / "a.db"


@pytest.fixture
def made(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(whole, tmp_path / "a.db")
    return f"sqlite:///{tmp_path}/a.db"


def test_runs_are_found_by_what_was_said_of_them(made, cli):
    def ids(*args):
        found = cli("runs", "ls", "-n", "100", "--json", "--db", made, *args)
        return [r["run_id"] for r in json.loads(found.out)]

    assert ids("--user", "ann") == ids("--session", "s-1") == ids("--tag", "nightly")
    assert ids("--tag", "nightly") == ["r58", "r3"]
    assert ids("--tag", "nightly", "--tag", "eu", "--user", "ann") == ["r58", "r3"]
    assert len(ids("--tag", "eu")) == 31 and "r0" not in ids("--tag", "eu")
    assert ids("--user", "bob") == [] and len(ids()) == 60
    assert ids("--tag", "eu", "--status", "failed") == []


def test_they_are_shown_and_kept_whole(made, cli):
    assert "nightly, eu, user ann, session s-1" in cli("runs", "ls", "--db", made).out
    shown = cli("runs", "show", "r3", "--db", made)
    assert "labels: nightly, eu, user ann, session s-1" in shown.out
    about = json.loads(cli("runs", "show", "r3", "--json", "--db", made).out)["run"]["about"]
    assert about["labels"] == WORK
    assert "labels" not in cli("runs", "show", "r0", "--db", made).out


def test_the_command_line_says_them_too(here, cli):
    cli("run", "shout", "--tag", "a", "--tag", "b", "--user", "u", "--session", "s",
        "--meta", "ticket=7")  # fmt: skip
    (found,) = json.loads(cli("runs", "ls", "--tag", "b", "--json").out)
    assert found["about"]["labels"] == {
        "tags": ["a", "b"], "user": "u", "session": "s", "metadata": {"ticket": "7"},
    }  # fmt: skip
    cli("ledger", "views")


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"tags": "nightly"}, "list"),
        ({"tags": [""]}, "tags"),
        ({"tags": ["x"] * 65}, "tags"),
        ({"user": "u" * 201}, "user"),
        ({"metadata": {"x": {1, 2}}}, "JSON"),
        ({"metadata": {"x": "y" * 20_000}}, "bytes"),
    ],
)
def test_what_cannot_be_kept_is_said_before_anybody_is_called(tmp_path, said, word):
    async def go():
        async with orchestrator(tmp_path) as orc:
            with pytest.raises(UsageError, match=word):
                await orc.run(TASK, **said)
            assert orc.ledger.head()[0] == 0

    asyncio.run(go())


def test_a_resumed_run_keeps_the_labels_of_its_start(made, tmp_path):
    async def go():
        async with orchestrator(tmp_path) as orc:
            with pytest.raises(UsageError, match="resumed"):
                await orc.run(None, resume="r3", tags=["other"])

    asyncio.run(go())


def test_secrets_in_them_are_masked(tmp_path):
    async def go():
        async with orchestrator(tmp_path) as orc:
            await orc.run(TASK, run_id="r", metadata={"api_key": "sk-verysecretverysecret123"})
            (note,) = orc.ledger.notes("r", "run.started")
            return note.data["labels"]

    assert "verysecret" not in json.dumps(asyncio.run(go()))
