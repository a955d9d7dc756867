"""The worker process: answers one call at a time. ``execution.worker`` starts it isolated.

Frames go over a private copy of descriptor 1; descriptor 1 itself is pointed at standard error
before any agent's code runs, so nothing an agent prints can corrupt a frame. A thread watches the
incoming pipe: when the parent goes away, the process ends, also in the middle of a call, and with
it everything that its agent started. A fork sees to the same where that thread gets no turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from agentroute.adapters.frames import MAX_FRAME, pack, read_blocking
from agentroute.errors import AgentRouteError

MARK = "_AGENTROUTE_WORKER"
STARTED_IN = "STARTED_IN"  # environment variable: the folder that the user is in
_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
_ROUNDS = 50
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_CHILD_SUBREAPER = 1, 4, 36
_OWNER = os.getpid()


def main() -> None:
    """Answer calls until the parent closes the pipe."""
    guard = _guarded()
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    pipe = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    _point_at_nothing(0)
    _keep_from_forks(out, pipe)
    _adopt_orphans()
    calls: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_watch, args=(pipe, calls), daemon=True).start()
    # Before "ready", so that our own imports are not on the clock of the first call.
    with _without_plugins():
        import agentroute.adapters.callables
        import agentroute.adapters.replies  # noqa: F401

    _send(out, {"op": "ready", "guard": guard})

    message = calls.get()
    _bound(message.get("limits") or {})
    while True:
        _answer(out, message)
        message = calls.get()


@contextlib.contextmanager
def _without_plugins() -> Iterator[None]:
    """Our own records need none of pydantic's plugins; looking for them is a seventh of the start.

    An agent's records are built after this, and have them.
    """
    os.environ[_PLUGINS] = "__all__"  # not among what a worker is given, so there was none before
    try:
        yield
    finally:
        del os.environ[_PLUGINS]


def _guarded() -> int:
    """A fork that ends this process, and all that it started, when the parent is gone.

    The thread that watches for that may never run: an agent's code can keep the interpreter's
    lock. The fork runs nothing of an agent's, and ends with this process. Its id; 0 without one.
    """
    if sys.platform != "linux":
        return 0
    worker, mark = os.getpid(), os.environ.get(MARK, "")
    guard = os.fork()
    if guard:
        return guard
    with contextlib.suppress(OSError):
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        _point_at_nothing(1, 2)
        if os.getppid() == worker:
            poll = select.poll()
            poll.register(0, 0)  # nothing is read; the end of the pipe is told all the same
            poll.poll()
            os.kill(worker, signal.SIGSTOP)
            kill_family(worker, mark)
            os.kill(worker, signal.SIGKILL)
    os._exit(0)


def _bound(limits: dict[str, int]) -> None:
    """What the processes of this agent may use: a limit each of the operating system's."""
    if sys.platform == "win32":
        return
    import resource

    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: limits.get("memory_mb", 0) << 20,
        resource.RLIMIT_FSIZE: limits.get("file_mb", 0) << 20,
        resource.RLIMIT_NOFILE: limits.get("open_files", 0),
        # The system counts every process and thread of this user's, and not only ours.
        resource.RLIMIT_NPROC: _tasks_of_user() + limits.get("processes", 0),
    }
    for what, most in wanted.items():
        if most or what == resource.RLIMIT_CORE:
            _, hard = resource.getrlimit(what)
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (least, least))


def _tasks_of_user() -> int:
    """Threads that run as this user now."""
    count, uid = 0, os.getuid()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _point_at_nothing(*numbers: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in numbers:
        os.dup2(null, number)
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
    _prctl(_SET_CHILD_SUBREAPER, 1)


def keep_private() -> None:
    """Nobody but root reads this process's memory and environment, which hold the API keys.

    Linux would else let its own workers, of the same user, read both through ``/proc``. It also
    keeps debuggers of that user away and leaves no core file; ``AGENTROUTE_DUMPABLE=1`` says no.
    """
    if os.environ.get("AGENTROUTE_DUMPABLE") != "1":
        _prctl(_SET_DUMPABLE, 0)


def _prctl(what: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def family(pid: int, mark: str) -> set[int]:
    """Live processes that a worker's agent started: its descendants, its session, its mark.

    A daemon can leave the session, but not the mark in its environment unless it starts a program
    with another one, and then it is still a descendant. What ran before the worker did cannot have
    its mark: the environments of others are not read. Empty where there is no ``/proc``.
    """
    parents: dict[int, int] = {}
    found = {pid}
    worker = _stat(str(pid))
    since = worker[3] if worker else 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        stat = _stat(name) if name.isdigit() else None
        if stat is None or stat[0] in "ZX":
            continue
        _, parents[int(name)], session, started = stat
        if session == pid or (started >= since and _marked(name, mark)):
            found.add(int(name))
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def _stat(name: str) -> tuple[str, int, int, int] | None:
    """State, parent, session and start (clock ticks since boot) of a process; None: it is gone."""
    try:
        with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return fields[0], int(fields[1]), int(fields[3]), int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


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
        from agentroute.adapters.loading import announce, load

        announce(message["entry"])
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
    from agentroute.adapters.callables import with_place
    from agentroute.adapters.untrusted import words_of

    ours = isinstance(e, AgentRouteError)
    retryable = bool(getattr(e, "retryable", False)) if ours else True
    frame = {"op": "error", "message": with_place(words_of(e)[:1_900], e), "retryable": retryable}
    dump = getattr(e.spent, "model_dump", None) if isinstance(e, AgentRouteError) else None
    return frame | {"spent": dump()} if dump is not None else frame


def _run(out: Any, fn: Callable[..., Any], message: dict[str, Any]) -> dict[str, Any]:
    from agentroute.adapters.callables import run_to_end
    from agentroute.adapters.replies import as_reply, load_call

    call = load_call(message["call"])
    of_call = {"id": message["id"], "nonce": message["nonce"]}
    os.environ.setdefault(STARTED_IN, os.getcwd())
    os.chdir(call.workdir)

    def chunk(text: str) -> None:
        _send(out, {"op": "chunk", "text": text} | of_call)

    try:
        return as_reply(run_to_end(fn, call, chunk), call.workdir).model_dump(mode="json")
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()  # what it printed is said with its own call


def _cpu_s() -> float:
    t = os.times()
    return time.process_time() + t.children_user + t.children_system
