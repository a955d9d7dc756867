"""Ask a model for JSON of a stated shape: strict schema, else JSON mode, else plain; checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Generic, Literal, TypeVar

from agentroute.adapters.client import ChatClient, ChatMessage, ChatReply
from agentroute.adapters.untrusted import one_line
from agentroute.adapters.wire import RequestRefusedError
from agentroute.errors import AgentRouteError, ModelReplyError
from agentroute.model.calls import UNSENT, Usage

T = TypeVar("T")
Format = Literal["json_schema", "json_object", "text"]
MODES: tuple[Format, ...] = ("json_schema", "json_object", "text")

_THOUGHT = re.compile(r"^\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_MAX_STARTS = 64  # braces that open no JSON: prose about code, and no more work than that


class ModelRefusedError(ModelReplyError):
    """The model said that it will not answer; ``reply`` has its words and what the turns used."""

    def __init__(self, reply: ChatReply) -> None:
        super().__init__(f"model '{reply.model}' refused: {one_line(reply.refusal, 200)}")
        self.reply = reply


@dataclass(frozen=True)
class Form(Generic[T]):
    """What is asked for: a JSON schema for the server, and ``parse``, which the answer must pass.

    ``schema`` is an object schema that strict mode accepts (every property required, none open).
    ``parse`` takes the decoded JSON and raises ``ValueError`` with words that the model can use.
    """

    name: str
    schema: Mapping[str, Any]
    parse: Callable[[Any], T]


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A checked value, the text it came in, what all turns used, and how it was got."""

    value: T
    text: str
    usage: Usage
    model: str
    mode: Format
    turns: int


def add_usage(a: Usage, b: Usage) -> Usage:
    """Sum of two calls' usage; a cost is unknown only where both are."""
    costs = [u.cost_usd for u in (a, b) if u.cost_usd is not None]
    return Usage(
        input_tokens=a.input_tokens + b.input_tokens,
        output_tokens=a.output_tokens + b.output_tokens,
        cpu_s=a.cpu_s + b.cpu_s,
        cost_usd=sum(costs) if costs else None,
    )


def read_json(text: str, parse: Callable[[Any], T]) -> T:
    """The one JSON value in ``text`` that ``parse`` accepts.

    The whole text, or an object in it: models put words, a fence or their thoughts round what
    they were asked for.

    Raises:
        ValueError: no JSON, none that ``parse`` accepts, or different ones that it accepts.
    """
    text = _THOUGHT.sub("", text.removeprefix("\ufeff"), count=1)
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as e:
        fault = ValueError(f"not valid JSON ({e.msg} at character {e.pos})")
    except RecursionError as e:
        raise ValueError("the JSON is nested too deeply") from e
    else:
        return parse(whole)
    found: list[T] = []
    refused: list[ValueError] = []
    for value in _objects(text):
        try:
            found.append(parse(value))
        except ValueError as e:
            refused.append(e)
    if not found:
        raise refused[0] if refused else fault
    if any(other != found[0] for other in found[1:]):
        raise ValueError("the answer has several JSON objects; send one")
    return found[0]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, in order."""
    decoder, at = json.JSONDecoder(), text.find("{")
    for _ in range(_MAX_STARTS):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


async def ask_json(
    client: ChatClient,
    messages: Sequence[ChatMessage],
    shape: Form[T],
    *,
    timeout_s: float | None = None,
    max_tokens: int | None = None,
    repairs: int = 1,
) -> Answer[T]:
    """Ask until ``shape.parse`` accepts the answer, with at most ``repairs`` repair turns.

    A format that the endpoint refuses (400, 404, 422) is replaced by the next weaker one, with
    the schema stated in words. A refusal by the model
    gets no repair turn. ``timeout_s`` bounds all calls together.

    Raises:
        ModelReplyError: no acceptable answer; ``ModelRefusedError`` where it was a refusal.
        AgentTimeoutError, AgentFailedError: the call itself failed, see ``ChatClient.ask``. What
            the turns before had used is in the error's ``spent``.
    """
    ask = _Asker(client, shape, timeout_s, max_tokens)
    try:
        return await _ask(ask, messages, shape, repairs)
    except AgentRouteError as e:
        e.spent = ask.used if ask.used is not None else e.spent
        raise


async def _ask(
    ask: _Asker, messages: Sequence[ChatMessage], shape: Form[T], repairs: int
) -> Answer[T]:
    mode, turns, reply = await _first(ask, messages)
    for turn in range(1, repairs + 2):
        try:
            assert ask.used is not None
            value = read_json(_usable(reply, ask.used), shape.parse)
            return Answer(value, reply.text, ask.used, reply.model, mode, turn)
        except ValueError as e:
            fault = one_line(str(e), 300)
        if turn > repairs:
            break
        turns += [{"role": "assistant", "content": reply.text[:4000]}, _repair(fault)]
        reply = await ask(turns, mode)
    raise ModelReplyError(f"the answer of model '{reply.model}' cannot be used: {fault}")


def _repair(fault: str) -> ChatMessage:
    words = f"That answer cannot be used: {fault}. Answer again, with the JSON object alone."
    return {"role": "user", "content": words}


def _usable(reply: ChatReply, usage: Usage) -> str:
    if reply.refusal:
        raise ModelRefusedError(replace(reply, usage=usage))
    if reply.finish == "length":
        raise ValueError("the answer was cut off at the token limit; be shorter")
    if reply.incomplete:
        raise ValueError(f"the answer is not whole: {reply.incomplete}")
    return reply.text


class _Asker:
    """One deadline over several calls; ``used`` is what those that were answered came to."""

    def __init__(
        self, client: ChatClient, shape: Form[Any], timeout_s: float | None, max_tokens: int | None
    ) -> None:
        self.client, self.shape, self.max_tokens = client, shape, max_tokens
        self.end = monotonic() + (client.timeout_s if timeout_s is None else timeout_s)
        self.used: Usage | None = None

    async def __call__(self, turns: Sequence[ChatMessage], mode: Format) -> ChatReply:
        try:
            reply = await self.client.ask(
                turns,
                response_format=_format(mode, self.shape),
                timeout_s=max(0.0, self.end - monotonic()),
                max_tokens=self.max_tokens,
            )
        except AgentRouteError as e:
            self._add(e.spent)
            raise
        self._add(reply.usage)
        return reply

    def _add(self, usage: object) -> None:
        if isinstance(usage, Usage) and usage is not UNSENT:
            self.used = usage if self.used is None else add_usage(self.used, usage)


async def _first(
    ask: _Asker, messages: Sequence[ChatMessage]
) -> tuple[Format, list[ChatMessage], ChatReply]:
    for mode in MODES:
        turns = [*messages] if mode == "json_schema" else [*messages, _in_words(ask.shape)]
        try:
            return mode, turns, await ask(turns, mode)
        except RequestRefusedError:
            if mode == MODES[-1]:
                raise
    raise AssertionError("unreachable: the last mode returns or raises")


def _in_words(shape: Form[Any]) -> ChatMessage:
    schema = json.dumps(dict(shape.schema), sort_keys=True)
    words = f"Answer with one JSON object of this schema and nothing else: {schema}"
    return {"role": "user", "content": words}


def _format(mode: Format, shape: Form[Any]) -> dict[str, Any] | None:
    if mode == "text":
        return None
    if mode == "json_object":
        return {"type": mode}
    spec = {"name": shape.name, "strict": True, "schema": dict(shape.schema)}
    return {"type": mode, "json_schema": spec}
