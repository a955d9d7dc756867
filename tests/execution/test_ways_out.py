"""Every way out of an attempt gives back what it took, and asks whoever can still be asked."""

import asyncio
import time

import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.errors import ConfigError, UsageError
from agentroute.model.cards import CapabilityCard, Limits, Skill
from agentroute.testing import Say, ScriptedChatServer


def opened(registry, tmp_path, **more):
    return Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, embedder="hashing", **more
    )


def chat(name, model, **more):
    return CapabilityCard(
        name=name, description="answers anything", skills=(Skill(id="answer"),), model=model,
        entrypoint="chat", isolation="inline", prompt="You answer.", **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("after", "fallbacks", "asked"),
    [("3600", ("beta",), ["a", "b"]), ("3600", (), ["a", "b"]), ("15", (), ["a", "b"])],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_does_not_fit_rules_out_the_retry_alone(
    after, fallbacks, asked, status, tmp_path, monkeypatch
):
    calls = []

    def script(body):
        calls.append(body["model"])
        if body["model"] == "a":
            return Say(status=status, headers={"Retry-After": after}, text="slow down")
        return "from b"

    registry = Registry()
    registry.add(chat("alpha", "a", prior_quality=0.9, fallbacks=fallbacks))
    registry.add(chat("beta", "b", prior_quality=0.1))
    with ScriptedChatServer(script) as server:
        for key, value in server.env.items():
            monkeypatch.setenv(key, value)
        async with opened(registry, tmp_path, exploration=0.0, deadline_s=20) as orc:
            run = await orc.run("hi", seed=1)
    assert (run.status, run.answer, calls) == ("degraded", "from b", asked)


async def test_a_cancelled_call_gives_back_the_probe(tmp_path):
    mode = "fail"
    registry = Registry()

    @registry.agent(
        skills=["x"], limits=Limits(max_attempts=1, cooldown_failures=1, cooldown_s=0.05)
    )
    async def agent(call):
        """Does it."""
        if mode == "fail":
            raise RuntimeError("down")
        if mode == "slow":
            await asyncio.sleep(30)
        return "ok"

    async with opened(registry, tmp_path) as orc:
        assert (await orc.run("a")).status == "failed"
        await asyncio.sleep(0.1)
        mode = "slow"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(orc.run("b"), 0.3)
        mode = "ok"
        await asyncio.sleep(0.1)
        assert (await orc.run("c")).status == "completed"
    assert registry.live.inflight.sum() == registry.live.running.sum() == 0


def failing_and_healthy(**limits):
    registry = Registry()

    @registry.agent(skills=["x"], limits=Limits(**limits), prior_quality=0.9)
    def first(call):
        """Does it badly."""
        raise RuntimeError("down")

    @registry.agent(skills=["x"], prior_quality=0.1)
    def second(call):
        """Does it."""
        return "from second"

    return registry


async def test_a_retry_whose_breaker_has_just_opened_goes_to_the_healthy(tmp_path):
    registry = failing_and_healthy(max_attempts=3, cooldown_failures=1, cooldown_s=60)
    async with opened(registry, tmp_path, exploration=0.0) as orc:
        run = await orc.run(Task(id="t", prompt="do it", skills=("x",)), seed=1)
    assert (run.status, run.answer) == ("degraded", "from second")


async def test_a_fallback_whose_breaker_is_open_is_passed_over(tmp_path):
    registry = failing_and_healthy(max_attempts=1)

    @registry.agent(
        skills=["x"], limits=Limits(cooldown_failures=1), prior_quality=0.95,
        fallbacks=("first", "second"),
    )  # fmt: skip
    def best(call):
        """Does it badly too."""
        raise RuntimeError("down")

    async with opened(registry, tmp_path, exploration=0.0) as orc:
        for _ in range(3):
            registry.live.observe("first", cost_usd=0, latency_s=0, error=True, at_s=time.time())
        run = await orc.run(Task(id="t", prompt="do it", skills=("x",)), seed=1)
    assert (run.status, run.answer) == ("degraded", "from second")
    assert [d.chosen for d in run.decisions if d.kind == "route"][-1] == ("second",)


async def test_a_run_that_waits_for_a_human_holds_nobody(tmp_path):
    registry = Registry()

    @registry.agent(skills=["x"], requires_approval=True)
    def careful(call):
        """Does it when told."""
        return "done"

    async with opened(registry, tmp_path) as orc:
        run = await orc.run(Task(id="t", prompt="do it", skills=("x",)))
        assert run.status == "waiting" and registry.live.inflight.sum() == 0
        again = await orc.run(None, resume=run.run_id, answers={"t": True})
        assert again.answer == "done" and registry.live.inflight.sum() == 0


async def test_a_folder_that_cannot_be_written_is_nobodys_failure(tmp_path):
    registry = failing_and_healthy()
    (tmp_path / "file").write_text("in the way")
    orc = Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path / "file", embedder="hashing"
    )
    async with orc:
        with pytest.raises(ConfigError, match="results cannot be written"):
            await orc.run(Task(id="t", prompt="do it", skills=("x",)))
        assert not orc.ledger.last_outcomes(9) and not registry.live.failures.any()


@pytest.mark.parametrize("run_id", ["../../../escaped", "a/b", "..", "", "x" * 101, "a\x00b"])
async def test_a_run_id_never_leads_out_of_the_folder(run_id, tmp_path):
    (tmp_path / "in").mkdir()
    async with opened(failing_and_healthy(), tmp_path / "in") as orc:
        if run_id:
            with pytest.raises(UsageError, match="cannot be used"):
                await orc.run("do it", run_id=run_id)
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


async def test_calls_of_like_names_have_folders_of_their_own(tmp_path):
    registry, places = Registry(), []

    @registry.agent(skills=["x"])
    def writer(call):
        """Notes where it works."""
        places.append(call.workdir)
        return "ok"

    ids = ["t/A", "t?A", "t A", "t_A", "é" * 120, "é" * 121]
    async with opened(registry, tmp_path) as orc:
        await orc.run([Task(id=i, prompt="do it", skills=("x",)) for i in ids])
    assert len(set(places)) == len(ids)
