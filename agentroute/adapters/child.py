"""The worker process: ``python -m agentroute.adapters.child``. One call at a time.

Frames go over a private copy of descriptor 1; descriptor 1 itself is pointed at standard error
before any agent's code runs, so nothing an agent prints can corrupt a frame. A thread watches the
incoming pipe: when the parent goes away, the process ends, also in the middle of a call.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from agentroute.adapters.frames import MAX_FRAME, pack, read_blocking
from agentroute.errors import AgentRouteError


def main() -> None:
    """Answer calls until the parent closes the pipe."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    pipe = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    _close_stdin()
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


def _watch(pipe: BinaryIO, calls: queue.SimpleQueue[dict[str, Any]]) -> None:
    while (message := read_blocking(pipe)) is not None:
        calls.put(message)
    os._exit(0)


def _send(out: Any, message: dict[str, Any]) -> None:
    data = memoryview(pack(message))
    while data:
        data = data[out.write(data) :]


def _answer(out: Any, message: dict[str, Any]) -> None:
    """One call; loading the code is not part of ``cpu_s``, which is what a call is charged."""
    began = _cpu_s()
    try:
        from agentroute.adapters.loading import load

        fn = load(message["entry"])
        began = _cpu_s()
        frame = {"op": "reply", "reply": _run(out, fn, message)}
        pack(frame, cap=MAX_FRAME)
    except KeyboardInterrupt:
        raise
    except SystemExit as e:
        os._exit(e.code if isinstance(e.code, int) else 1)
    except BaseException as e:
        frame = _failure(e)
    _send(out, frame | {"id": message["id"], "cpu_s": _cpu_s() - began})


def _failure(e: BaseException) -> dict[str, Any]:
    text = str(e) if isinstance(e, AgentRouteError) else f"{type(e).__name__}: {e}"
    retryable = bool(getattr(e, "retryable", not isinstance(e, AgentRouteError)))
    return {"op": "error", "message": text[:2_000], "retryable": retryable}


def _run(out: Any, fn: Callable[..., Any], message: dict[str, Any]) -> dict[str, Any]:
    from agentroute.adapters.callables import run_to_end
    from agentroute.adapters.replies import as_reply, load_call

    call = load_call(message["call"])
    os.chdir(call.workdir)

    def chunk(text: str) -> None:
        _send(out, {"op": "chunk", "id": message["id"], "text": text})

    return as_reply(run_to_end(fn, call, chunk), call.workdir).model_dump(mode="json")


def _cpu_s() -> float:
    t = os.times()
    return time.process_time() + t.children_user + t.children_system


if __name__ == "__main__":
    main()
