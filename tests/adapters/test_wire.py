"""A chat endpoint that means harm or is merely odd: redirects, floods, bombs, strange values."""

import asyncio
import gzip
import json

import pytest

from agentroute.adapters.chat import chat_agent
from agentroute.adapters.client import ChatClient
from agentroute.adapters.structured import Form, ask_json
from agentroute.adapters.wire import MAX_BODY_BYTES
from agentroute.errors import AgentFailedError, AgentRouteError, AgentTimeoutError, ModelReplyError
from agentroute.model.calls import MAX_TOKENS, UNSENT, AgentCall, Usage
from agentroute.model.cards import CapabilityCard, Pricing
from agentroute.model.tasks import Task
from agentroute.testing import ScriptedChatServer
from agentroute.testing.chat import Say

ASK = [{"role": "user", "content": "the secret prompt"}]
PRICES = Pricing(input_mtok_usd=1e6, output_mtok_usd=1e6)  # a dollar a token


class Endpoint:
    """A raw server: ``answer(head)`` is an iterator of the bytes that it sends."""

    def __init__(self, answer):
        self.answer, self.heads, self.sent = answer, [], 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
            for piece in self.answer(self.heads[-1]):
                writer.write(piece)
                self.sent += len(piece)
                await writer.drain()
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up, which is what several tests make it do

    def client(self, **options):
        url = f"http://127.0.0.1:{self.port}/v1"
        return ChatClient(model="m", base_url=url, api_key="k", env={}, timeout_s=20, **options)


def head(status="200 OK", **headers):
    lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return ("\r\n".join([*lines, "Connection: close", "", ""])).encode()


def completion(content="hi", usage=None, **message):
    message = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [choice], "usage": usage}  # fmt: skip


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_no_prompt_follows_a_redirect(status):
    async with Endpoint(lambda _: [head()]) as other:
        to = f"http://localhost:{other.port}/v1/chat/completions"
        async with Endpoint(lambda _: [head(status, Location=to, Content_Length=0)]) as named:
            with pytest.raises(AgentFailedError, match="elsewhere") as caught:
                await named.client().ask(ASK)
    assert (len(named.heads), other.heads) == (1, [])
    assert (caught.value.retryable, caught.value.spent) == (False, UNSENT)


async def test_a_loop_of_redirects_is_one_request():
    def loop(_):
        return [head("307 Temporary", Location="/v1/chat/completions", Content_Length=0)]

    async with Endpoint(loop) as named:
        with pytest.raises(AgentFailedError):
            await named.client().ask(ASK)
    assert len(named.heads) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_is_read_to_its_cap_and_no_further(stream):
    def flood(_):
        yield head(Content_Type="text/event-stream" if stream else "application/json")
        yield b'{"a": "' if not stream else b"data: "
        for _ in range(300):
            yield b"x" * 2**20

    async def ask(client):
        if stream:
            return [part async for part in client.stream(ASK)]
        return await client.ask(ASK)

    async with Endpoint(flood) as named:
        with pytest.raises(ModelReplyError, match="MiB"):
            await ask(named.client())
        assert named.sent < (5 if stream else 2) * MAX_BODY_BYTES


@pytest.mark.parametrize("packed", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_packed_body_is_not_unpacked(packed):
    bomb = gzip.compress(b"0" * 2**24)

    def answer(_):
        return [head(Content_Type="application/json", Content_Encoding=packed), bomb]

    async with Endpoint(answer) as named:
        with pytest.raises(ModelReplyError, match="packed"):
            await named.client().ask(ASK)
    assert "accept-encoding: identity" in named.heads[0]


async def answered(body):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(_):
        return [head(Content_Type="application/json", Content_Length=len(raw)), raw]

    async with Endpoint(answer) as named:
        return await named.client(pricing=PRICES).ask(ASK)


ODD = [
    completion(7), completion({"a": 1}), completion(True), completion([1, {"b": 2}, None]),
    {**completion(), "choices": "x"}, {**completion(), "choices": []}, {"choices": [7]}, {}, [], 7,
    {**completion(), "choices": [{"message": "words"}]},
    {**completion(), "model": 7}, completion(refusal=7),
    b"[" * 100_000 + b"]" * 100_000, b"\xff\xfe", b"null", b"",
]  # fmt: skip


@pytest.mark.parametrize("body", ODD, ids=lambda b: str(b)[:60])
async def test_a_strange_answer_is_a_typed_error_or_a_sound_reply(body):
    try:
        reply = await answered(body)
    except AgentRouteError:
        return
    assert isinstance(reply.text + reply.refusal + reply.model + reply.finish, str)


@pytest.mark.parametrize(
    "usage",
    ["7", 7, [], {}, {"prompt_tokens": "7", "completion_tokens": -1}, None,
     {"prompt_tokens": MAX_TOKENS + 1, "completion_tokens": 2**70},
     {"prompt_tokens": 1.5, "completion_tokens": True}],
)  # fmt: skip
async def test_tokens_that_were_not_counted_are_estimated_never_0(usage):
    reply = await answered(completion("12345678", usage))
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 2)
    assert reply.usage.cost_usd == pytest.approx(7.0)


async def test_infinite_tokens_are_estimated():
    raw = json.dumps(completion("1234", {"prompt_tokens": float("inf"), "completion_tokens": 1}))
    assert (await answered(raw.encode())).usage.input_tokens == 5


async def test_text_in_parts_is_joined_and_half_a_character_replaced():
    parts = [{"type": "text", "text": "a"}, "b", {"type": "image"}, {"type": "text", "text": "c"}]
    assert (await answered(completion(parts))).text == "abc"
    assert (await answered(completion("x\ud800y"))).text == "x\ufffdy"


async def test_odd_chunks_of_a_stream_do_no_harm():
    chunks = [{"choices": []}, {"choices": None}, {"choices": [{"index": 0, "delta": None}]},
              {"choices": [{"index": 0}]}, {"choices": [{"delta": {"content": "hi"}}]}, {},
              {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": "none"}]  # fmt: skip
    lines = "".join(f"data: {json.dumps({'id': '1', **c})}\n\n" for c in chunks)

    def answer(_):
        return [head(Content_Type="text/event-stream"), lines.encode(), b"data: [DONE]\n\n"]

    async with Endpoint(answer) as named:
        got = [part async for part in named.client().stream(ASK)]
    assert (got[0], got[-1].text) == ("hi", "hi")
    assert got[-1].usage.output_tokens == 1


# -- what failed calls are booked at


def number(value):
    if not isinstance(value, dict) or not isinstance(value.get("n"), int):
        raise ValueError("n must be a whole number")
    return value["n"]


FORM = Form(
    "number",
    {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    },
    number,
)


async def test_every_answered_turn_of_a_failed_structured_call_is_booked():
    with ScriptedChatServer(["none", "still none"], formats=["text"]) as server:
        client = ChatClient(env=server.env, pricing=PRICES)
        with pytest.raises(ModelReplyError) as caught:
            await ask_json(client, ASK, FORM)
    assert len(server.requests) == 4
    spent = caught.value.spent
    assert spent.output_tokens == len("none") // 4 + len("still none") // 4
    assert spent.cost_usd == spent.tokens > 50


async def test_a_turn_that_broke_off_after_an_answered_one_books_the_answered_one():
    with ScriptedChatServer(["none", Say(hang=True)]) as server:
        client = ChatClient(env=server.env, pricing=PRICES)
        with pytest.raises(AgentTimeoutError) as caught:
            await ask_json(client, ASK, FORM, timeout_s=1.0)
    assert caught.value.spent.tokens > 0


async def test_an_empty_answer_is_paid_for():
    card = CapabilityCard(name="c", description="d", entrypoint="chat", prompt="p", model="m")
    with ScriptedChatServer(["  "]) as server:
        client = ChatClient(env=server.env, pricing=PRICES)
        with pytest.raises(ModelReplyError) as caught:
            await chat_agent(card, client=client)(AgentCall(Task(prompt="x")))
    assert isinstance(caught.value.spent, Usage)
    assert caught.value.spent.cost_usd > 0


async def test_a_refused_request_costs_nothing():
    with ScriptedChatServer([Say(status=429), Say(status=401)]) as server:
        client = ChatClient(env=server.env, pricing=PRICES)
        for _ in range(2):
            with pytest.raises(AgentFailedError) as caught:
                await client.ask(ASK)
            assert caught.value.spent is UNSENT
