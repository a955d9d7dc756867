"""An outcome row is not waited for, and nothing depends on it before it is on the disk."""

import asyncio

import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.errors import LedgerError
from agentroute.execution.progress import Run
from agentroute.ledger import Ticket
from agentroute.ledger.tickets import announce
from agentroute.model.outcomes import Outcome

CHAIN = """
name: chain
tasks:
  - {id: a, prompt: do a, skills: [s]}
  - {id: b, prompt: do b, skills: [s], depends_on: [a]}
  - {id: c, prompt: do c, skills: [s], depends_on: [b]}
"""


class Slow:
    """A ledger that keeps the outcomes' tickets to itself until it is told."""

    def __init__(self, inner, *, lose=None):
        self.inner, self.lose, self.waited = inner, lose, 0
        self.kept: list[tuple[Ticket, Ticket]] = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def append(self, row, **options):
        if not isinstance(row, Outcome):
            return self.inner.append(row, **options)
        if row.agent == self.lose:
            ticket = Ticket(lambda: None)
            ticket.settle(0, error=LedgerError("the disk is full"))
            announce([ticket])
            return ticket
        slow = self

        class Counted(Ticket):
            __slots__ = ()

            def __await__(self):
                slow.waited += 1
                return inner.__await__()

        inner = self.inner.append(row, **options)
        return Counted(lambda: None)


async def test_no_task_waits_for_the_outcome_of_another(world, plan_of):
    world.ledger = Slow(world.ledger)
    world.agent("one")
    asked = []

    def waited(event):
        if event.type == "decision.made":
            asked.append(world.ledger.waited)

    result = await world.executor().run(plan_of(CHAIN), emit=waited)
    assert result.status == "completed"
    assert asked == [0, 0, 0] and world.ledger.waited == 3
    assert len(world.ledger.outcomes(result.run_id)) == 3


async def test_nobody_is_called_after_an_outcome_that_was_not_recorded(world, plan_of):
    world.ledger = Slow(world.ledger, lose="one")
    world.agent("one")
    with pytest.raises(LedgerError, match="disk is full"):
        await world.run(plan_of(CHAIN))
    assert world.starts() == ["a"]
    assert not world.registry.live.inflight.any()


async def test_the_last_outcome_is_said_to_be_lost_too(world, plan_of):
    world.ledger = Slow(world.ledger, lose="one")
    world.agent("one")
    with pytest.raises(LedgerError, match="disk is full"):
        await world.run(plan_of("name: g\ntasks: [{id: a, prompt: do it, skills: [s]}]"))


async def test_what_was_done_is_on_the_disk_when_a_run_waits_for_a_human(world, plan_of):
    world.agent("careful", skills=("x",), requires_approval=True)
    world.agent("one")
    text = CHAIN.replace("c, prompt: do c, skills: [s]", "c, prompt: do c, skills: [x]")
    result = await world.run(plan_of(text))
    assert result.status == "waiting"
    assert len(world.ledger.outcomes(result.run_id)) == 2


async def test_rows_are_checked_in_order_and_only_those_that_are_done(world, plan_of):
    run = world.executor().begin(plan_of(CHAIN), "r")
    assert isinstance(run, Run)
    first, second = Ticket(lambda: None), Ticket(lambda: None)
    run.outstanding.extend([first, second])
    run.check_rows()
    assert len(run.outstanding) == 2
    first.settle(1)
    announce([first])
    run.check_rows()
    assert list(run.outstanding) == [second]
    waiting = asyncio.create_task(run.recorded())
    await asyncio.sleep(0)
    assert not waiting.done()
    second.settle(2)
    announce([second])
    await waiting


async def test_an_inline_agent_leaves_a_folder_only_if_it_asks_for_one(tmp_path):
    registry = Registry()

    @registry.agent(skills=["words"])
    def talks(call):
        """Says a word."""
        return "done"

    @registry.agent(skills=["files"])
    async def writes(call):
        """Writes a file."""
        (call.workdir / "a.txt").write_text("here")
        return {"text": "done", "artifacts": [{"name": "a.txt", "path": "a.txt"}]}

    url = f"sqlite:///{tmp_path}/a.db"
    async with Orchestrator(registry, ledger=url, out=tmp_path / "out", embedder="hashing") as orc:
        work = tmp_path / "out" / "work"
        await orc.run(Task(id="t", prompt="say a word", skills=("words",)))
        assert list(work.iterdir()) == []
        run = await orc.run(Task(id="t", prompt="write a file", skills=("files",)))
        assert run.status == "completed"
        assert [p.name for p in work.rglob("*") if p.is_file()] == ["a.txt"]
