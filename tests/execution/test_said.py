"""What an agent says is not lost: where it failed, what it printed, what it answered."""

from __future__ import annotations

import asyncio
import logging
import os
import textwrap
import time

import pytest

from agentroute import AgentReply, Orchestrator, Registry
from agentroute.cli.app import run as cli
from agentroute.errors import UsageError

CARD = "name: broken\ndescription: breaks\nskills: [{id: b}]\nentrypoint: broken.py:agent\n"
CODE = """
    import json, os, sys

    def look(words):
        return words["missing"]  # line 5

    def agent(call):
        print("on the way")
        print("to standard error", file=sys.stderr)
        if "json" in call.task.prompt:
            json.loads("{")  # line 11
        return look({})
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/broken.yaml").write_text(CARD)
    (tmp_path / "agents/broken.py").write_text(textwrap.dedent(CODE).lstrip())
    return tmp_path


def opened(folder, registry):
    return Orchestrator(registry, ledger=f"sqlite:///{folder}/a.db", out=folder, embedder="hashing")


@pytest.mark.parametrize(
    ("prompt", "says"),
    [("x", "KeyError: 'missing' (broken.py, line 4)"), ("json", "(broken.py, line 10)")],
)
async def test_a_failure_in_a_worker_says_file_and_line_of_the_agents_own(folder, prompt, says):
    async with opened(folder, Registry.from_folder(folder / "agents")) as orc:
        run = await orc.run(prompt)
        errors = [o.error for o in orc.ledger.outcomes(run.run_id)]
    assert says in errors[0] and says in run.degraded[0]


@pytest.mark.parametrize("blocking", [True, False])
async def test_and_so_does_one_in_this_process(tmp_path, blocking):
    registry = Registry()
    if blocking:
        registry.agent(name="one")(lambda call: {}["gone"])
    else:

        @registry.agent
        async def one(call):
            return {}["gone"]

    async with opened(tmp_path, registry) as orc:
        run = await orc.run("x")
    assert f"KeyError: 'gone' ({os.path.basename(__file__)}, line " in run.degraded[0]


async def test_an_error_that_says_what_is_wrong_needs_no_place(tmp_path):
    registry = Registry()

    @registry.agent
    def one(call):
        raise UsageError("the table has no column 'x'")

    async with opened(tmp_path, registry) as orc:
        run = await orc.run("x")
    assert "(the table has no column 'x')" in run.degraded[0]


async def test_what_a_worker_prints_is_logged_with_its_name(folder, caplog):
    caplog.set_level(logging.INFO, "agentroute.agents")
    async with opened(folder, Registry.from_folder(folder / "agents")) as orc:
        await orc.run("x")
        end = time.monotonic() + 5
        while len(caplog.messages) < 4 and time.monotonic() < end:
            await orc.settle()
            await asyncio.sleep(0.01)
    said = [r.getMessage() for r in caplog.records if r.name == "agentroute.agents"]
    assert {"broken.py: on the way", "broken.py: to standard error"} <= set(said)


def test_debug_shows_it_and_nothing_else_does(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    (folder / "b.yaml").write_text("tasks: [{id: t, prompt: x, agent: broken}]\n")
    logger = logging.getLogger()
    before, level = list(logger.handlers), logger.level
    try:
        for flags, shown in (([], False), (["--debug"], True)):
            logger.handlers[:] = []
            cli([*flags, "run", "b.yaml", "--db", f"sqlite:///{len(flags)}.db"])
            said = capfd.readouterr()
            assert "KeyError: 'missing' (broken.py, line 4)" in said.out + said.err
            assert ("to standard error" in said.err) is shown
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)


async def test_the_event_of_an_answer_carries_its_words(tmp_path):
    registry = Registry()
    registry.agent(name="one")(lambda call: AgentReply(text="the answer", data={"n": 1}))
    events = []
    async with opened(tmp_path, registry) as orc:
        await orc.run("x", on_event=events.append)
        streamed = [e async for e in orc.stream("x")]
    for seen in (events, streamed):
        (done,) = [e for e in seen if e.type == "agent.finished"]
        assert done.data["text"] == "the answer"
