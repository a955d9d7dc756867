"""An OpenAI-compatible chat endpoint: one call, one deadline, typed errors, and what it cost."""

from __future__ import annotations

import asyncio
import importlib
import os
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentroute.adapters.wire import bounded, endpoint_words, typed_errors
from agentroute.errors import AgentRouteError, ConfigError, ModelReplyError
from agentroute.model.calls import MAX_TOKENS, Usage
from agentroute.model.cards import Pricing

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_REPLY_CHARS = 1_000_000
CHARS_A_TOKEN = 4  # a rule of thumb, where no endpoint counts
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
        end = asyncio.get_running_loop().time() + wait_s  # loading the library counts as well
        with typed_errors(self.model_id, wait_s):
            async with asyncio.timeout_at(end):
                reply = await self._create(body, wait_s)
        return self._reply(reply, _chars(messages))

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
        async for chunk in self._counted(messages, timeout_s, max_tokens, parts):
            usage, model = _part(chunk, "usage") or usage, _word(_part(chunk, "model")) or model
            choice = _first_of(_part(chunk, "choices"))
            finish = _word(_part(choice, "finish_reason")) or finish
            delta = _part(choice, "delta")
            refusal += _word(_part(delta, "refusal"))
            if text := self._text(_part(delta, "content")):
                size = _checked_size(size + len(text))
                parts.append(text)
                yield text
        used = self._usage(usage, _chars(messages), size)
        if not finish:
            error = ModelReplyError(f"model '{model}' stopped in the middle of its answer")
            error.spent = used
            raise error
        yield ChatReply("".join(parts), used, model, finish, refusal)

    async def _counted(
        self,
        messages: Sequence[ChatMessage],
        timeout_s: float | None,
        max_tokens: int | None,
        parts: Sequence[str],
    ) -> AsyncIterator[Any]:
        """The raw chunks; an answer that broke off is charged for what had come of it."""
        try:
            async for chunk in self._chunks(messages, timeout_s, max_tokens):
                yield chunk
        except AgentRouteError as e:
            if e.spent is None and parts:
                e.spent = self._usage(None, _chars(messages), sum(map(len, parts)))
            raise

    async def _chunks(
        self, messages: Sequence[ChatMessage], timeout_s: float | None, max_tokens: int | None
    ) -> AsyncIterator[Any]:
        """The raw chunks. Each wait has the deadline round it, never the caller's own time."""
        wait_s = timeout_s if timeout_s is not None else self.timeout_s
        body = self._body(messages, None, max_tokens)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        end = asyncio.get_running_loop().time() + wait_s
        with typed_errors(self.model_id, wait_s):
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
        client = await self._client()
        import openai

        for _ in range(len(_OLDER) + 1):
            sent = {_OLDER[k] if k in self._unknown else k: v for k, v in body.items()}
            sent.pop("", None)
            try:
                return await client.chat.completions.create(timeout=wait_s, **sent)
            except openai.APIStatusError as e:
                named = {k for k in _OLDER if k in sent and k in endpoint_words(e)}
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

    async def _client(self) -> AsyncOpenAI:
        loop = asyncio.get_running_loop()
        url = self.base_url or self.env.get("OPENAI_BASE_URL") or ""
        key = self.api_key or self.env.get("OPENAI_API_KEY") or ""
        made_for, client = self._clients.get(loop, (None, None))
        if client is None or made_for != (url, key):
            await asyncio.to_thread(importlib.import_module, "openai")  # a second of other's time
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
        client = DefaultAsyncHttpxClient(
            limits=limits, timeout=self.timeout_s,
            follow_redirects=False,  # a prompt goes to the endpoint that was named and to no other
            event_hooks={"response": [bounded]},
        )  # fmt: skip
        return AsyncOpenAI(
            base_url=url or "https://api.openai.com/v1",
            api_key=key or "none",  # a local server asks for none, the library wants one
            timeout=self.timeout_s,
            max_retries=0,
            default_headers={"Accept-Encoding": "identity"},
            http_client=client,
        )

    def _reply(self, raw: Any, sent_chars: int) -> ChatReply:
        choice = _first_of(_part(raw, "choices"))
        message = _part(choice, "message")
        if message is None:
            raise ModelReplyError(f"model '{self.model_id}' sent no chat completion")
        content = _part(message, "content")
        used = self._usage(_part(raw, "usage"), sent_chars, len(str(content or "")))
        try:
            text = self._text(content)
            _checked_size(len(text))
        except ModelReplyError as e:
            e.spent = used
            raise
        return ChatReply(
            text,
            used,
            _word(_part(raw, "model")) or self.model_id,
            _word(_part(choice, "finish_reason")) or "stop",
            _word(_part(message, "refusal")),
        )

    def _text(self, content: Any) -> str:
        """The words of an answer, which some servers send in parts."""
        if isinstance(content, list):
            parts = [p if isinstance(p, str) else _part(p, "text") for p in content]
            content = "".join(p for p in parts if isinstance(p, str))
        if content is not None and not isinstance(content, str):
            kind = type(content).__name__
            raise ModelReplyError(f"model '{self.model_id}' sent no text but a {kind}")
        return _word(content)

    def _usage(self, raw: Any, sent_chars: int, got_chars: int) -> Usage:
        """What the endpoint counted; where it counted nothing, what the text comes to."""
        sent = _tokens(_part(raw, "prompt_tokens"), sent_chars)
        got = _tokens(_part(raw, "completion_tokens"), got_chars)
        return Usage(
            input_tokens=sent, output_tokens=got, cost_usd=cost_usd(self.pricing, sent, got)
        )


def _part(thing: Any, name: str) -> Any:
    """A field of what an endpoint sent: an object, a mapping, or something else without it."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _first_of(things: Any) -> Any:
    return things[0] if isinstance(things, list) and things else None


def _word(value: Any) -> str:
    """A text that can be stored; '' where it is none."""
    text = value if isinstance(value, str) else ""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _chars(messages: Sequence[ChatMessage]) -> int:
    return sum(len(m["content"]) for m in messages)


def _tokens(said: Any, chars: int) -> int:
    """A count that an endpoint sent, where it can be one; else a token for four characters."""
    known = isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= MAX_TOKENS
    return said if known else -(-chars // CHARS_A_TOKEN)


def _checked_size(chars: int) -> int:
    if chars > MAX_REPLY_CHARS:
        raise ModelReplyError(f"the model's answer is longer than {MAX_REPLY_CHARS} characters")
    return chars
