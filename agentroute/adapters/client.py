"""An OpenAI-compatible chat endpoint: one call, one deadline, typed errors, and what it cost."""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentroute.adapters.untrusted import one_line
from agentroute.errors import AgentFailedError, AgentTimeoutError, ConfigError, ModelReplyError
from agentroute.model.calls import Usage
from agentroute.model.cards import Pricing

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, AsyncOpenAI

MAX_REPLY_CHARS = 1_000_000
DEFAULT_MAX_TOKENS = 1024

INCOMPLETE = {
    "length": "it was cut off at the token limit",
    "content_filter": "the endpoint's content filter cut it off",
}

# What older endpoints call it; '' means that they do without.
_OLDER = {"max_completion_tokens": "max_tokens", "stream_options": ""}

ChatMessage = Mapping[str, str]


def endpoint_configured(env: Mapping[str, str] | None = None) -> bool:
    """True if ``OPENAI_BASE_URL`` or ``OPENAI_API_KEY`` says where a model can be reached."""
    env = os.environ if env is None else env
    return bool(env.get("OPENAI_BASE_URL") or env.get("OPENAI_API_KEY"))


def cost_usd(pricing: Pricing, input_tokens: int, output_tokens: int) -> float | None:
    """US dollars of one call by the card's prices; None where the card states no price."""
    if not (pricing.call_usd or pricing.input_mtok_usd or pricing.output_mtok_usd):
        return None
    tokens = input_tokens * pricing.input_mtok_usd + output_tokens * pricing.output_mtok_usd
    return pricing.call_usd + tokens / 1e6


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a model said. ``finish`` is the protocol's ``finish_reason``; ``refusal`` its words."""

    text: str
    usage: Usage
    model: str
    finish: str = "stop"
    refusal: str = ""

    @property
    def incomplete(self) -> str:
        """Why the answer is not whole, in words; '' where it is."""
        return INCOMPLETE.get(self.finish, "")


@dataclass(frozen=True)
class ChatClient:
    """Calls one model over ``openai.AsyncOpenAI``; retries are the executor's, not ours.

    ``model`` None means ``OPENAI_MODEL``; ``base_url`` and ``api_key`` None mean the environment.
    ``timeout_s`` bounds a whole call, the last byte included. ``temperature`` None leaves the
    server's own. Connections are not kept alive between calls: a client may be dropped, and used
    from several event loops one after the other, without one being left open. The environment is
    read at each call, so a key that was changed is used from the next call on.
    """

    model: str | None = None
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    pricing: Pricing = field(default_factory=Pricing)
    timeout_s: float = 30.0
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _clients: weakref.WeakKeyDictionary[
        asyncio.AbstractEventLoop, tuple[tuple[str, str], AsyncOpenAI]
    ] = field(default_factory=weakref.WeakKeyDictionary, repr=False, compare=False)
    _unknown: set[str] = field(default_factory=set, repr=False, compare=False)

    @property
    def model_id(self) -> str:
        """The model that is asked.

        Raises:
            ConfigError: neither the card nor ``OPENAI_MODEL`` names one.
        """
        name = self.model or self.env.get("OPENAI_MODEL")
        if not name:
            raise ConfigError(
                "no chat model is named", hint="set model: in the card, or OPENAI_MODEL"
            )
        return name

    async def ask(
        self,
        messages: Sequence[ChatMessage],
        *,
        response_format: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        max_tokens: int | None = None,
    ) -> ChatReply:
        """One completion.

        Raises:
            AgentTimeoutError: no complete answer in time.
            AgentFailedError: the endpoint refused or broke; says whether a retry can help.
            ModelReplyError: an answer that is not a chat completion, or is over a million
                characters.
        """
        wait_s = timeout_s if timeout_s is not None else self.timeout_s
        body = self._body(messages, response_format, max_tokens)
        with _typed_errors(self.model_id, wait_s):
            async with asyncio.timeout(wait_s):
                reply = await self._create(body, wait_s)
        return self._reply(reply)

    async def stream(
        self,
        messages: Sequence[ChatMessage],
        *,
        timeout_s: float | None = None,
        max_tokens: int | None = None,
    ) -> AsyncIterator[str | ChatReply]:
        """Chunks of text as they come, then the whole as a ``ChatReply``; raises as ``ask``."""
        parts: list[str] = []
        size, finish, usage, model, refusal = 0, "", None, self.model_id, ""
        async for chunk in self._chunks(messages, timeout_s, max_tokens):
            usage, model = getattr(chunk, "usage", None) or usage, chunk.model or model
            choice = _first_choice(chunk)
            finish = getattr(choice, "finish_reason", None) or finish
            delta = getattr(choice, "delta", None)
            refusal += _text_of(getattr(delta, "refusal", None))
            if text := _text_of(getattr(delta, "content", None)):
                size = _checked_size(size + len(text))
                parts.append(text)
                yield text
        if not finish:
            raise ModelReplyError(f"model '{model}' stopped in the middle of its answer")
        yield ChatReply("".join(parts), self._usage(usage), model, finish, refusal)

    async def _chunks(
        self, messages: Sequence[ChatMessage], timeout_s: float | None, max_tokens: int | None
    ) -> AsyncIterator[Any]:
        """The raw chunks. Each wait has the deadline round it, never the caller's own time."""
        wait_s = timeout_s if timeout_s is not None else self.timeout_s
        body = self._body(messages, None, max_tokens)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        end = asyncio.get_running_loop().time() + wait_s
        with _typed_errors(self.model_id, wait_s):
            async with asyncio.timeout_at(end):
                chunks = await self._create(body, wait_s)
            async with chunks:
                while True:
                    async with asyncio.timeout_at(end):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    yield chunk

    async def _create(self, body: dict[str, Any], wait_s: float) -> Any:
        """The raw answer. Parameters that an older endpoint refuses by name are put its own way."""
        import openai

        for _ in range(len(_OLDER) + 1):
            sent = {_OLDER[k] if k in self._unknown else k: v for k, v in body.items()}
            sent.pop("", None)
            try:
                return await self._client().chat.completions.create(timeout=wait_s, **sent)
            except openai.APIStatusError as e:
                named = {k for k in _OLDER if k in sent and k in _endpoint_words(e)}
                if e.status_code not in (400, 422) or not named:
                    raise
                self._unknown.update(named)
        raise AssertionError("unreachable: each turn makes one parameter older")

    def _body(
        self,
        messages: Sequence[ChatMessage],
        response_format: Mapping[str, Any] | None,
        max_tokens: int | None,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model_id,
            "messages": [dict(m) for m in messages],
            "max_completion_tokens": self.max_tokens if max_tokens is None else max_tokens,
        }
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if response_format is not None:
            body["response_format"] = dict(response_format)
        return body

    def _client(self) -> AsyncOpenAI:
        loop = asyncio.get_running_loop()
        url = self.base_url or self.env.get("OPENAI_BASE_URL") or ""
        key = self.api_key or self.env.get("OPENAI_API_KEY") or ""
        made_for, client = self._clients.get(loop, (None, None))
        if client is None or made_for != (url, key):
            client = self._connect(url, key)
            self._clients[loop] = (url, key), client
        return client

    def _connect(self, url: str, key: str) -> AsyncOpenAI:
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        if not (key or url):
            raise ConfigError(
                "no chat endpoint is configured", hint="set OPENAI_BASE_URL or OPENAI_API_KEY"
            )
        limits = httpx2.Limits(max_keepalive_connections=0)
        return AsyncOpenAI(
            base_url=url or "https://api.openai.com/v1",
            api_key=key or "none",  # a local server asks for none, the library wants one
            timeout=self.timeout_s,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(limits=limits, timeout=self.timeout_s),
        )

    def _reply(self, raw: Any) -> ChatReply:
        choice = _first_choice(raw)
        message = getattr(choice, "message", None)
        if message is None:
            raise ModelReplyError(f"model '{self.model_id}' sent no chat completion")
        text = _text_of(message.content)
        _checked_size(len(text))
        return ChatReply(
            text,
            self._usage(raw.usage),
            raw.model or self.model_id,
            getattr(choice, "finish_reason", None) or "stop",
            _text_of(getattr(message, "refusal", None)),
        )

    def _usage(self, raw: Any) -> Usage:
        sent, got = (raw.prompt_tokens or 0, raw.completion_tokens or 0) if raw else (0, 0)
        return Usage(
            input_tokens=sent, output_tokens=got, cost_usd=cost_usd(self.pricing, sent, got)
        )


def _first_choice(raw: Any) -> Any:
    """The first choice of a completion or a chunk; None where an endpoint sent none."""
    choices = getattr(raw, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _text_of(content: Any) -> str:
    """Text, also where an endpoint sends it as a list of parts; nothing else is text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (p.get("text") if isinstance(p, Mapping) else getattr(p, "text", None) for p in content)
    return "".join(p for p in parts if isinstance(p, str))


def _checked_size(chars: int) -> int:
    if chars > MAX_REPLY_CHARS:
        raise ModelReplyError(f"the model's answer is longer than {MAX_REPLY_CHARS} characters")
    return chars


@contextmanager
def _typed_errors(model: str, timeout_s: float) -> Iterator[None]:
    """Turn the library's errors into ours; no message carries the key or the prompt."""
    import openai

    try:
        yield
    except (openai.APITimeoutError, TimeoutError) as e:
        raise AgentTimeoutError(f"model '{model}' did not answer within {timeout_s:g} s") from e
    except openai.APIStatusError as e:
        raise _status_error(model, e) from e
    except openai.APIConnectionError as e:
        raise AgentFailedError(
            f"the endpoint of model '{model}' cannot be reached", hint="check OPENAI_BASE_URL"
        ) from e
    except openai.APIError as e:
        raise AgentFailedError(
            f"the endpoint of model '{model}' broke off its answer{_endpoint_words(e)}"
        ) from e
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise ModelReplyError(f"the endpoint of model '{model}' sent JSON that is cut off") from e


class RequestRefusedError(AgentFailedError):
    """The endpoint understood and refused (400, 404, 422): the same request never succeeds."""


def _status_error(model: str, e: APIStatusError) -> AgentFailedError:
    status = e.status_code
    said = f"the endpoint of model '{model}' answered {status}{_endpoint_words(e)}"
    if status in (401, 403):
        return AgentFailedError(said, hint="check OPENAI_API_KEY", retryable=False)
    if status in (400, 404, 422):
        return RequestRefusedError(said, hint="check model:", retryable=False)
    return AgentFailedError(said, retry_after_s=_retry_after_s(e.response.headers))


def _endpoint_words(e: APIError) -> str:
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
