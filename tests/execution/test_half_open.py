"""An agent whose breaker has just run out is tried by one call; the clock may go back."""

import time

import numpy as np
import pytest

from agentroute.features.text import make_embedder
from agentroute.model.cards import CapabilityCard, Skill
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset
from agentroute.registry.eligibility import eligible
from agentroute.registry.live import LiveState

FAN = "tasks:\n" + "".join(f"  - {{id: t{i}, prompt: p, skills: [s]}}\n" for i in range(20))


def half_open(live, agent):
    for _ in range(3):
        live.observe(
            agent, cost_usd=0, latency_s=0, error=True, at_s=time.time() - 61, cooldown_s=60
        )


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a wait"])
async def test_twenty_at_once_send_one_probe(world, plan_of, waits):
    world.agent("a_sick", fails=99, sleep=0.2, limits={"max_attempts": 1})
    world.agent("b_well")
    half_open(world.registry.live, "a_sick")
    if waits:
        import asyncio

        scripted = world.router.score

        async def score(request):
            await asyncio.sleep(0.02)
            return await scripted(request)

        world.router.score = score
    from agentroute.execution.progress import RunLimits

    result = await world.run(plan_of(FAN), bounds=RunLimits(max_concurrency=20))
    tried = [d for d in result.decisions if d.chosen == ("a_sick",)]
    assert len(tried) == 1
    assert all(r.text.startswith("b_well") for r in result.replies.values())
    assert world.registry.live.inflight.sum() == 0


async def test_a_row_that_cannot_be_committed_gives_the_probe_back(world, plan_of, monkeypatch):
    world.agent("a")
    half_open(world.registry.live, "a")
    executor = world.executor()
    plan = plan_of("tasks: [{id: x, prompt: p, skills: [s]}]")
    real = type(executor._decider)._commit

    async def commit(self, record, history, *, wait=True):
        if record.decision.kind == "route":
            raise OSError("the disk is gone")
        return await real(self, record, history, wait=wait)

    monkeypatch.setattr(type(executor._decider), "_commit", commit)
    with pytest.raises(OSError, match="disk"):
        await world.run(plan)
    assert world.registry.live.inflight.sum() == 0


@pytest.mark.parametrize(("back_s", "shut"), [(0, True), (30, False), (3_600, False)])
def test_a_clock_set_back_keeps_no_breaker_open(back_s, shut):
    card = CapabilityCard(name="a", description="d", entrypoint="inline", skills=(Skill(id="s"),))
    cards = build_cardset([card], make_embedder("hashing"))
    live, now = LiveState(), 1e9
    for _ in range(3):
        live.observe("a", cost_usd=0, latency_s=0, error=True, at_s=now, cooldown_s=60)
    seen = now + 5 - back_s
    who = eligible(cards, live, Task(prompt="x"), now_s=seen)
    assert (len(who.candidates) == 0) == shut
    assert (live.shut_for_s("a", seen) > 0) == shut
    assert np.isfinite(live.open_until_s[0])  # half open: one call tries it
