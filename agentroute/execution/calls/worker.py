"""One killable process that runs one agent's calls, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentroute.adapters.child import MARK, keep_private, kill_family
from agentroute.adapters.frames import pack, read_frame
from agentroute.adapters.loading import command
from agentroute.adapters.untrusted import one_line
from agentroute.errors import AgentFailedError
from agentroute.model.calls import OnChunk

log = logging.getLogger("agentroute.agents")

LAST_WORDS = 2_000
START_S = 60.0
END_S = 2.0
_LINGER_S = 0.2
_LIMIT = 2**16
_KEEP = frozenset(
    (
        "PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV",
        "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME", "PYTHONHASHSEED",
        "PYTHONDONTWRITEBYTECODE",
    )
)  # fmt: skip
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def child_env() -> dict[str, str]:
    """What an agent's process sees: an allow-list, so no key or token; one BLAS thread."""
    env = {k: v for k, v in os.environ.items() if k in _KEEP or k.startswith("LC_")}
    return env | dict.fromkeys(_POOLS, "1")


class _Pipes(SubprocessStreamProtocol):
    """The child's streams. They close soon after it ends, whoever else may hold them open."""

    def __init__(self, mark: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_LIMIT, loop=loop)
        self.mark, self.exited, self.loop = mark, asyncio.Event(), loop
        self.transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport: it alone can close the reading ends."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self.transport = transport
        super().connection_made(transport)

    def process_exited(self) -> None:
        """End what the process left behind, now: later its id may be another's."""
        super().process_exited()
        self.exited.set()
        if self.transport is not None:
            kill_family(self.transport.get_pid(), self.mark)
            self.loop.call_later(_LINGER_S, self.transport.close)


class Worker:
    """A child with its own session; ``start`` it, ``call`` it, ``kill`` it and ``wait``."""

    def __init__(self, process: Process, pipes: _Pipes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout
        self._pipes = pipes
        self._words = bytearray()
        self._listener = asyncio.create_task(self._listen())
        self._calls, self._name = 0, "agent"
        self._guard = ""  # a child of the process that is none of an agent's

    @classmethod
    async def start(cls) -> Worker:
        """A process that has said that it is ready.

        Raises:
            AgentFailedError: it ended before that, or took longer than ``START_S``.
        """
        keep_private()
        loop, mark = asyncio.get_running_loop(), secrets.token_hex(8)
        transport, pipes = await loop.subprocess_exec(
            lambda: _Pipes(mark, loop), *command(), stdin=PIPE, stdout=PIPE, stderr=PIPE,
            start_new_session=True, env=child_env() | {MARK: mark},
        )  # fmt: skip
        worker = cls(Process(transport, pipes, loop), pipes)
        try:
            async with asyncio.timeout(START_S):
                worker._guard = str((await worker._receive()).get("guard", ""))
        except TimeoutError:
            await worker.end()
            raise AgentFailedError(f"no worker was ready within {START_S:.0f} s") from None
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
        self,
        entry: dict[str, str],
        call: dict[str, Any],
        on_chunk: OnChunk | None,
        limits: Mapping[str, int],
    ) -> dict[str, Any]:
        """The ``reply`` or ``error`` frame of one call; chunks go to ``on_chunk``. The ``limits``
        of the first call bind the process for its life.

        Raises:
            AgentFailedError: the process ended, or sent what is not a frame. Kill it then.
        """
        self._calls += 1
        self._name = Path(entry.get("file") or entry.get("module") or "agent").name
        of_call = {"id": self._calls, "nonce": secrets.token_hex(8)}
        with contextlib.suppress(ConnectionError):
            message = {"op": "call", "entry": entry, "call": call, "limits": dict(limits)}
            self._in.write(pack(message | of_call))
            await self._in.drain()
        while True:
            frame = await self._receive()
            if {k: frame.get(k) for k in of_call} != of_call:
                raise AgentFailedError(
                    "the agent's process sent a message that is not of this call",
                    hint="what an agent forks must end before it returns",
                )
            if frame.get("op") != "chunk":
                return frame
            if on_chunk is not None:
                on_chunk(str(frame.get("text", "")))

    async def _receive(self) -> dict[str, Any]:
        try:
            return await read_frame(self._out)
        except asyncio.IncompleteReadError:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._pipes.exited.wait(), END_S)
            # Not awaited itself: whoever ends the worker meanwhile cancels it, and not this call.
            await asyncio.wait({self._listener}, timeout=_LINGER_S)
            raise AgentFailedError(_obituary(self._process.returncode, self._words)) from None

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        line = b""
        while piece := await self._process.stderr.read(4096):
            self._words += piece
            del self._words[:-LAST_WORDS]
            *lines, line = (line + piece).split(b"\n")
            self._log(lines)
            line = line[-LAST_WORDS:]
        self._log([line])

    def _log(self, lines: list[bytes]) -> None:
        """What agents print and write to standard error: ``--debug`` shows it."""
        if log.isEnabledFor(logging.INFO):
            for line in filter(None, lines):
                log.info("%s: %s", self._name, one_line(line.decode(errors="replace"), 1_000))

    def left_behind(self) -> bool:
        """Whether processes of a call are still there after it, also ended ones nobody waited for.

        The worker adopts orphans, so a process that has no child has no descendant.
        """
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                if set(children.read_text().split()) - {self._guard}:
                    return True
        return False

    def kill(self) -> None:
        """Kill the process and all that it started. Safe to repeat."""
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGSTOP)  # it keeps adopting, but starts nothing more
            kill_family(self.pid, self._pipes.mark)
            os.killpg(self.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill, reap, and close the pipes, in bounded time; not interrupted by a cancellation."""
        self.kill()
        await asyncio.shield(self._reap())

    async def _reap(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pipes.exited.wait(), END_S)
        self._listener.cancel()
        self._in.close()
        if self._pipes.transport is not None:
            self._pipes.transport.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await self._listener


def _obituary(code: int | None, words: bytearray) -> str:
    if code is None:
        how = "closed its pipe"
    else:
        how = f"exited with code {code}" if code >= 0 else f"was ended by signal {-code}"
    text = words.decode(errors="replace").strip()
    last = text.splitlines()[-1][:200] if text else ""
    return f"the agent's process {how}" + (f": {last}" if last else "")
