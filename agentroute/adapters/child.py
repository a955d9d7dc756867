"""The worker process: answers one call at a time. ``execution.worker`` starts it isolated.

Frames go over a private copy of descriptor 1; descriptor 1 itself is pointed at standard error
before any agent's code runs, so nothing an agent prints can corrupt a frame. A thread watches the
incoming pipe: when the parent goes away, the process ends, also in the middle of a call, and with
it everything that its agent started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from agentroute.adapters.frames import MAX_FRAME, pack, read_blocking
from agentroute.errors import AgentRouteError

MARK = "_AGENTROUTE_WORKER"
_ROUNDS = 50
_SET_CHILD_SUBREAPER = 36
_OWNER = os.getpid()


def main() -> None:
    """Answer calls until the parent closes the pipe."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    pipe = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    _close_stdin()
    _keep_from_forks(out, pipe)
    _adopt_orphans()
    calls: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_watch, args=(pipe, calls), daemon=True).start()
    # Before "ready", so that our own imports are not on the clock of the first call.
    import agentroute.adapters.callables
    import agentroute.adapters.replies  # noqa: F401

    _send(out, {"op": "ready"})

    while True:
        _answer(out, calls.get())


def _close_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _keep_from_forks(*pipes: Any) -> None:
    """What an agent forks gets an empty file in their place: it can neither answer nor hold them.

    In place, and not closed: a closed number would be given to the next file that it opens.
    """
    null = os.open(os.devnull, os.O_RDWR)

    def let_go() -> None:
        for pipe in pipes:
            os.dup2(null, pipe.fileno(), inheritable=False)

    os.register_at_fork(after_in_child=let_go)


def _adopt_orphans() -> None:
    """A daemon whose parent ended becomes this process's child, so that it can be found."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(pid: int, mark: str) -> set[int]:
    """Live processes that a worker's agent started: its descendants, its session, its mark.

    A daemon can leave the session, but not the mark in its environment unless it starts a program
    with another one, and then it is still a descendant. Empty where there is no ``/proc``.
    """
    parents: dict[int, int] = {}
    found = {pid}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                state, parent, _, session = f.read().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if state in "ZX":
            continue
        parents[int(name)] = int(parent)
        if int(session) == pid or _marked(name, mark):
            found.add(int(name))
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def _marked(name: str, mark: str) -> bool:
    try:
        with open(f"/proc/{name}/environ", "rb") as f:
            return f"{MARK}={mark}".encode() in f.read().split(b"\0")
    except OSError:
        return False


def kill_family(pid: int, mark: str) -> None:
    """Kill what ``family`` finds, again until nothing new was started meanwhile."""
    killed: set[int] = {pid, os.getpid()}
    for _ in range(_ROUNDS):
        new = family(pid, mark) - killed
        if not new:
            return
        for one in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)
        killed |= new


def _exit(code: int) -> None:
    if os.getpid() == _OWNER:  # not a fork of it, which would end its parent's other children
        kill_family(os.getpid(), os.environ.get(MARK, ""))
    os._exit(code)


def _watch(pipe: BinaryIO, calls: queue.SimpleQueue[dict[str, Any]]) -> None:
    try:
        while (message := read_blocking(pipe)) is not None:
            calls.put(message)
    finally:
        _exit(0)


def _send(out: Any, message: dict[str, Any]) -> None:
    if os.getpid() != _OWNER:  # a fork of an agent's that returned: only one may answer
        os._exit(0)
    data = memoryview(pack(message))
    while data:
        data = data[out.write(data) :]


def _answer(out: Any, message: dict[str, Any]) -> None:
    """One call; loading the code is not part of ``cpu_s``, which is what a call is charged."""
    began = _cpu_s()
    of_call = {"id": message["id"], "nonce": message["nonce"]}
    try:
        from agentroute.adapters.loading import load
        from agentroute.adapters.spawned import announce

        announce(message["entry"].get("file", ""))
        fn = load(message["entry"])
        began = _cpu_s()
        reply = _run(out, fn, message)
        frame = {"op": "reply", "reply": reply, "cpu_s": _cpu_s() - began} | of_call
        pack(frame, cap=MAX_FRAME)
    except KeyboardInterrupt:
        raise
    except SystemExit as e:
        _exit(e.code if isinstance(e.code, int) else 1)
    except BaseException as e:
        frame = _failure(e) | {"cpu_s": _cpu_s() - began} | of_call
    _send(out, frame)


def _failure(e: BaseException) -> dict[str, Any]:
    text = str(e) if isinstance(e, AgentRouteError) else f"{type(e).__name__}: {e}"
    text = text[:2_000].encode("utf-8", "replace").decode()  # half a surrogate pair is not JSON
    retryable = bool(getattr(e, "retryable", not isinstance(e, AgentRouteError)))
    return {"op": "error", "message": text, "retryable": retryable}


def _run(out: Any, fn: Callable[..., Any], message: dict[str, Any]) -> dict[str, Any]:
    from agentroute.adapters.callables import run_to_end
    from agentroute.adapters.replies import as_reply, load_call

    call = load_call(message["call"])
    of_call = {"id": message["id"], "nonce": message["nonce"]}
    os.chdir(call.workdir)

    def chunk(text: str) -> None:
        _send(out, {"op": "chunk", "text": text} | of_call)

    return as_reply(run_to_end(fn, call, chunk), call.workdir).model_dump(mode="json")


def _cpu_s() -> float:
    t = os.times()
    return time.process_time() + t.children_user + t.children_system
