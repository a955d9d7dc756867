"""While agents are at work the decision is read that their outcomes will teach about.

One that was written here and holds no secret need not even be read.
"""

import asyncio

import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.learning.observe import Folding
from agentroute.ledger.reader import Reader

SECRET = "password: hunter2-hunter2"  # what was taken out of a row is not what was asked


@pytest.fixture
def reads(monkeypatch):
    """Decisions read with their arrays, by id."""
    found, read = [], Reader.record

    def record(self, decision_id):
        found.append(decision_id)
        return read(self, decision_id)

    monkeypatch.setattr(Reader, "record", record)
    return found


def team(seconds=0.05, then=lambda: None):
    registry = Registry()

    @registry.agent(name="alpha", description="Does any work")
    async def alpha(call):
        await asyncio.sleep(seconds)
        then()
        return "done"

    return registry


async def test_decisions_are_read_while_agents_work_and_not_again_at_the_end(tmp_path, reads):
    tasks, seen = [Task(id=f"t{i}", prompt=f"work {i}, {SECRET}") for i in range(4)], []
    registry = team(then=lambda: seen.append(len(reads)))
    async with Orchestrator(registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path) as orc:
        run = await orc.run(tasks)
        routed = [d.id for d in run.decisions if d.kind == "route"]
        assert seen == [4] * 4 and sorted(reads) == sorted(routed)
        assert orc.learned()[0].counts["folded"] == 4


async def test_what_was_just_written_is_learned_from_and_not_read(tmp_path, reads):
    tasks = [Task(id=f"t{i}", prompt=f"work {i}") for i in range(4)]
    async with Orchestrator(team(), ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path) as orc:
        await orc.run(tasks)
        assert orc.learned()[0].counts["folded"] == 4 and reads == []


async def test_a_long_run_reads_no_more_ahead_than_is_kept(tmp_path, reads):
    tasks = [Task(id=f"t{i}", prompt=f"work, {SECRET}") for i in range(300)]
    async with Orchestrator(team(0.0), ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path) as orc:
        await orc.run(tasks)
        assert orc.learned()[0].counts["folded"] == 300
        assert len(reads) == len(set(reads)) == 300


async def test_a_decision_that_cannot_be_read_ahead_is_said_when_it_is_folded(
    tmp_path, monkeypatch, caplog
):
    """The run is as it was; the row is skipped with its reason."""
    from agentroute.errors import RowUnreadableError

    def broken(self, decision_id):
        raise RowUnreadableError("it is broken")

    monkeypatch.setattr(Reader, "record", broken)
    async with Orchestrator(team(), ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path) as orc:
        run = await orc.run(Task(prompt=f"work, {SECRET}"))
        assert run.status == "completed"
        assert "it is broken" in str(orc.learned()[0].skipped)
    assert "Exception in callback" not in caplog.text


async def test_a_teams_decision_is_kept_once_however_many_are_asked(tmp_path, reads, monkeypatch):
    registry, foldings = team(), []
    ahead = Folding.read_ahead
    monkeypatch.setattr(
        Folding, "read_ahead", lambda self, i: (foldings.append(self), ahead(self, i))[1]
    )

    @registry.agent(name="beta", description="Does any work")
    async def beta(call):
        return "done"

    async with Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, depth={"name": "fixed", "k": 2}
    ) as orc:
        await orc.run([Task(id=f"t{i}", prompt=f"work {i}") for i in range(3)])
        assert orc.learned()[0].counts["folded"] == 6
    assert len(foldings) >= 6 and not any(f._fresh for f in foldings)
    assert len(reads) == len(set(reads))
