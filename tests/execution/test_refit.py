"""An answer that does not fit ``output_type`` is asked for once more, with what is wrong."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.errors import AgentFailedError
from agentroute.model.calls import Citation


class Order(BaseModel):
    number: int


def opened(tmp_path, *replies, name="clerk", skills=("orders",)):
    registry, asked = Registry(), []

    @registry.agent(name=name, skills=list(skills), cost_usd=0.01)
    async def clerk(call):
        """Takes orders."""
        asked.append(call)
        return replies[min(len(asked), len(replies)) - 1]

    orc = Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path / "out", embedder="hashing",
        state=tmp_path / "state",
    )  # fmt: skip
    return orc, asked


ASK = Task(id="order", prompt="Take order 7", skills=("orders",))


@pytest.mark.parametrize(
    ("first", "fault"),
    [
        (AgentReply(text="seven"), "not valid JSON"),
        (AgentReply(text="-", data={"number": "seven"}), "number: Input should be a valid integer"),
        (AgentReply(text="{}"), "number: Field required"),
    ],
)
async def test_it_is_asked_again_once_with_the_error(tmp_path, first, fault):
    cited = first.model_copy(update={"citations": (Citation(source="book"),)})
    orc, asked = opened(tmp_path, cited, AgentReply(text='{"number": 7}'))
    async with orc:
        run = await orc.run(ASK, output_type=Order)
        again = await orc.run(None, resume=run.run_id, output_type=Order)
    assert run.output == again.output == Order(number=7)
    assert run.status == "completed"
    assert len(asked) == 2
    assert fault in asked[1].task.prompt
    assert '"number"' in asked[1].task.prompt
    assert asked[1].task.prompt.startswith("Take order 7\n")
    assert asked[1].inputs["your_answer"].text == first.text
    (row,) = [d for d in run.decisions if d.kind == "refine"]
    assert (row.chosen, row.propensity) == (("clerk",), 1.0)
    assert "did not fit" in row.reason
    assert run.usage.calls == 2


async def test_a_second_misfit_is_an_error_and_nobody_is_asked_a_third_time(tmp_path):
    orc, asked = opened(tmp_path, AgentReply(text="seven"))
    async with orc:
        with pytest.raises(AgentFailedError, match="is not a Order: not valid JSON"):
            await orc.run(ASK, output_type=Order)
    assert len(asked) == 2


async def test_an_answer_that_fits_is_asked_for_once(tmp_path):
    orc, asked = opened(tmp_path, AgentReply(text='fine: {"number": 7}'))
    async with orc:
        run = await orc.run(ASK, output_type=Order)
    assert (run.output, len(asked)) == (Order(number=7), 1)


async def test_whoever_joins_is_asked_again(tmp_path):
    orc, asked = opened(
        tmp_path, AgentReply(text="both"), AgentReply(data={"number": 2}), name="refiner",
        skills=("refine",),
    )  # fmt: skip
    async with orc:

        @orc.registry.agent(name="one", skills=["one"])
        async def one(call):
            """Says one."""
            return "1"

        tasks = [Task(id=v, prompt=f"say {v}", skills=("one",)) for v in "ab"]
        run = await orc.run(tasks, output_type=Order)
    assert run.output == Order(number=2)
    assert set(asked[1].inputs) == {"a", "b", "your_answer"}
