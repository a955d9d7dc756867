"""The gated graph itself: LangGraph hears of its nodes together, and of a failure at once."""

import asyncio

import pytest

from agentroute.execution.langgraph import gated
from agentroute.execution.langgraph.gated import Gates, Running, Wiring, run_gated

N = 30
CHAIN = Wiring(
    tuple(f"t{i}" for i in range(N)), tuple((f"t{i}", f"t{i + 1}") for i in range(N - 1))
)


def running(work, done=None):
    done = {} if done is None else done

    async def noted(v):
        out = await work(v)
        if out is not None:
            done[v] = out
        return out

    return Running(Gates(8), noted, done)


async def test_a_chain_goes_once_through_the_nodes_that_wait(monkeypatch):
    """And not at each end of one: that is the square of its length."""
    waited, wait = [], asyncio.wait

    async def counted(futures, **how):
        futures = list(futures)
        waited.append(len(futures))
        return await wait(futures, **how)

    monkeypatch.setattr(asyncio, "wait", counted)
    order = []

    async def work(v):
        order.append(v)
        await asyncio.sleep(0)
        return {"v": v}

    await run_gated(CHAIN, running(work))
    assert order == list(CHAIN.nodes)
    assert sum(waited) < 3 * N


async def test_who_traces_is_told_when_each_node_ends(monkeypatch):
    ended = []

    async def work(v):
        return {"v": v}

    monkeypatch.setattr(gated, "_is_watched", lambda: True)
    run = running(work)
    real = gated._subtask

    async def told(v, parents, state):
        out = await real(v, parents, state)
        ended.append((v, len(run.done)))
        return out

    monkeypatch.setattr(gated, "_subtask", told)
    gated.gated.cache_clear()
    await run_gated(CHAIN, run)
    gated.gated.cache_clear()
    assert run.end is None and ended[0] == ("t0", 1)


def test_tracing_by_langsmith_is_watching(monkeypatch):
    assert not gated._is_watched()
    monkeypatch.setattr("langsmith.utils.tracing_is_enabled", lambda: True)
    assert gated._is_watched()


async def test_what_a_node_raises_is_heard_while_others_wait():
    async def work(v):
        if v == "t3":
            raise RuntimeError("no")
        return {"v": v}

    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="no"):
            await run_gated(CHAIN, running(work))


async def test_a_run_that_is_cancelled_ends_with_nodes_that_wait_for_the_last():
    async def work(v):
        if v == "t3":
            await asyncio.Event().wait()
        return {"v": v}

    async with asyncio.timeout(10):
        task = asyncio.create_task(run_gated(CHAIN, running(work)))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nodes_that_were_done_or_wait_for_a_human_do_not_hold_the_others():
    async def work(v):
        return None if v == "t5" else {"v": v}

    async with asyncio.timeout(10):
        done = {"t0": {"v": "t0"}}
        await run_gated(CHAIN, running(work, done))
    assert set(done) == {f"t{i}" for i in range(5)}
