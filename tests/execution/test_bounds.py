"""What an agent's processes may use, what they may read of their host, and when they end."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentroute.adapters.child import keep_private
from agentroute.adapters.loading import entry_of
from agentroute.errors import AgentFailedError
from agentroute.execution.calls.pool import WorkerPool
from agentroute.model.calls import AgentCall
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc of Linux")
ROOT = hasattr(os, "getuid") and os.getuid() == 0
NOBODY = 65534

CODE = """
import os, resource, subprocess, sys, time
def limits(call):
    names = ("RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE")
    return {"data": {n: resource.getrlimit(getattr(resource, n)) for n in names}}
def memory(call):
    return str(len(bytearray(2 << 30)))
def disk(call):
    with open("big", "wb") as f:
        f.truncate(3 << 20)
def files(call):
    held = [open("/dev/null") for _ in range(500)]
def many(call):
    import threading
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait, daemon=True) for _ in range(400)]
    try:
        for t in threads:
            t.start()
    finally:
        stop.set()
def raises_it(call):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
def host(call):
    parent = os.getppid()
    seen = {}
    for name in ("environ", "mem", "maps"):
        try:
            seen[name] = len(open(f"/proc/{parent}/{name}", "rb").read(16))
        except OSError as e:
            seen[name] = type(e).__name__
    return {"data": seen}
def locked(call):
    daemon = "import os, time; os.setsid(); open('daemon.pid', 'w').write(str(os.getpid()))"
    subprocess.Popen([sys.executable, "-c", daemon + "; time.sleep(300)"])
    while not os.path.exists("daemon.pid"):
        time.sleep(0.01)
    open("ready", "w").close()
    sys.setswitchinterval(1e6)
    import re
    re.match("(a+)+$", "a" * 60 + "b")  # keeps the interpreter's lock for years
"""


@pytest.fixture
async def run(tmp_path):
    (tmp_path / "agent.py").write_text(CODE)
    pool = WorkerPool(spare=0)

    async def go(fn, **limits):
        entry = f"agent.py:{fn}"
        card = CapabilityCard(name=fn, description="d", entrypoint=entry, limits=limits)
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        call = AgentCall(task=Task(prompt="x"), workdir=work)
        return await pool.call(card, entry_of(entry, tmp_path), call, limit_s=30)

    yield go
    await pool.aclose()


async def test_the_limits_of_a_card_are_those_of_its_process(run):
    got = (await run("limits", memory_mb=900, open_files=64, file_mb=2)).data
    assert got == {
        "RLIMIT_AS": [900 << 20] * 2,
        "RLIMIT_NOFILE": [64] * 2,
        "RLIMIT_FSIZE": [2 << 20] * 2,
        "RLIMIT_CORE": [0, 0],
    }


async def test_without_a_word_the_limits_are_generous_and_there(run):
    got = (await run("limits")).data
    assert got["RLIMIT_AS"] == [16_384 << 20] * 2
    assert got["RLIMIT_NOFILE"][0] <= 4_096


@pytest.mark.parametrize(
    ("fn", "limits", "says"),
    [
        ("memory", {"memory_mb": 1_000}, "MemoryError"),
        ("disk", {"file_mb": 2}, "OSError"),
        ("files", {"open_files": 100}, "OSError"),
        pytest.param("many", {"processes": 50}, "RuntimeError",
                     marks=pytest.mark.skipif(ROOT, reason="root has no limit of processes")),
        pytest.param("raises_it", {"open_files": 100}, "ValueError",
                     marks=pytest.mark.skipif(ROOT, reason="root may raise its limits")),
    ],
)  # fmt: skip
async def test_what_is_over_a_limit_is_the_agent_s_failure(run, fn, limits, says):
    with pytest.raises(AgentFailedError, match=says):
        await run(fn, **limits)


async def test_other_limits_are_another_worker(run):
    await run("limits", open_files=64)
    got = (await run("limits", open_files=128)).data
    assert got["RLIMIT_NOFILE"] == [128, 128]


@pytest.mark.skipif(ROOT, reason="root reads everything")
async def test_a_worker_reads_nothing_of_its_host(run):
    got = (await run("host")).data
    assert got == dict.fromkeys(("environ", "mem", "maps"), "PermissionError")


def readable(pid: int) -> bool:
    """Whether a process of this user can read another's environment and memory."""
    child = os.fork()
    if child == 0:
        code = 0
        for name in ("environ", "mem", "maps"):
            try:
                with open(f"/proc/{pid}/{name}", "rb"):
                    code += 1
            except OSError:
                pass  # refused, as it should be: not counted
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) > 0


def as_nobody(work) -> int:
    """The exit code of ``work()`` in a process without privileges that can be read at first."""
    child = os.fork()
    if child == 0:
        if ROOT:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_process_of_the_same_user_reads_no_key_of_the_host():
    def work():
        before = readable(os.getpid())
        keep_private()
        return int(before) + 2 * int(readable(os.getpid()))

    assert as_nobody(work) == 1  # it could be read before, and cannot be after


def test_a_host_may_choose_to_stay_readable(monkeypatch):
    monkeypatch.setenv("AGENTROUTE_DUMPABLE", "1")

    def work():
        keep_private()
        return int(readable(os.getpid()))

    assert as_nobody(work) == 1


async def test_starting_a_worker_makes_the_host_private(run):
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    await run("limits")
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0


HOST = """
import asyncio, sys
from agentroute.execution.calls.worker import Worker
async def main():
    w = await Worker.start()
    print(w.pid, flush=True)
    call = {"task": {"prompt": "x"}, "inputs": {}, "params": {}, "call_id": "", "deadline_s": 9,
            "budget_usd": None, "workdir": sys.argv[1], "transcript": []}
    await w.call({"file": sys.argv[2], "fn": "locked"}, call, None, {})
asyncio.run(main())
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_that_holds_the_lock_ends_with_its_host_and_so_do_its_daemons(
    tmp_path, sign
):
    (tmp_path / "agent.py").write_text(CODE)
    argv = [sys.executable, "-c", HOST, str(tmp_path), str(tmp_path / "agent.py")]
    host = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    worker = int(host.stdout.readline())
    for _ in range(1_000):
        if (tmp_path / "ready").exists():
            break
        await asyncio.sleep(0.02)
    daemon = int((tmp_path / "daemon.pid").read_text())
    await asyncio.sleep(0.2)
    assert not gone(worker)
    assert not gone(daemon)
    host.send_signal(sign)
    host.wait()
    host.stdout.close()
    for _ in range(500):
        if gone(worker) and gone(daemon):
            break
        await asyncio.sleep(0.02)
    assert (gone(worker), gone(daemon)) == (True, True)
