"""One killable process that runs one agent's calls, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

from agentroute.adapters.frames import pack, read_frame
from agentroute.errors import AgentFailedError
from agentroute.execution.ports import OnChunk

LAST_WORDS = 2_000
_KEEP = frozenset(
    (
        "PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV",
        "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME", "PYTHONHASHSEED",
        "PYTHONDONTWRITEBYTECODE",
    )
)  # fmt: skip
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def child_env() -> dict[str, str]:
    """What an agent's process sees: an allow-list, so no key or token; one BLAS thread.

    ``PYTHONPATH`` repeats this process's search path, so that ``module:fn`` means the same there.
    """
    env = {k: v for k, v in os.environ.items() if k in _KEEP or k.startswith("LC_")}
    env |= dict.fromkeys(_POOLS, "1")
    paths = [os.path.abspath(p) for p in sys.path]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return env


class Worker:
    """A child with its own session; ``start`` it, ``call`` it, ``kill`` it and ``wait``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout
        self._words = bytearray()
        self._listener = asyncio.create_task(self._listen())
        self._calls = 0

    @classmethod
    async def start(cls) -> Worker:
        """A process that has said that it is ready.

        Raises:
            AgentFailedError: it ended before that.
        """
        worker = cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agentroute.adapters.child",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, start_new_session=True, env=child_env(),
            )
        )  # fmt: skip
        try:
            await worker._receive()
        except BaseException:
            await worker.end()
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process id, also that of its session."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    async def call(
        self, entry: dict[str, str], call: dict[str, Any], on_chunk: OnChunk | None
    ) -> dict[str, Any]:
        """The ``reply`` or ``error`` frame of one call; chunks go to ``on_chunk``.

        Raises:
            AgentFailedError: the process ended, or sent what is not a frame. Kill it then.
        """
        self._calls += 1
        with contextlib.suppress(ConnectionError):
            self._in.write(pack({"op": "call", "id": self._calls, "entry": entry, "call": call}))
            await self._in.drain()
        while True:
            frame = await self._receive()
            if frame.get("op") != "chunk":
                return frame
            if on_chunk is not None:
                on_chunk(str(frame.get("text", "")))

    async def _receive(self) -> dict[str, Any]:
        try:
            return await read_frame(self._out)
        except asyncio.IncompleteReadError:
            code = await self._process.wait()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._listener), 0.2)
            raise AgentFailedError(_obituary(code, self._words)) from None

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while piece := await self._process.stderr.read(4096):
            self._words += piece
            del self._words[:-LAST_WORDS]

    def kill(self) -> None:
        """Kill the process and what it started in its session. Safe to repeat."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill, reap, and close the pipes; not interrupted by a cancellation."""
        self.kill()
        await asyncio.shield(self._reap())

    async def _reap(self) -> None:
        await self._process.wait()
        self._listener.cancel()
        self._in.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await self._listener


def _obituary(code: int, words: bytearray) -> str:
    how = f"exited with code {code}" if code >= 0 else f"was ended by signal {-code}"
    text = words.decode(errors="replace").strip()
    last = text.splitlines()[-1][:200] if text else ""
    return f"the agent's process {how}" + (f": {last}" if last else "")
