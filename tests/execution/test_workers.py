"""Worker processes: warm, killable, isolated. An agent's misbehaviour stays its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from agentroute.adapters.loading import entry_of
from agentroute.errors import AgentFailedError, AgentTimeoutError, CardError
from agentroute.execution.calls.pool import WorkerPool
from agentroute.model.calls import AgentCall
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from tests.execution.conftest import alive

CODE = """
import os, sys, time, signal
calls = 0
def echo(call):
    global calls
    calls += 1
    print("noise on stdout")
    return {"text": call.task.prompt, "data": {"calls": calls, "pid": os.getpid()}}
def sleepy(call):
    if call.task.prompt == "warm":
        return "warm"
    time.sleep(60)
def busy(call):
    if call.task.prompt == "warm":
        return "warm"
    while True:
        pass  # an agent that never ends and never sleeps: only a kill stops it
def stubborn(call):
    if call.task.prompt == "warm":
        return "warm"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass  # an agent that swallows every exception, its cancellation too
def leave(call):
    print("last words", file=sys.stderr)
    sys.exit(3)
def die(call):
    os.kill(os.getpid(), signal.SIGKILL)
def bad(call):
    raise ValueError("no such thing")
def garbage(call):
    return 7
def big(call):
    return "x" * 30_000_000
def parent(call):
    import subprocess
    p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open("child.pid", "w").write(str(p.pid))
    time.sleep(60)
def talk(call):
    yield "a"
    yield "b"
    return "ab!"
async def coro(call):
    return "async"
def env(call):
    return {"data": dict(os.environ)}
def loaded(call):
    return {"data": {name: name in sys.modules for name in ("pydantic", "asyncio", "numpy")}}
def write(call):
    open("f.txt", "w").write("x")
    return {"text": "ok", "artifacts": [{"name": "f.txt", "path": "f.txt"}]}
def burn(call):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass  # burns CPU seconds, which sleeping would not
    return "warm"
"""


@pytest.fixture
async def pool(tmp_path):
    (tmp_path / "agent.py").write_text(CODE)
    made = WorkerPool()
    made.ahead(1)
    await asyncio.gather(*made._spares)
    yield made
    await made.aclose()
    assert alive(made) == []


@pytest.fixture
def run(pool, tmp_path):
    async def go(fn, limit_s=10.0, prompt="hi", on_chunk=None, **limits):
        card = CapabilityCard(
            name=fn, description="d", entrypoint=f"agent.py:{fn}", limits=limits or {}
        )
        work = tmp_path / f"work-{fn}"
        work.mkdir(exist_ok=True)
        call = AgentCall(task=Task(prompt=prompt), workdir=work)
        entry = entry_of(f"agent.py:{fn}", tmp_path)
        return await pool.call(card, entry, call, limit_s=limit_s, on_chunk=on_chunk)

    return go


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


async def until(holds, within_s=10.0):
    for _ in range(int(within_s / 0.005)):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("did not come true in time")


async def test_a_worker_stays_warm_and_prints_harm_nothing(run):
    first, second = await run("echo"), await run("echo")
    assert first.data["calls"] == 1
    assert second.data == {"calls": 2, "pid": first.data["pid"]}


@pytest.mark.parametrize("fn", ["sleepy", "busy", "stubborn"])
async def test_a_hanging_agent_is_dead_within_100_ms_of_its_limit(run, pool, fn):
    late = []
    for _ in range(3):  # the best of three: the machine may be busy with other things
        await run(fn, prompt="warm")
        (pid,) = alive(pool)
        began = time.perf_counter()
        with pytest.raises(AgentTimeoutError):
            await run(fn, limit_s=0.2)
        late.append(time.perf_counter() - began - 0.2)
        assert gone(pid)
        assert alive(pool) == []
    assert min(late) < 0.1


async def test_outer_cancel_kills_too(run, pool):
    task = asyncio.create_task(run("busy"))
    await until(lambda: alive(pool))
    (pid,) = alive(pool)
    await asyncio.sleep(0.05)
    task.cancel()
    began = time.perf_counter()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - began < 0.1
    assert gone(pid)


async def test_what_an_agent_started_dies_with_it(run, tmp_path):
    task = asyncio.create_task(run("parent"))
    file = tmp_path / "work-parent" / "child.pid"
    await until(lambda: file.exists() and file.read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pid = int(file.read_text())
    await until(lambda: gone(pid))


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        ("leave", "exited with code 3: last words"),
        ("die", "ended by signal 9"),
        ("bad", "ValueError: no such thing"),
        ("garbage", "returned int"),
        ("big", "larger than"),
        ("nothing", "cannot be loaded"),
    ],
)
async def test_failures_are_typed_and_harm_nobody(run, fn, said):
    with pytest.raises((AgentFailedError, CardError), match=said):
        await run(fn)
    assert (await run("echo")).text == "hi"


async def test_streams_coroutines_files_and_large_prompts(run, tmp_path):
    heard: list[str] = []
    assert (await run("talk", on_chunk=heard.append)).text == "ab!"
    assert heard == ["a", "b"]
    assert (await run("coro")).text == "async"
    reply = await run("write")
    assert Path(reply.artifacts[0].path).read_text() == "x"
    assert (await run("echo", prompt="p" * 500_000)).text == "p" * 500_000


async def test_the_environment_is_scrubbed_and_cpu_is_measured(run, monkeypatch, pool):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("MY_TOKEN", "t")
    await pool.aclose()
    pool._closed = False
    env = (await run("env")).data
    assert not {"OPENAI_API_KEY", "MY_TOKEN"} & set(env)
    assert env["OMP_NUM_THREADS"] == "1"
    assert "PYDANTIC_DISABLE_PLUGINS" not in env  # an agent's own models keep their plugins
    assert 0.04 < (await run("burn")).usage.cpu_s < 0.5


async def test_a_worker_imports_no_more_than_its_function_needs(run):
    """Each process of a run starts by it: a sixth of the start was a loop that few use."""
    assert (await run("loaded")).data == {"pydantic": True, "asyncio": False, "numpy": False}


async def test_the_bulkhead_bounds_one_card(run, pool):
    tasks = [asyncio.create_task(run("sleepy", limit_s=0.4, max_concurrency=2)) for _ in range(4)]
    await asyncio.sleep(0.35)
    assert len(alive(pool)) <= 2
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(e, AgentTimeoutError) for e in done)


async def test_a_changed_file_gets_a_new_worker(run, tmp_path):
    first = await run("echo")
    file = tmp_path / "agent.py"
    file.write_text(CODE.replace('"calls": calls', '"calls": -1'))
    os.utime(file, ns=(1, 1))
    second = await run("echo")
    assert second.data["calls"] == -1
    assert second.data["pid"] != first.data["pid"]


async def test_a_worker_dies_with_its_parent(tmp_path):
    import subprocess
    import sys

    (tmp_path / "agent.py").write_text(CODE)
    code = (
        "import asyncio, sys\n"
        "from agentroute.execution.calls.worker import Worker\n"
        "async def main():\n"
        "    w = await Worker.start()\n"
        "    print(w.pid, flush=True)\n"
        f"    call = {{'task': {{'prompt': 'x'}}, 'inputs': {{}}, 'params': {{}}, 'call_id': '',"
        f" 'deadline_s': 9, 'budget_usd': None, 'workdir': {str(tmp_path)!r}, 'transcript': []}}\n"
        f"    entry = {{'file': {str(tmp_path / 'agent.py')!r}, 'fn': 'busy'}}\n"
        "    await w.call(entry, call, None, {})\n"
        "asyncio.run(main())\n"
    )
    p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert p.stdout is not None
    pid = int(p.stdout.readline())
    await asyncio.sleep(0.3)
    p.send_signal(signal.SIGKILL)
    p.wait()
    p.stdout.close()
    await until(lambda: gone(pid))


@pytest.mark.parametrize(("agent", "started"), [("calculator", True), ("inline", False)])
async def test_a_process_starts_while_the_run_is_still_being_decided(
    tmp_path, monkeypatch, agent, started
):
    """Half of a call's time is the start of its process; none is started for agents in code."""
    from agentroute import Orchestrator, Registry, Task
    from agentroute.config.paths import search_order
    from agentroute.execution.calls.worker import Worker

    order, plain = [], Worker.start

    async def start(*given, **more):
        order.append("process")
        return await plain(*given, **more)

    monkeypatch.setattr(Worker, "start", start)
    registry = Registry(search_order("agents"))

    @registry.agent(name="inline")
    def inline(call):
        return "23"

    def watch(event):
        if event.type in ("decision.made", "agent.started"):
            order.append(event.type)

    async with Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, embedder="hashing"
    ) as orc:
        run = await orc.run(Task(prompt="what is 20 + 3", agent=agent), on_event=watch)
    assert run.answer.startswith("23")
    assert order.count("agent.started") == 1
    assert (order[0] == "process") is started
    assert ("process" in order) is started
