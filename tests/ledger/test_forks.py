"""A process that forks after it opened a ledger, as servers do that load an application first."""

from __future__ import annotations

import asyncio
import os
import time
import warnings

import pytest

from agentroute import AgentReply, Ledger, Orchestrator, Registry
from agentroute.errors import LedgerError
from agentroute.model.events import Note
from agentroute.model.ids import uuid7


def note():
    return Note(id=uuid7(), run_id="r", type="t", data={})


def in_a_fork(act) -> str:
    """What ``act()`` came to in a child of this process, within ten seconds."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads: that is the point
        pid = os.fork()
    if pid == 0:
        try:
            said = str(act())
        except BaseException as e:
            said = f"{type(e).__name__}: {e}"
        os.write(write, said.encode()[:4_000])
        os._exit(0)
    os.close(write)
    end = time.monotonic() + 10
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)
    with os.fdopen(read) as f:
        return f.read()


SAID = "LedgerError: the ledger was opened before this process was forked"


def test_a_child_is_told_at_once(ledger):
    ledger.append(note()).wait(5)
    old = ledger.append(note())
    old.wait(5)
    assert in_a_fork(lambda: ledger.append(note()).wait()) == SAID
    assert in_a_fork(ledger.head) == SAID
    assert in_a_fork(lambda: old.wait(5)) == "2"  # committed before, and known to be

    async def awaits():
        return await ledger.append(note())

    assert in_a_fork(lambda: asyncio.run(awaits())) == SAID
    assert in_a_fork(ledger.close) == "None"
    assert ledger.append(note()).wait(5) == 3


def test_a_child_opens_the_ledger_for_itself(ledger):
    ledger.append(note()).wait(5)

    def own():
        with Ledger.open(f"sqlite:///{ledger.path}") as mine:
            return mine.append(note()).wait(5)

    assert in_a_fork(own) == "2"
    assert ledger.append(note()).wait(5) == 3
    assert ledger.verify().ok


def test_forks_in_the_middle_of_writing_lose_nothing(ledger):
    """No fork falls into a commit: the child could neither end it nor begin one of its own."""

    def own():
        with Ledger.open(f"sqlite:///{ledger.path}") as mine:
            return mine.append(note()).wait(5) > 0

    tickets = []
    for _ in range(8):
        tickets += [ledger.append(note()) for _ in range(300)]
        assert in_a_fork(own) == "True"
    assert max(t.wait(5) for t in tickets) >= 2_400
    assert ledger.verify().ok and ledger.head()[0] == 2_408


async def test_an_orchestrator_in_a_fork_raises_and_does_not_hang(tmp_path):
    registry = Registry()

    @registry.agent(skills=["answer"])
    async def helper(call):
        """Answers."""
        return AgentReply(text="fine")

    def again():
        with pytest.raises(LedgerError, match="before this process was forked"):
            asyncio.run(orc.run("hi"))
        return "raised"

    async with Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, embedder="hashing"
    ) as orc:
        assert (await orc.run("hi")).answer == "fine"
        assert await asyncio.to_thread(in_a_fork, again) == "raised"
        assert (await orc.run("hi")).answer == "fine"
