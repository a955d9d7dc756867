"""The ladder of structured output, the repair turn, and the cleaning of untrusted text."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.adapters.client import ChatClient
from agentroute.adapters.schema import conform, strict
from agentroute.adapters.structured import Form, ask_json, read_json
from agentroute.adapters.untrusted import as_typed, fence, neutralise
from agentroute.errors import AgentFailedError, AgentTimeoutError, ConfigError, ModelReplyError
from agentroute.testing.chat import Say, ScriptedChatServer

SCHEMA = strict({"type": "object", "properties": {"pick": {"type": "string", "enum": ["a", "b"]}}})
ASK = [{"role": "user", "content": "pick one"}]


def parse(value):
    return conform(value, SCHEMA)["pick"]


PICK = Form("pick", SCHEMA, parse)


async def ask(server, **more):
    return await ask_json(ChatClient("m", env=server.env), ASK, PICK, **more)


async def test_strict_schema_first():
    with ScriptedChatServer([{"pick": "a"}]) as server:
        answer = await ask(server)
    assert (answer.value, answer.mode, answer.turns) == ("a", "json_schema", 1)
    assert server.requests[0]["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    ("formats", "mode", "calls"),
    [({"text", "json_object"}, "json_object", 2), ({"text"}, "text", 3)],
)
async def test_falls_back_where_a_format_is_refused(formats, mode, calls):
    with ScriptedChatServer(lambda _: '```json\n{"pick": "b"}\n```', formats=formats) as server:
        answer = await ask(server)
    assert (answer.value, answer.mode, len(server.requests)) == ("b", mode, calls)
    assert json.dumps(SCHEMA, sort_keys=True) in server.requests[-1]["messages"][-1]["content"]


@pytest.mark.parametrize("bad", ["no json", '{"pick": "z"}', '{"pick": "a"', "[" * 100_000])
async def test_one_repair_turn_says_what_was_wrong(bad):
    with ScriptedChatServer([bad, {"pick": "a"}]) as server:
        answer = await ask(server)
    assert (answer.value, answer.turns) == ("a", 2)
    assert server.requests[1]["messages"][-2]["role"] == "assistant"
    assert "cannot be used" in server.requests[1]["messages"][-1]["content"]
    assert answer.usage.input_tokens > 0


async def test_after_the_repair_turn_it_is_an_error():
    with (
        ScriptedChatServer(["bad", "worse", {"pick": "a"}]) as server,
        pytest.raises(ModelReplyError, match="not valid JSON"),
    ):
        await ask(server)
    assert len(server.requests) == 2


async def test_a_cut_answer_is_repaired_and_a_refusal_is_not():
    with ScriptedChatServer([Say({"pick": "a"}, finish="length"), {"pick": "b"}]) as server:
        assert (await ask(server)).value == "b"
    with (
        ScriptedChatServer([Say(refusal="no"), {"pick": "b"}]) as server,
        pytest.raises(ModelReplyError, match="refused"),
    ):
        await ask(server)


async def test_one_deadline_spans_all_turns():
    with (
        ScriptedChatServer([Say("bad", delay_s=0.15), Say({"pick": "a"}, delay_s=0.5)]) as server,
        pytest.raises(AgentTimeoutError),
    ):
        await ask(server, timeout_s=0.4)


async def test_an_unauthorised_call_steps_down_nowhere():
    with ScriptedChatServer([Say(status=401)]) as server, pytest.raises(AgentFailedError):
        await ask(server)
    assert len(server.requests) == 1


async def test_the_server_itself_refuses_a_loose_schema():
    loose = Form("x", {"type": "object", "properties": {"a": {"type": "string"}}}, lambda v: v)
    with ScriptedChatServer([{"a": "1"}]) as server:
        answer = await ask_json(ChatClient("m", env=server.env), ASK, loose)
    assert answer.mode == "json_object"


@given(st.text(max_size=300), st.integers(10, 100))
def test_neutralised_text_is_short_visible_and_stable(text, limit):
    clean = neutralise(text, limit)
    assert len(clean) <= limit
    assert not any(c in clean for c in "\x00\x1b\u200b\u200e\u202a\u202e\u2066\ufeff\U000e0041")
    assert neutralise(clean, limit) == clean


@given(st.text(max_size=300), st.integers(10, 100))
def test_text_as_typed_is_short_visible_and_stable(text, limit):
    clean = as_typed(text, limit)
    assert len(clean) <= limit
    assert not any(c in clean for c in "\x00\x1b\u200b\u200e\u202a\u202e\u2066\ufeff\U000e0041")
    assert as_typed(clean, limit) == clean


BRACKETS = st.lists(
    st.sampled_from(["<", ">", "/", " ", "task", "TASK", "input_1", "system", "|im_start|", "\n"])
)


@given(BRACKETS)
def test_a_fence_cannot_be_closed_or_opened_from_inside(parts):
    inner = fence("task", "".join(parts), 1000).removeprefix("<task>").removesuffix("</task>")
    assert not re.search(r"<\s*/?\s*(task|input|system)\b|<\s*\||\|>", inner, re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    [
        "2³ = ½ of x²",
        "if a < b and b > c: d = List<int>",
        "<div class='task'>&lt;</div>",
        "میخواهم\u200cها",
        "👩\u200d💻 family",
        "ﬁne print，full width",
    ],
)
def test_text_arrives_as_it_was_typed(text):
    assert fence("task", text, 1000) == f"<task>\n{text}\n</task>"


def test_schema_check_names_the_place():
    deep = strict({"type": "object", "properties": {"xs": {"type": "array", "items": SCHEMA}}})
    conform({"xs": [{"pick": "a"}]}, deep)
    with pytest.raises(ValueError, match=r"\$\.xs\[1\]\.pick must be one of"):
        conform({"xs": [{"pick": "a"}, {"pick": "c"}]}, deep)
    with pytest.raises(ValueError, match="lacks 'xs'"):
        conform({}, deep)
    with pytest.raises(ValueError, match="unknown property 'y'"):
        conform({"xs": [], "y": 1}, deep)
    with pytest.raises(ConfigError, match="oneOf"):
        strict({"type": "object", "oneOf": []})


def test_prose_about_code_is_bounded_work():
    """Each brace could begin an object: not one start in 64 is tried to its end and again."""
    with pytest.raises(ValueError, match="not valid JSON"):
        read_json("so: " + '{"a": [' * 100_000, lambda value: value)


@pytest.mark.parametrize(
    "label",
    ["task", "asked_again", "transcript_2", "input_1", "agents", "conversation", "queries", "team",
     "request"],
)  # fmt: skip
def test_no_block_that_we_write_is_closed_by_its_text(label):
    made = fence(label, f"a </{label}> b < / {label.upper()} > c <{label}> d", 1000)
    assert made.count(f"</{label}>") == made.count(f"<{label}>") == 1
    assert "< /" not in made
