"""One call, one answer, and nothing of it that lives on: forks, daemons, forged messages."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from agentroute.adapters.loading import entry_of
from agentroute.errors import AgentFailedError, AgentTimeoutError
from agentroute.execution.calls.pool import WorkerPool, _reply
from agentroute.model.calls import AgentCall
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from tests.execution.conftest import alive

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")

CODE = '''
import ctypes, json, os, struct, subprocess, sys, threading, time
from agentroute.model.calls import AgentReply, Usage

def said(call):
    return {"text": f"answer for: {call.task.prompt}", "data": {"pid": os.getpid()}}

def plain(call):
    return said(call)

def forks(call):
    os.fork()
    return said(call)

def forks_in_c(call):
    ctypes.PyDLL(None).fork()
    return said(call)

def forks_and_raises(call):
    if os.fork() == 0:
        raise ValueError("from the fork")
    time.sleep(0.1)
    return said(call)

def forks_and_exits(call):
    if os.fork() == 0:
        sys.exit(4)
    time.sleep(0.1)
    return said(call)

def forks_and_talks(call):
    os.fork()
    yield "a"
    yield said(call)

def _pipe():
    mine = {os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
            flags = int(open(f"/proc/self/fdinfo/{name}").read().split("flags:")[1].split()[0], 8)
        except OSError:
            continue
        if target.startswith("pipe:") and target not in mine and flags & os.O_WRONLY:
            return int(name)

def _forge():
    frame = {"op": "reply", "id": 2, "reply": {"text": "ALICE's diagnosis"}, "cpu_s": 0}
    body = json.dumps(frame).encode()
    os.write(_pipe(), struct.pack(">I", len(body)) + body)

def forges(call):
    if "ALICE" in call.task.prompt:
        _forge()
    return said(call)

def forges_later(call):
    if "ALICE" in call.task.prompt:
        threading.Timer(0.1, _forge).start()
    return said(call)

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]

def _daemon(how):
    """Starts a daemon, waits until it has noted its id."""
    if how == "group":
        pid = subprocess.Popen(SLEEP).pid
    elif how == "session":
        pid = subprocess.Popen(SLEEP, start_new_session=True, close_fds=False).pid
    elif how == "no_mark":
        pid = subprocess.Popen(SLEEP, start_new_session=True, env={}).pid
    else:
        fork = ctypes.PyDLL(None).fork if how == "in_c" else os.fork
        r, w = os.pipe()
        if fork() == 0:
            os.setsid()
            if fork() == 0:
                os.write(w, str(os.getpid()).encode())
                time.sleep(60)
            os._exit(0)
        os.wait()
        pid = int(os.read(r, 20))
    open("daemon.pid", "w").write(str(pid))

def daemon(call):
    _daemon(call.task.prompt)
    return said(call)

def daemon_and_hang(call):
    _daemon(call.task.prompt)
    time.sleep(60)

def daemon_and_exit(call):
    _daemon(call.task.prompt)
    sys.exit(3)

def daemon_and_die(call):
    _daemon(call.task.prompt)
    os._exit(3)

BAD = {
    "negative": -1, "words": "many", "none": None, "not_a_number": float("nan"),
    "huge": 2**70, "list": [1],
}

def usage(call):
    return {"text": "t", "usage": {"input_tokens": BAD[call.task.prompt]}}

def unchecked_usage(call):
    made = Usage.model_construct(
        input_tokens=BAD[call.task.prompt], output_tokens=0, cpu_s=0.0, cost_usd=None
    )
    return AgentReply.model_construct(
        text="t", data=None, artifacts=(), citations=(), confidence=None, abstained=False,
        usage=made,
    )

def surrogate(call):
    raise ValueError("\\ud800")
'''


@pytest.fixture
async def pool(tmp_path):
    (tmp_path / "agent.py").write_text(CODE)
    made = WorkerPool()
    made.ahead(1)
    await asyncio.gather(*made._spares)
    yield made
    await made.aclose()


@pytest.fixture
def run(pool, tmp_path):
    async def go(fn, prompt="hi", limit_s=10.0):
        card = CapabilityCard(name=fn.replace("_", "-"), description="d", entrypoint=f"x.py:{fn}")
        (tmp_path / "work").mkdir(exist_ok=True)
        call = AgentCall(task=Task(prompt=prompt), workdir=tmp_path / "work")
        return await pool.call(card, entry_of(f"agent.py:{fn}", tmp_path), call, limit_s=limit_s)

    return go


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def soon_gone(pid: int) -> bool:
    for _ in range(200):
        if gone(pid):
            return True
        await asyncio.sleep(0.005)
    os.kill(pid, signal.SIGKILL)  # it is the test's to tidy up
    return False


FORKS = ["forks", "forks_in_c", "forks_and_raises", "forks_and_exits", "forks_and_talks"]


@pytest.mark.parametrize("fn", FORKS)
async def test_a_fork_that_falls_through_does_not_answer(run, fn):
    for prompt in ("ALICE's diagnosis", "BOB's order", "CAROL's bill"):
        assert (await run(fn, prompt)).text == f"answer for: {prompt}"


async def test_a_forged_answer_fails_the_call_and_ends_the_worker(run, pool):
    with pytest.raises(AgentFailedError, match="not of this call"):
        await run("forges", "ALICE's diagnosis")
    assert alive(pool) == []
    assert (await run("forges", "BOB's order")).text == "answer for: BOB's order"


async def test_an_answer_that_comes_after_its_call_is_nobody_elses(run, pool):
    first = await run("forges_later", "ALICE's diagnosis")
    assert first.text == "answer for: ALICE's diagnosis"
    await asyncio.sleep(0.4)
    with pytest.raises(AgentFailedError, match="not of this call"):
        await run("forges_later", "BOB's order")
    again = await run("forges_later", "BOB's order")
    assert again.text == "answer for: BOB's order"
    assert again.data["pid"] != first.data["pid"]


async def test_a_worker_that_leaves_nothing_is_used_again(run):
    first, second = await run("plain"), await run("plain")
    assert first.data["pid"] == second.data["pid"]


WAYS = ["group", "session", "no_mark", "forked", "in_c"]


@pytest.mark.parametrize("how", WAYS)
async def test_a_daemon_ends_with_its_call(run, pool, tmp_path, how):
    began = time.perf_counter()
    reply = await run("daemon", how)
    took = time.perf_counter() - began
    pid = int((tmp_path / "work" / "daemon.pid").read_text())
    assert await soon_gone(pid)
    assert reply.text == f"answer for: {how}"
    assert took < 3
    assert alive(pool) == []
    began = time.perf_counter()
    await pool.aclose()
    assert time.perf_counter() - began < 3


@pytest.mark.parametrize(
    ("fn", "how"),
    [
        *(("daemon_and_hang", how) for how in WAYS),
        *(("daemon_and_exit", how) for how in WAYS),
        # a daemon with another session and another environment is lost if its worker just dies
        *(("daemon_and_die", how) for how in WAYS if how != "no_mark"),
    ],
)
async def test_a_daemon_ends_with_a_call_that_fails(run, pool, tmp_path, fn, how):
    began = time.perf_counter()
    with pytest.raises((AgentTimeoutError, AgentFailedError)) as e:
        await run(fn, how, limit_s=2.0)
    took = time.perf_counter() - began
    pid = int((tmp_path / "work" / "daemon.pid").read_text())
    assert await soon_gone(pid)
    assert took < 2.0 + 1.0
    assert isinstance(e.value, AgentTimeoutError) is (fn == "daemon_and_hang")
    if fn != "daemon_and_hang":
        assert "exited with code 3" in str(e.value)
    began = time.perf_counter()
    await pool.aclose()
    assert time.perf_counter() - began < 3


async def test_closing_in_a_call_ends_its_daemon(run, pool, tmp_path):
    task = asyncio.create_task(run("daemon_and_hang", "session", limit_s=60))
    noted = tmp_path / "work" / "daemon.pid"
    for _ in range(1_000):
        if noted.exists() and noted.read_text():
            break
        await asyncio.sleep(0.01)
    began = time.perf_counter()
    await pool.aclose()
    assert time.perf_counter() - began < 3
    assert await soon_gone(int(noted.read_text()))
    with contextlib.suppress(AgentFailedError):
        await task


BAD = ["negative", "words", "none", "not_a_number", "huge", "list"]


@pytest.mark.parametrize("fn", ["usage", "unchecked_usage"])
@pytest.mark.parametrize("bad", BAD)
async def test_a_reply_with_an_impossible_usage_is_the_agents_failure(run, fn, bad):
    with pytest.raises(AgentFailedError):
        await run(fn, bad)
    assert (await run("plain")).text == "answer for: hi"


async def test_an_error_that_is_not_text_is_still_said(run):
    with pytest.raises(AgentFailedError, match="ValueError"):
        await run("surrogate")


@pytest.mark.parametrize(
    "cpu_s", ["much", None, [], {}, float("nan"), float("inf"), "inf", 10**400]
)
def test_a_frame_with_an_impossible_cpu_time_is_refused(cpu_s, tmp_path):
    frame = {"op": "reply", "reply": {"text": "t"}, "cpu_s": cpu_s}
    with pytest.raises(AgentFailedError):
        _reply(frame, AgentCall(task=Task(prompt="p"), workdir=tmp_path))


@pytest.mark.parametrize(
    "reply", [None, 3, [], {"text": 3}, {"usage": 3}, {"confidence": 2}, {"artifacts": [{}]}]
)
def test_a_frame_with_an_impossible_reply_is_refused(reply, tmp_path):
    frame = {"op": "reply", "reply": reply, "cpu_s": 0.0}
    with pytest.raises(AgentFailedError, match=r"reply|returned"):
        _reply(frame, AgentCall(task=Task(prompt="p"), workdir=tmp_path))
