"""What an agent raises or returns is its own failure: the run, the host and the others go on."""

import asyncio
import contextlib

import orjson
import pytest

from agentroute.adapters.replies import MAX_DEPTH
from agentroute.errors import AgentFailedError
from agentroute.execution.calls.pool import _reply
from agentroute.model.calls import AgentCall
from agentroute.model.tasks import Task

TWO = "tasks:\n  - {id: x, prompt: p, skills: [odd]}\n  - {id: y, prompt: p, skills: [s]}\n"


class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")


class Odd(Exception):
    retry_after_s = "soon"

    @property
    def retryable(self):
        raise ValueError("do not ask")


class Base(BaseException):
    """One that no ``except Exception`` catches."""


RAISED = [Mute(), Odd("x"), asyncio.CancelledError(), SystemExit(3), Base("b"), GeneratorExit]


def deep(n):
    value = "leaf"
    for _ in range(n):
        value = [value]
    return value


async def run_beside(world, plan_of, odd, *, threaded=False):
    """The result of a run where one agent is odd and another does its work."""
    if threaded:
        world.registry.agent(name="odd", skills=["odd"], limits={"max_attempts": 1})(odd)
    else:

        async def handler(call):
            return odd(call)

        world.registry.agent(name="odd", skills=["odd"], limits={"max_attempts": 1})(handler)
    world.agent("good")
    return await world.run(plan_of(TWO))


@pytest.mark.parametrize("threaded", [False, True], ids=["coroutine", "thread"])
@pytest.mark.parametrize("error", RAISED[:5], ids=lambda e: type(e).__name__)
async def test_whatever_an_agent_raises_is_its_failure(world, plan_of, error, threaded):
    def odd(call):
        raise error

    result = await run_beside(world, plan_of, odd, threaded=threaded)
    assert result.status == "degraded"
    assert result.replies["y"].text == "good(y)"
    assert any(f"odd failed ({type(error).__name__}" in line for line in result.degraded)
    assert world.registry.live.inflight.sum() == world.registry.live.running.sum() == 0


async def test_a_cancelled_run_is_still_cancelled(world, plan_of):
    world.agent("slow", sleep=30)
    task = asyncio.create_task(world.run(plan_of(TWO.replace("odd", "s"))))
    await asyncio.sleep(0.3)
    assert world.starts() == ["x", "y"] or world.starts() == ["y", "x"]
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 200, 250, 5_000])
async def test_data_nested_too_deep_is_the_agent_s_failure(world, plan_of, depth):
    result = await run_beside(world, plan_of, lambda call: {"data": deep(depth), "text": "x"})
    assert result.status == "degraded"
    assert result.replies["y"].text == "good(y)"


async def test_the_deepest_data_that_is_taken_is_read_again_by_a_resume(world, plan_of):
    world.agent("a", reply=lambda call: {"data": deep(MAX_DEPTH), "text": "x"})
    plan = plan_of("tasks:\n  - {id: x, prompt: p, skills: [s]}\n")
    first = await world.run(plan, run_id="r")
    again = await world.run(plan, run_id="r")
    assert (again.status, again.data, len(world.calls)) == ("completed", first.data, 1)


async def test_a_stored_reply_that_cannot_be_read_fails_its_task_alone(world, plan_of, monkeypatch):
    world.agent("a")
    plan = plan_of("tasks:\n  - {id: x, prompt: p, skills: [s]}\n")
    await world.run(plan, run_id="r")
    body = b'{"text": "x", "data": ' + b"[" * 2_000 + b"]" * 2_000 + b"}"
    monkeypatch.setattr(world.ledger, "text", lambda sha: body.decode())
    result = await world.run(plan, run_id="r")
    assert result.answer == "a(x)"
    assert len(world.calls) == 2


FORGED = [
    {"op": "reply", "reply": {"text": "x"}, "cpu_s": "inf"},
    {"op": "reply", "reply": {"text": "x"}, "cpu_s": 1e308},
    {"op": "reply", "reply": {"text": "x"}, "cpu_s": [1]},
    {"op": "reply", "reply": {"text": "x"}, "cpu_s": -5},
    {"op": "reply", "reply": None},
    {"op": "reply"},
    {"op": ["reply"]},
    {"op": "error", "message": {"a": 1}, "retryable": "no", "cpu_s": "inf", "spent": [1]},
    {"op": "error", "message": None, "spent": {"cost_usd": 1e308}, "cpu_s": None},
]


@pytest.mark.parametrize("frame", FORGED, ids=lambda f: orjson.dumps(f).decode())
def test_a_forged_frame_is_a_typed_failure_or_a_sound_reply(frame, tmp_path):
    call = AgentCall(task=Task(id="t", prompt="p"), workdir=tmp_path)
    with contextlib.suppress(AgentFailedError):
        assert 0 <= _reply(frame, call).usage.cpu_s < 1e9
