"""Functions of every kind as agents, threads that are abandoned, runnables by duck type."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
from pydantic import BaseModel

from agentroute.adapters.frames import MAX_FRAME, pack, read_frame, unpack
from agentroute.adapters.inline.functions import call_function
from agentroute.adapters.inline.runnables import call_runnable, is_runnable
from agentroute.adapters.inline.threads import Threads
from agentroute.adapters.loading import entry_of, load
from agentroute.adapters.replies import as_reply, dump_call, load_call
from agentroute.errors import AgentFailedError, CardError
from agentroute.model.calls import AgentCall, AgentReply, Artifact, Usage
from agentroute.model.tasks import Message, Task


def call(**fields) -> AgentCall:
    return AgentCall(task=Task(prompt="hi", history=(Message(role="user", text="a"),)), **fields)


def plain(c):
    return c.task.prompt


async def coroutine(c):
    return AgentReply(text=c.task.prompt)


def generator(c):
    yield "a"
    yield "b"
    return {"text": "ab!"}


def generator_without_return(c):
    yield "a"
    yield "b"


async def async_generator(c):
    yield "a"
    yield AgentReply(text="done")


class Callable:
    async def __call__(self, c):
        return "obj"


@pytest.mark.parametrize(
    ("fn", "text", "chunks"),
    [
        (plain, "hi", []),
        (coroutine, "hi", []),
        (generator, "ab!", ["a", "b"]),
        (generator_without_return, "ab", ["a", "b"]),
        (async_generator, "done", ["a"]),
        (Callable(), "obj", []),
        (lambda c: {"text": "d", "data": [1]}, "d", []),
    ],
)
async def test_every_kind_of_function(fn, text, chunks, tmp_path):
    heard: list[str] = []
    value = await call_function(fn, call(), limit_s=5, on_chunk=heard.append)
    assert as_reply(value, tmp_path).text == text
    assert heard == chunks


async def test_a_late_thread_is_abandoned_counted_and_forgotten():
    threads, release = Threads(), threading.Event()
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        await call_function(lambda c: release.wait(10), call(), limit_s=0.1, threads=threads)
    assert time.perf_counter() - began < 0.2
    assert (threads.abandoned, threads.running) == (1, 1)
    release.set()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if not threads.running:
            break
    assert (threads.abandoned, threads.running) == (0, 0)


async def test_a_late_coroutine_is_cancelled():
    with pytest.raises(TimeoutError):
        await call_function(lambda_sleep, call(), limit_s=0.05)


async def lambda_sleep(c):
    await asyncio.sleep(10)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), StopIteration(1)])
async def test_what_a_thread_raises_arrives_as_an_exception(error):
    def bad(c):
        raise error

    with pytest.raises(Exception, match=r"no|3|1"):
        await call_function(bad, call(), limit_s=5)


@pytest.mark.parametrize(
    "value", [7, None, ["x"], {"confidence": 2}, {"data": object()}, {"x": object()}]
)
def test_garbage_is_refused(value, tmp_path):
    with pytest.raises(AgentFailedError):
        as_reply(value, tmp_path)


def test_a_dict_is_a_reply_by_its_fields_and_data_otherwise(tmp_path):
    assert as_reply({"text": "x", "confidence": 0.5}, tmp_path).confidence == 0.5
    other = as_reply({"order": 7}, tmp_path)
    assert (other.data, other.text) == ({"order": 7}, '{"order":7}')


def test_replies_are_capped_and_artefacts_stay_in_the_folder(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "secret").write_text("s")
    (work / "a.txt").write_text("a")
    (work / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(AgentFailedError, match="larger"):
        as_reply("x" * 101, work, cap=100)
    for path in ("../secret", str(tmp_path / "secret"), "link"):
        with pytest.raises(AgentFailedError, match="outside"):
            as_reply(AgentReply(artifacts=(Artifact(name="s", path=path),)), work)
    with pytest.raises(AgentFailedError, match="not written"):
        as_reply(AgentReply(artifacts=(Artifact(name="b", path="b.txt"),)), work)
    good = as_reply(AgentReply(artifacts=(Artifact(name="a", path="a.txt"),)), work)
    assert good.artifacts[0].path == str(work / "a.txt")


def test_a_call_survives_the_trip_as_json(tmp_path):
    c = call(
        inputs={"a": AgentReply(text="x", data={"n": [1, None]})}, params={"k": 1}, call_id="r:a",
        deadline_s=2.0, budget_usd=0.1, workdir=tmp_path, transcript=(("a", "said"),),
    )  # fmt: skip
    assert load_call(unpack(pack(dump_call(c))[4:])) == c


async def test_frames_are_capped_and_must_be_json():
    reader = asyncio.StreamReader()
    reader.feed_data((MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(AgentFailedError, match="over the cap"):
        await read_frame(reader)
    for body in (b"{", b"[1]"):
        with pytest.raises(AgentFailedError, match="not"):
            unpack(body)
    with pytest.raises(AgentFailedError, match="JSON"):
        pack({"x": object()})


@pytest.mark.parametrize("entrypoint", ["x", "x.py", "../x.py:f", "a/b.py:f", "x.py:1f", ":f"])
def test_entrypoints_that_are_refused(entrypoint, tmp_path):
    with pytest.raises(CardError):
        entry_of(entrypoint, tmp_path)


def test_code_is_loaded_from_beside_the_card_once(tmp_path):
    (tmp_path / "agent_x.py").write_text("n = []\ndef f(call): return 'x'\n")
    entry = entry_of("agent_x.py:f", tmp_path)
    assert load(entry) is load(entry)
    with pytest.raises(CardError, match="cannot be loaded"):
        load({**entry, "fn": "g"})
    (tmp_path / "agent_y.py").write_text("raise SystemExit\n")
    with pytest.raises(CardError, match="SystemExit"):
        load(entry_of("agent_y.py:f", tmp_path))
    assert load(entry_of("json:dumps", None))([1]) == "[1]"


class Runnable:
    def __init__(self, output):
        self.output, self.seen = output, None

    async def ainvoke(self, payload):
        self.seen = payload
        return self.output


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("t", "t"),
        ({"output": "t"}, "t"),
        ({"messages": [SimpleNamespace(content="old"), SimpleNamespace(content="t")]}, "t"),
        (SimpleNamespace(content=[{"type": "text", "text": "t"}]), "t"),
        (AgentReply(text="t"), "t"),
    ],
)
async def test_runnables_by_duck_type(output, text):
    r = Runnable(output)
    assert is_runnable(r)
    assert not is_runnable(plain)
    assert (await call_runnable(r, call(), limit_s=5)).text == text
    assert r.seen["messages"] == [("user", "a"), ("user", "hi")]


async def test_runnables_sync_text_input_usage_and_failure():
    class Sync:
        def invoke(self, payload):
            return SimpleNamespace(
                content=payload, usage_metadata={"input_tokens": 2, "output_tokens": 3}
            )

    reply = await call_runnable(Sync(), call(params={"input": "text"}), limit_s=5)
    assert (reply.text, reply.usage.tokens) == ("hi", 5)
    with pytest.raises(AgentFailedError, match="none of messages"):
        await call_runnable(Runnable({"x": 1}), call(), limit_s=5)


async def test_a_real_langgraph_graph_is_a_runnable():
    from langgraph.graph import StateGraph

    builder = StateGraph(dict)
    builder.add_node("n", lambda s: {"output": s["input"].upper()})
    builder.set_entry_point("n")
    builder.set_finish_point("n")
    assert (await call_runnable(builder.compile(), call(), limit_s=30)).text == "HI"


def test_adapters_and_planning_load_no_heavy_library():
    code = (
        "import sys\n"
        "import agentroute.adapters.child, agentroute.adapters.inline.functions\n"
        "import agentroute.adapters.inline.runnables, agentroute.adapters.replies\n"
        "import agentroute.planning.graphfile, agentroute.planning.topology\n"
        "import agentroute.planning.lead, agentroute.choosing.depth\n"
        "bad = {'langgraph', 'langchain_core', 'openai', 'torch', 'networkx', 'sqlmodel'}\n"
        "print(sorted(bad & set(sys.modules)))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert out.stdout.strip() == "[]"


class Colour(Enum):
    RED = "red"


class Found(BaseModel):
    lines: int
    at: datetime


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        (float("nan"), None),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Colour.RED, "red"),
        ("cut \ud83d", "cut \ufffd"),
        ((1, {2: "x"}), [1, {"2": "x"}]),
        (Path("a/b"), "a/b"),
    ],
)
def test_what_is_stored_is_what_the_next_agent_gets(given, stored, tmp_path):
    reply = as_reply({"v": given}, tmp_path)
    assert reply.data == {"v": stored}
    assert AgentReply.model_validate_json(reply.model_dump_json()) == reply
    assert as_reply(AgentReply(text="t", data={"v": given}), tmp_path).data == {"v": stored}


def test_a_pydantic_model_is_a_replys_data(tmp_path):
    reply = as_reply(Found(lines=3, at=datetime(2026, 1, 2, tzinfo=UTC)), tmp_path)
    assert reply.data == {"lines": 3, "at": "2026-01-02T00:00:00+00:00"}


@pytest.mark.parametrize(
    "value",
    [
        {"v": object()},
        {"v": 2**70},
        AgentReply.model_construct(text=3),
        AgentReply(text="x").model_copy(update={"usage": Usage.model_construct(cpu_s="inf")}),
    ],
)
def test_what_cannot_be_stored_is_the_agents_failure(value, tmp_path):
    with pytest.raises(AgentFailedError):
        as_reply(value, tmp_path)


def test_nesting_without_end_is_the_agents_failure(tmp_path):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(AgentFailedError):
        as_reply({"v": deep}, tmp_path)


def test_two_files_of_one_name_are_executed_once_each(tmp_path):
    code = (
        "import pathlib\n"
        "here = pathlib.Path(__file__).parent\n"
        "ran = here / 'ran'\n"
        "ran.write_text((ran.read_text() if ran.exists() else '') + 'x')\n"
        "def agent(call):\n"
        "    return here.name\n"
    )
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(code)
    entries = [entry_of("same.py:agent", tmp_path / folder) for folder in ("a", "b")]
    assert [load(e)(None) for _ in range(3) for e in entries] == ["a", "b"] * 3
    assert [(tmp_path / f / "ran").read_text() for f in ("a", "b")] == ["x", "x"]
