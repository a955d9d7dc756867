"""Length-prefixed JSON on a pipe: how the pool and a worker process talk.

A frame is four bytes, big-endian: the length n of what follows, then n bytes of JSON. Parent to
child: ``{"op": "call", "id", "nonce", "entry", "call"}``. Child to parent: ``ready``, then for each
call any number of ``chunk`` and one ``reply`` or ``error``, all with the call's ``id`` and
``nonce``. JSON and not pickle, for the child is trusted less than we are.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import orjson

from agentroute.errors import AgentFailedError

MAX_FRAME = 16 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class AsyncReader(Protocol):
    """The part of ``asyncio.StreamReader`` that is used."""

    async def readexactly(self, n: int) -> bytes:
        """Exactly n bytes, or ``IncompleteReadError``."""


def pack(message: Mapping[str, Any], *, cap: int = MAX_FRAME) -> bytes:
    """A message as one frame.

    Raises:
        AgentFailedError: it is not JSON, or larger than ``cap`` bytes.
    """
    try:
        body = orjson.dumps(message)
    except TypeError as e:
        raise AgentFailedError(f"cannot be sent as JSON: {e}", retryable=False) from None
    if len(body) > cap:
        raise _oversize(len(body), cap)
    return _LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> dict[str, Any]:
    """A frame's body as a message.

    Raises:
        AgentFailedError: not a JSON object.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise AgentFailedError("the worker sent something that is not JSON") from None
    if not isinstance(message, dict):
        raise AgentFailedError("the worker sent something that is not an object")
    return message


async def read_frame(reader: AsyncReader, *, cap: int = MAX_FRAME) -> dict[str, Any]:
    """The next message from a child.

    Raises:
        AgentFailedError: oversize, or not JSON.
        asyncio.IncompleteReadError: the child closed its end.
    """
    (n,) = _LENGTH.unpack(await reader.readexactly(4))
    if n > cap:
        raise _oversize(n, cap)
    return unpack(await reader.readexactly(n))


def read_blocking(pipe: BinaryIO) -> dict[str, Any] | None:
    """The next message on a blocking pipe; None at its end."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    (n,) = _LENGTH.unpack(head)
    body = pipe.read(n)
    return None if len(body) < n else unpack(body)


def _oversize(n: int, cap: int) -> AgentFailedError:
    return AgentFailedError(
        f"a message of {n:,} bytes is over the cap of {cap:,}",
        hint="write large results to a file in call.workdir and return it as an artifact",
        retryable=False,
    )
