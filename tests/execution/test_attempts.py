"""The one retry loop: retry, fall back, choose again, degrade; budget, deadline, approval."""

from __future__ import annotations

import asyncio
import time

import pytest

from agentroute.errors import ExecutionError
from agentroute.execution.calls.caller import Called
from agentroute.execution.progress import RunLimits
from agentroute.execution.trying.moves import next_move
from agentroute.model.cards import CapabilityCard, Limits
from agentroute.planning.graphfile import plan_of_text

TASK = {"skills": ("s",)}


def routes(result):
    return [(d.attempt, d.chosen, d.policy, d.propensity) for d in result.decisions
            if d.kind == "route"]  # fmt: skip


async def test_a_retry_is_a_row_of_its_own_with_propensity_one(world):
    world.agent("flaky", fails=1)
    result = await world.run(plan_of_text("x", **TASK))
    assert (result.status, result.answer, result.degraded) == ("completed", "flaky(task)", ())
    assert routes(result) == [(1, ("flaky",), "scripted", 1.0), (2, ("flaky",), "retry", 1.0)]
    (_, retry) = [d for d in result.decisions if d.kind == "route"]
    assert "flaky is broken" in retry.reason
    outcomes = world.ledger.outcomes(result.run_id)
    assert [(o.quality, o.error is None) for o in outcomes] == [(0.0, False), (None, True)]


async def test_a_declared_fallback_takes_over_and_it_is_said(world):
    world.agent("a_bad", fails=9, fallbacks=("z_spare",))
    world.agent("m_other")
    world.agent("z_spare")
    result = await world.run(plan_of_text("x", **TASK))
    assert result.status == "degraded"
    assert "a_bad failed" in result.degraded[0]
    assert "z_spare answered instead" in result.degraded[-1]
    assert routes(result)[-1] == (3, ("z_spare",), "fallback", 1.0)


async def test_without_a_fallback_the_policy_chooses_again_among_the_others(world):
    world.agent("a_bad", fails=9)
    world.agent("b_good")
    result = await world.run(plan_of_text("x", **TASK))
    assert [r[1:3] for r in routes(result)] == [
        (("a_bad",), "scripted"), (("a_bad",), "retry"), (("b_good",), "scripted"),
    ]  # fmt: skip
    assert result.answer == "b_good(task)"
    assert result.status == "degraded"


async def test_when_all_fail_the_run_ends_failed_in_words(world):
    world.agent("a_bad", fails=9)
    world.agent("b_bad", fails=9)
    result = await world.run(plan_of_text("x", **TASK))
    assert result.status == "failed"
    assert result.answer.startswith("No answer: every step that gives one failed.\n- a_bad, b_bad")
    assert any("a_bad is broken" in line for line in result.degraded)
    assert any("b_bad is broken" in line for line in result.degraded)


async def test_dependants_skip_only_when_no_input_is_there(world, plan_of):
    world.agent("bad", skills=("b",), fails=9)
    world.agent("good", skills=("s",))
    result = await world.run(
        plan_of("""
topology: hybrid
tasks:
  - {id: x, prompt: p, skills: [b]}
  - {id: y, prompt: p, skills: [s]}
  - {id: only_x, prompt: p, skills: [s], depends_on: [x]}
  - {id: both, prompt: p, skills: [s], depends_on: [x, y]}
""")
    )
    assert set(result.replies) == {"y", "both"}
    assert result.status == "degraded"
    (line,) = [line for line in result.degraded if "only_x" in line]
    assert line.startswith("task 'x': bad failed (ValueError: bad is broken")
    assert line.endswith("; nobody else can do it; not done without it: only_x")


async def test_a_pinned_agent_is_the_only_one_asked(world):
    world.agent("a")
    world.agent("b", fails=9)
    result = await world.run(plan_of_text("x", agent="b", **TASK))
    assert {c for _, (c,), _, _ in routes(result)} == {"b"}
    assert routes(result)[0][2] == "pinned"
    assert result.status == "failed"
    assert world.router.asked == []


async def test_nobody_eligible_names_the_reasons(world):
    world.agent("a")
    result = await world.run(plan_of_text("x", skills=("unheard",)))
    assert result.status == "failed"
    assert "a: lacks a required skill" in result.degraded[0]


async def test_an_abstention_calls_nobody(world):
    world.agent("a")
    world.router.out_of_scope = {"task"}
    result = await world.run(plan_of_text("x", id="task"))
    assert (result.status, world.calls) == ("abstained", [])
    said = "nobody was called (nobody's card speaks of this; nearest: a (its card speaks of other"
    assert said in result.degraded[0] and "agentroute agents ls" in result.degraded[0]
    result = await world.run(plan_of_text("x", **TASK))
    assert result.status == "completed", "who names a skill has said who fits"


async def test_verifiers_and_refiners_are_never_candidates(world):
    world.agent("aa_check", skills=("verify", "s"))
    world.agent("aa_join", skills=("refine", "s"))
    world.agent("zz")
    result = await world.run(plan_of_text("x", **TASK))
    assert result.answer == "zz(task)"


async def test_the_breaker_opens_after_three_failures(world):
    world.agent("a_bad", fails=99, limits={"max_attempts": 3, "cooldown_s": 60})
    world.agent("b_good")
    await world.run(plan_of_text("x", **TASK))
    world.calls.clear()
    result = await world.run(plan_of_text("x", **TASK))
    assert result.status == "completed"
    assert routes(result) == [(1, ("b_good",), "scripted", 1.0)]


async def test_a_budget_too_small_is_refused_before_any_call(world):
    world.agent("dear", cost_usd=0.5)
    result = await world.run(plan_of_text("x", **TASK), bounds=RunLimits(usd=0.4))
    assert (result.status, world.calls, result.usage.cost_usd) == ("failed", [], 0.0)
    assert "expected cost exceeds the budget left" in result.degraded[0]


async def test_concurrent_tasks_cannot_overspend(world, plan_of):
    world.agent("paid", cost_usd=0.1, sleep=0.01)
    tasks = "".join(f"  - {{id: t{i}, prompt: p, skills: [s]}}\n" for i in range(12))
    result = await world.run(plan_of("tasks:\n" + tasks), bounds=RunLimits(usd=0.35))
    assert result.usage.cost_usd == pytest.approx(0.3)
    assert len(world.calls) == 3
    assert result.status == "degraded"


async def test_calls_are_bounded_too(world, plan_of):
    world.agent("a", fails=99)
    result = await world.run(plan_of_text("x", **TASK), bounds=RunLimits(calls=1))
    assert len(world.calls) == 1
    assert any("calls are used up" in line for line in result.degraded)


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
async def test_the_deadline_ends_a_run_with_a_hanging_agent(world, kind):
    if kind == "coroutine":
        world.agent("slow", sleep=30)
    else:
        world.registry.agent(name="slow", description="d", skills=["s"])(lambda c: time.sleep(3))
    await world.run(plan_of_text("warm", skills=("none",)))
    began = time.perf_counter()
    result = await world.run(plan_of_text("x", **TASK), bounds=RunLimits(seconds=0.4))
    assert 0.35 < time.perf_counter() - began < 0.4 + 0.4
    assert result.status == "failed"
    assert "no answer within" in result.degraded[0]


async def test_a_timeout_is_not_retried_by_the_same_agent(world):
    world.agent("a_slow", sleep=30, limits={"timeout_s": 0.05, "max_attempts": 5})
    world.agent("b_fast")
    result = await world.run(plan_of_text("x", **TASK))
    assert [c for _, (c,), _, _ in routes(result)] == ["a_slow", "b_fast"]
    assert result.answer == "b_fast(task)"


def failed(agent, **more):
    return [Called(agent, None, "boom", 0.0, 0.0, 0, **more)]


def test_moves_in_order():
    cards = {
        "a": CapabilityCard(name="a", description="d", fallbacks=("b",)),
        "b": CapabilityCard(name="b", description="d", limits=Limits(max_attempts=1)),
    }
    card_of = cards.__getitem__
    first = next_move([failed("a")], card_of, free=True)
    assert (first.only, first.policy, first.wait_s) == ("a", "retry", 0.05)
    second = next_move([failed("a")] * 2, card_of, free=True)
    assert (second.only, second.policy) == ("b", "fallback")
    third = next_move([failed("a")] * 2 + [failed("b")], card_of, free=True)
    assert (third.only, third.policy) == (None, "")
    assert next_move([failed("a")] * 2 + [failed("b")], card_of, free=False) is None
    assert next_move([failed("a", retryable=False)], card_of, free=True).only == "b"
    assert next_move([failed("a", retry_after_s=2.0)], card_of, free=True).wait_s == 2.0


async def test_an_approval_is_waited_for_and_then_given(world):
    world.agent("careful", requires_approval=True)
    plan = plan_of_text("pay", **TASK)
    first = await world.run(plan)
    assert (first.status, world.calls) == ("waiting", [])
    second = await world.run(plan, run_id=first.run_id)
    assert (second.status, world.calls) == ("waiting", [])
    done = await world.run(plan, run_id=first.run_id, approvals={"task": True})
    assert (done.status, done.answer) == ("completed", "careful(task)")
    assert len([d for d in done.decisions if d.kind == "route"]) == 1
    with pytest.raises(ExecutionError, match="nothing waits"):
        await world.run(plan, run_id=first.run_id, approvals={"other": True})


async def test_a_refused_approval_goes_to_somebody_else(world):
    world.agent("a_careful", requires_approval=True)
    world.agent("b_plain")
    plan = plan_of_text("pay", **TASK)
    first = await world.run(plan)
    done = await world.run(plan, run_id=first.run_id, approvals={"task": False})
    assert done.answer == "b_plain(task)"
    assert "a human refused it" in done.degraded[0]
    assert [c.task.id for c in world.calls] == ["task"]


async def test_shadows_run_beside_and_their_reply_is_unused(world):
    world.agent("main")
    world.agent("ghost", status="shadow", sleep=0.05)
    result = await world.run(plan_of_text("x", **TASK))
    assert result.answer == "main(task)"
    await world.executors[-1].drain()
    shadow = [o for o in world.ledger.outcomes(result.run_id) if o.shadow]
    assert [(o.agent, o.error) for o in shadow] == [("ghost", None)]


async def test_a_cancelled_run_leaves_nothing_running(world):
    started = asyncio.Event()

    async def slow(call):
        started.set()
        await asyncio.sleep(30)

    world.registry.agent(name="slow", description="d", skills=["s"])(slow)
    task = asyncio.create_task(world.run(plan_of_text("x", **TASK)))
    async with asyncio.timeout(10):
        await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    live = world.registry.live
    assert live.running[live.slot("slow")] == 0
    assert len(asyncio.all_tasks()) == 1
