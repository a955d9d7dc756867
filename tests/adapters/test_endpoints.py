"""What compatible endpoints and their models really send, through a run of the orchestrator."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentroute import CapabilityCard, Orchestrator, Registry
from agentroute.model.cards import Limits, Skill
from agentroute.testing.chat import Say, ScriptedChatServer

FENCE = chr(96) * 3
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}


def chat(**more) -> Registry:
    registry = Registry()
    card = CapabilityCard(
        name="helper", description="answers anything", skills=(Skill(id="answer"),),
        entrypoint="chat", prompt="You answer.", model="m",
        limits=Limits(max_attempts=1, timeout_s=20), **more,
    )  # fmt: skip
    registry.add(card)
    return registry


def opened(tmp_path, registry) -> Orchestrator:
    url = f"sqlite:///{tmp_path}/a.db"
    return Orchestrator(registry, ledger=url, out=tmp_path / "out", embedder="hashing")


@pytest.fixture
def endpoint(monkeypatch):
    """Points the environment at a scripted server."""

    def at(server):
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)

    return at


async def asked(tmp_path, endpoint, script, *, stream=False, **more):
    """A run's result, and the requests that it took."""
    with ScriptedChatServer(script) as server:
        endpoint(server)
        async with opened(tmp_path, chat(**more)) as orc:
            if not stream:
                return await orc.run("hi"), server.requests
            return [e async for e in orc.stream("hi")][-1], server.requests


def chunk(finish=None, **choice):
    return {
        "id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, **choice}],
    }  # fmt: skip


def text(words):
    return chunk(delta={"content": words})


STOP = chunk("stop", delta={})
COUNTED = {**STOP, "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
BARE = {k: v for k, v in COUNTED.items() if k != "choices"}


@pytest.mark.parametrize(
    "events",
    [
        [text("hello"), STOP],
        [text("hello"), STOP, chunk(content_filter_offsets={"check_offset": 44})],
        [text("hel"), chunk(delta=None), text("lo"), STOP],
        [text("hello"), STOP, {**BARE, "choices": None}],
        [text("hello"), STOP, BARE],
        [text([{"type": "text", "text": "hello"}]), STOP],
    ],
    ids=["plain", "no-delta", "delta-null", "choices-null", "no-choices", "parts"],
)
async def test_an_odd_chunk_costs_no_answer(tmp_path, endpoint, events):
    body = "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
    say = Say(raw=body.encode(), headers={"Content-Type": "text/event-stream"})
    last, _ = await asked(tmp_path, endpoint, [say], stream=True)
    result = last.data["result"]
    assert (result["status"], result["answer"]) == ("completed", "hello")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("finish", "status", "words"),
    [
        ("stop", "completed", ""),
        ("length", "degraded", "cut off at the token limit"),
        ("content_filter", "degraded", "content filter cut it off"),
    ],
)
async def test_an_answer_that_is_cut_off_is_said(tmp_path, endpoint, finish, status, words, stream):
    say = Say(text="Step 1: close the valve. Step 2: open", finish=finish)
    run, _ = await asked(tmp_path, endpoint, [say], stream=stream)
    if stream:
        got, degraded = run.data["result"]["status"], run.data["result"]["degraded"]
    else:
        got, degraded = run.status, run.degraded
    assert got == status and words in " ".join(degraded)
    assert bool(degraded) == (status == "degraded")


@pytest.mark.parametrize(
    "said",
    [
        '{"x": 1}',
        f'{FENCE}json\n{{"x": 1}}\n{FENCE}',
        f'{FENCE}JSON\n{{"x": 1}}\n{FENCE}',
        f'Here is the JSON:\n{FENCE}json\n{{"x": 1}}\n{FENCE}',
        '{"x": 1}\n\nLet me know!',
        '<think>They want {x}.</think>\n{"x": 1}',
        '<think>Perhaps {"x": 2}?</think>{"x": 1}',
        '\ufeff{"x": 1}',
        '{"x": 1.0}',
        'As in if (a) { b }: {"y": 2}, so {"x": 1}',
    ],
)
async def test_the_one_object_of_the_right_shape_is_read(tmp_path, endpoint, said):
    run, requests = await asked(tmp_path, endpoint, [said], params={"output_schema": SCHEMA})
    assert (run.status, run.data, len(requests)) == ("completed", {"x": 1}, 1)
    assert type(run.data["x"]) is int


@pytest.mark.parametrize(
    "said",
    ['{"x": 1} or {"x": 2}', '{"x": true}', '{"x": 1.5}', '{"x": NaN}', '{"x": 1e999}', "{" * 99],
)
async def test_what_is_not_one_object_of_the_shape_is_repaired(tmp_path, endpoint, said):
    schema = {"type": "object", "properties": {"x": {"type": "number"}}}
    if said == '{"x": 1.5}':
        schema = SCHEMA
    run, requests = await asked(
        tmp_path, endpoint, [said, '{"x": 3}'], params={"output_schema": schema}
    )
    assert (run.data, len(requests)) == ({"x": 3}, 2)
    assert run.usage.tokens == sum(
        sum(len(m["content"]) for m in r["messages"]) // 4 for r in requests
    ) + len(said) // 4 + len('{"x": 3}') // 4  # fmt: skip


@pytest.mark.parametrize("mode", ["text", "stream", "json"])
async def test_a_refusal_is_an_abstention_in_every_mode(tmp_path, endpoint, mode):
    params = {"output_schema": SCHEMA} if mode == "json" else {}
    refusing = chunk(delta={"refusal": "I will not."})
    body = f"data: {json.dumps(refusing)}\n\ndata: {json.dumps(STOP)}\n\ndata: [DONE]\n\n"
    say = (
        Say(raw=body.encode(), headers={"Content-Type": "text/event-stream"})
        if mode == "stream"
        else Say(refusal="I will not.")
    )
    run, requests = await asked(tmp_path, endpoint, [say], stream=mode == "stream", params=params)
    if mode == "stream":
        assert run.data["result"]["status"] == "abstained"
    else:
        assert (run.status, run.answer) == ("abstained", "I will not.")
    assert len(requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_parameters_that_an_older_endpoint_does_not_know(tmp_path, endpoint, stream):
    """It is asked again in its own words, once: the second run knows."""

    def old(body):
        unknown = [k for k in ("max_completion_tokens", "stream_options") if k in body]
        if unknown:
            return Say(status=400, text=f"Unrecognized request argument supplied: {unknown[0]}")
        return "fine"

    with ScriptedChatServer(old) as server:
        endpoint(server)
        async with opened(tmp_path, chat()) as orc:
            for _ in range(2):
                if stream:
                    last = [e async for e in orc.stream("hi")][-1]
                    assert last.data["result"]["answer"] == "fine"
                else:
                    assert (await orc.run("hi")).answer == "fine"
    refused = 1 + stream
    assert len(server.requests) == refused + 2
    assert server.requests[-1]["max_tokens"] == 1024


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (Say(status=401, text="Your trial ended on 3 May."), "answered 401: Your trial ended"),
        (Say(status=429, text="You exceeded your current quota"), "exceeded your current quota"),
        (Say(status=404, text="the model `m` does not exist"), "`m` does not exist"),
        (Say(status=503, text="loading model"), "answered 503: loading model"),
        (Say(status=500), "answered 500"),
    ],
)
async def test_the_endpoints_own_words_are_shown(tmp_path, endpoint, say, words):
    run, _ = await asked(tmp_path, endpoint, lambda _: say)
    assert run.status == "failed" and words in " ".join(run.degraded)


def test_a_changed_address_is_used_in_the_same_loop(tmp_path, monkeypatch):
    """As in a notebook, where one loop lives as long as the session."""

    async def cell(n):
        async with opened(tmp_path / str(n), chat()) as orc:
            return (await orc.run("hi")).status

    async def notebook():
        with ScriptedChatServer(lambda _: "fine") as server:
            monkeypatch.setenv("OPENAI_API_KEY", "old")
            monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
            first = await cell(1)
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            return first, await cell(2)

    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    assert asyncio.run(notebook()) == ("failed", "completed")


async def test_a_rotated_key_is_used_from_the_next_call_on(tmp_path, endpoint, monkeypatch):
    with ScriptedChatServer(lambda _: "fine") as server:
        endpoint(server)
        monkeypatch.setenv("OPENAI_API_KEY", "old")
        async with opened(tmp_path, chat()) as orc:
            await orc.run("a")
            monkeypatch.setenv("OPENAI_API_KEY", "new")
            await orc.run("b")
    assert server.keys == ["old", "new"]


async def test_a_prompt_arrives_as_it_was_typed(tmp_path, endpoint):
    prompt = "Is 2³ < 3²? Show it in <b>HTML</b>: 👩\u200d💻"
    with ScriptedChatServer(["fine"]) as server:
        endpoint(server)
        async with opened(tmp_path, chat()) as orc:
            await orc.run(prompt)
    assert f"<task>\n{prompt}\n</task>" in server.requests[0]["messages"][-1]["content"]
