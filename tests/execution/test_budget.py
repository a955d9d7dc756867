"""What a run may spend is kept, whatever estimates, replies and failures say of their cost."""

import asyncio

import pytest

from agentroute import AgentReply, Orchestrator, Registry
from agentroute.errors import AgentFailedError, BudgetExceededError
from agentroute.execution.budget import Budget, Price
from agentroute.execution.progress import RunLimits
from agentroute.model.calls import Usage

KNOWN = Price(0.4, measured=True)


def fan(n, **task):
    more = "".join(f", {k}: {v}" for k, v in task.items())
    return "tasks:\n" + "".join(
        f"  - {{id: t{i}, prompt: p, skills: [s]{more}}}\n" for i in range(n)
    )


def costs(usd):
    return lambda call: AgentReply(text="done", usage=Usage(cost_usd=usd))


async def spent(world, plan, usd, **bounds):
    await world.run(plan, bounds=RunLimits(usd=usd, **bounds))
    return sum(o.cost_usd for _, o in all_outcomes(world))


def all_outcomes(world):
    return [(r.seq, r.value) for r in world.ledger.rows(0, None, tables=("outcomes",))]


async def test_without_an_estimate_64_at_once_keep_the_budget(world, plan_of):
    world.agent("a", reply=costs(0.01), sleep=0.005)
    used = await spent(world, plan_of(fan(64)), 0.05, max_concurrency=64)
    assert used == pytest.approx(0.05)


async def test_an_estimate_a_thousand_times_too_low_is_overrun_by_one_call(world, plan_of):
    world.agent("a", cost_usd=0.001, reply=costs(1.0), sleep=0.005)
    used = await spent(world, plan_of(fan(64)), 0.10, max_concurrency=64)
    assert used == pytest.approx(1.0)


async def test_average_costs_of_before_are_overrun_by_at_most_the_calls_in_flight(world, plan_of):
    world.agent("a", reply=costs(1.0), sleep=0.005)
    world.registry.live.observe("a", cost_usd=0.001, latency_s=0, error=False, at_s=0)
    used = await spent(world, plan_of(fan(64)), 0.10, max_concurrency=4)
    assert used <= 4.0


async def test_money_spent_by_calls_that_fail_counts(world, plan_of):
    def fails(call):
        raise AgentFailedError("no use", retryable=False, spent=Usage(cost_usd=0.02))

    world.agent("a", reply=fails)
    assert await spent(world, plan_of(fan(30)), 0.05) == pytest.approx(0.04)


async def test_a_failed_call_costs_what_the_card_asks_for_a_call(world, plan_of):
    world.agent("a", cost_usd=0.02, fails=99, limits={"max_attempts": 1, "cooldown_failures": 99})
    assert await spent(world, plan_of(fan(30)), 0.05) == pytest.approx(0.04)
    assert len(world.calls) == 2


async def test_a_reply_that_says_it_was_free_pays_the_price_of_the_card(world, plan_of):
    world.agent("a", cost_usd=0.02, reply=costs(0.0))
    assert await spent(world, plan_of(fan(8)), 0.05) == pytest.approx(0.04)


async def test_a_reply_that_does_not_fit_is_paid_for(world, plan_of):
    reply = {"text": "x", "usage": {"cost_usd": 0.03}, "artifacts": [{"name": "a", "path": "a"}]}
    world.agent("a", reply=lambda call: reply)
    assert await spent(world, plan_of(fan(8)), 0.05) == pytest.approx(0.03)


@pytest.mark.parametrize("card", [{}, {"cost_usd": 0.01}], ids=["price unknown", "priced"])
async def test_a_budget_of_0_makes_no_paid_call(world, plan_of, card):
    world.agent("a", reply=costs(0.01), **card)
    assert await spent(world, plan_of(fan(8)), 0.0) == 0.0
    assert world.calls == []


async def test_a_budget_of_0_lets_those_work_who_are_free(world, plan_of):
    world.agent("a", cost_usd=0)
    result = await world.run(plan_of(fan(8)), bounds=RunLimits(usd=0.0))
    assert len(world.calls) == 8
    assert len(result.replies) == 8


async def test_a_task_s_budget_holds_over_its_attempts(world, plan_of):
    for name in ("a", "b", "c"):
        world.agent(name, cost_usd=0.02, fails=99, limits={"max_attempts": 3})
    await world.run(plan_of(fan(1, budget_usd=0.05)))
    assert len(world.calls) == 2


async def test_a_task_s_budget_counts_what_an_earlier_life_spent(world, plan_of):
    world.agent("a", cost_usd=0.02, fails=99, limits={"max_attempts": 1})
    world.agent("b", cost_usd=0.02, fails=99, limits={"max_attempts": 1})
    plan = plan_of(fan(1, budget_usd=0.03))
    await world.run(plan, run_id="r")
    await world.run(plan, run_id="r")
    assert len(world.calls) == 1


@pytest.mark.parametrize("usd", [1e308, 1e10, -1.0])
async def test_a_cost_beyond_any_call_is_the_agent_s_failure(world, plan_of, usd):
    world.agent("a", reply=lambda call: {"text": "x", "usage": {"cost_usd": usd}})
    result = await world.run(plan_of(fan(2)))
    assert result.usage.cost_usd < 1
    assert all(o.error for _, o in all_outcomes(world))


async def test_shadows_spending_counts_for_a_resumed_run(world, plan_of):
    world.agent("a", cost_usd=0.01)
    world.agent("ghost", cost_usd=0.03, status="shadow")
    executor = world.executor()
    await world.run(plan_of(fan(1)), run_id="r", bounds=RunLimits(usd=1.0))
    await executor.drain()
    run = executor.begin(plan_of(fan(1)), "r")
    assert run.budget.spent_usd == pytest.approx(0.04)


async def test_a_purse_holds_while_a_call_runs():
    budget = Budget(1.0)
    a, b = await budget.reserve("x", KNOWN), await budget.reserve("x", KNOWN)
    assert (a.left_usd, b.left_usd) == (1.0, pytest.approx(0.6))
    third = asyncio.create_task(budget.reserve("x", Price(0.3, measured=True)))
    await asyncio.sleep(0)
    assert not third.done()  # it waits for one of the two, and is not refused
    budget.settle(a, 0.5)
    budget.settle(a, 0.5)
    budget.settle(b, 0.0)
    assert (await third).usd == pytest.approx(0.5)  # the most that a call of x came to
    assert budget.left_usd == pytest.approx(0.5)
    with pytest.raises(BudgetExceededError, match="expected to cost"):
        await budget.reserve("y", Price(0.6))


async def test_who_waits_for_money_is_told_when_there_is_none():
    budget = Budget(1.0)
    hold = await budget.reserve("x", Price(0.9))
    waits = asyncio.create_task(budget.reserve("y", Price(0.5)))
    await asyncio.sleep(0)
    budget.settle(hold, 0.9)
    with pytest.raises(BudgetExceededError, match=r"\$0\.1 are left"):
        await waits


async def test_the_front_door_keeps_a_budget(tmp_path):
    registry = Registry()

    @registry.agent(skills=["s"])
    async def a(call):
        return AgentReply(text="x", usage=Usage(cost_usd=1.0))

    url = f"sqlite:///{tmp_path / 'l.db'}"
    async with Orchestrator(registry, ledger=url, out=tmp_path, budget_usd=0.0) as orc:
        result = await orc.run("x")
    assert (result.status, result.usage.cost_usd, result.usage.calls) == ("failed", 0.0, 0)
