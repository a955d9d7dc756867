"""The wire to a chat endpoint: what is refused before it is read, and errors in our own types."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agentroute.adapters.untrusted import one_line
from agentroute.errors import AgentFailedError, AgentRouteError, AgentTimeoutError, ModelReplyError
from agentroute.model.calls import UNSENT

if TYPE_CHECKING:
    from openai import APIError, APIStatusError

MAX_BODY_BYTES = 16 * 2**20  # a million characters, each escaped, and what stands around them
MAX_STREAM_BYTES = 64 * 2**20  # the same in chunks of a few characters


def _capped(stream: Any, cap: int) -> Any:
    """A response's bytes as they come, up to a cap: what is over it is never read."""
    from httpx2 import AsyncByteStream

    class Capped(AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for piece in stream:
                size += len(piece)
                if size > cap:
                    raise ModelReplyError(f"the endpoint sent more than {cap // 2**20} MiB")
                yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return Capped()


async def bounded(response: Any) -> None:
    """Before a body is read: it has a cap, and is not one that grows when it is unpacked."""
    packed = response.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        raise ModelReplyError(f"the endpoint sent a body packed as '{one_line(packed, 40)}'")
    events = response.headers.get("content-type", "").startswith("text/event-stream")
    response.stream = _capped(response.stream, MAX_STREAM_BYTES if events else MAX_BODY_BYTES)


@contextmanager
def typed_errors(model: str, timeout_s: float) -> Iterator[None]:
    """Turn the library's errors into ours; no message carries the key or the prompt."""
    try:
        yield
    except AgentRouteError:
        raise
    except TimeoutError as e:
        raise _late(model, timeout_s) from e
    except RecursionError:
        raise ModelReplyError(f"the endpoint of model '{model}' sent JSON nested deep") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise ModelReplyError(f"the endpoint of model '{model}' sent JSON that is cut off") from e
    except Exception as e:
        ours = _ours(model, timeout_s, e)
        if ours is e:
            raise
        raise ours from (None if ours is e.__cause__ else e)


def _late(model: str, timeout_s: float) -> AgentTimeoutError:
    return AgentTimeoutError(f"model '{model}' did not answer within {timeout_s:g} s")


def _ours(model: str, timeout_s: float, e: Exception) -> Exception:
    """An error of the library as one of ours; any other is left as it is."""
    import openai

    if isinstance(e, openai.APITimeoutError):
        return _late(model, timeout_s)
    if isinstance(e, openai.APIStatusError):
        return _status_error(model, e)
    if isinstance(e, openai.APIConnectionError):
        if isinstance(e.__cause__, ModelReplyError):  # what `bounded` refused
            return e.__cause__
        words, hint = f"the endpoint of model '{model}' cannot be reached", "check OPENAI_BASE_URL"
        return AgentFailedError(words, hint=hint, spent=UNSENT)
    if isinstance(e, openai.APIError):
        words = f"the endpoint of model '{model}' broke off its answer"
        return AgentFailedError(words + endpoint_words(e))
    return e


class RequestRefusedError(AgentFailedError):
    """The endpoint understood and refused (400, 404, 422): the same request never succeeds."""


def _status_error(model: str, e: APIStatusError) -> AgentFailedError:
    status = e.status_code
    said = f"the endpoint of model '{model}' answered {status}"
    if 300 <= status < 400:
        words = f"{said}: it sends callers elsewhere, and prompts are not sent after it"
        hint = "set OPENAI_BASE_URL to where it is"
        return AgentFailedError(words, hint=hint, retryable=False, spent=UNSENT)
    said += endpoint_words(e)
    if status in (401, 403):
        return AgentFailedError(said, hint="check OPENAI_API_KEY", retryable=False, spent=UNSENT)
    if status in (400, 404, 422):
        return RequestRefusedError(said, hint="check model:", retryable=False, spent=UNSENT)
    return AgentFailedError(said, retry_after_s=_retry_after_s(e.response.headers), spent=UNSENT)


def endpoint_words(e: APIError) -> str:
    """``: `` and what the endpoint itself said, on one line; '' where it said nothing."""
    body = e.body
    for key in ("error", "message", "detail"):  # OpenAI's form, and those of common servers
        if isinstance(body, Mapping):
            body = body.get(key, body)
    if body is None:
        body = getattr(getattr(e, "response", None), "text", "")
    words = one_line(body if isinstance(body, str) else json.dumps(body, default=str), 300)
    return f": {words}" if words else ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds asked for by ``Retry-After``; its date form is left to the caller's own backoff."""
    try:
        wait = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return wait if 0 <= wait <= 86_400 else None
