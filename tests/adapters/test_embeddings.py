"""An embedding endpoint: batches, what is kept, what it costs, and what odd endpoints send."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.adapters.vectors.endpoint import OpenAIEmbedder
from agentroute.errors import (
    AgentFailedError,
    ConfigError,
    ExecutionError,
    ModelReplyError,
)
from agentroute.features.text import make_embedder
from agentroute.testing import Say, ScriptedChatServer, check_embedder


@pytest.fixture
def server(monkeypatch):
    with ScriptedChatServer() as made:
        for name, value in made.env.items():
            monkeypatch.setenv(name, value)
        yield made


def test_it_keeps_the_protocol_of_an_embedder(server):
    assert len(check_embedder(lambda: OpenAIEmbedder("m", dimensions=64))) >= 8


def test_texts_go_in_batches_each_once_and_empty_ones_never(server, tmp_path):
    mine = OpenAIEmbedder("m", dimensions=32, batch=2, state=tmp_path)
    rows = mine.encode(["a a", "b b", "", "c c", "a a"])
    assert [r["input"] for r in server.requests] == [["a a", "b b"], ["c c"]]
    assert {(r["model"], r["dimensions"], r["encoding_format"]) for r in server.requests} == {
        ("m", 32, "float")
    }
    assert server.keys == ["sk-scripted"] * 2
    np.testing.assert_array_equal(rows[0], rows[4])
    assert not rows[2].any()
    mine.encode(["a a", "b b", "c c"])
    assert len(server.requests) == 2


def test_what_was_paid_for_is_kept_by_the_hash_of_the_text(server, tmp_path):
    first = OpenAIEmbedder("m", dimensions=16, state=tmp_path).encode(["my secret text", "more"])
    again = OpenAIEmbedder("m", dimensions=16, state=tmp_path)
    np.testing.assert_array_equal(again.encode(["my secret text", "more"]), first)
    assert len(server.requests) == 1
    assert again.take_usage().tokens == 0
    (file,) = (tmp_path / "embeddings").glob("*.db")
    assert b"secret" not in file.read_bytes()
    OpenAIEmbedder("other", dimensions=16, state=tmp_path).encode(["more"])
    assert len(server.requests) == 2  # another model's vectors are its own


@pytest.mark.parametrize("harm", [b"no database", None])
def test_a_broken_store_is_done_without_and_said(server, tmp_path, caplog, harm):
    OpenAIEmbedder("m", dimensions=16, state=tmp_path).encode(["a"])
    (file,) = (tmp_path / "embeddings").glob("*.db")
    if harm is not None:
        file.write_bytes(harm * 400)
    else:
        with sqlite3.connect(file) as db:
            db.execute("UPDATE vectors SET vector = x'00'")
        db.close()
    row = OpenAIEmbedder("m", dimensions=16, state=tmp_path).encode(["a"])
    assert row.any() and len(server.requests) == 2
    assert ("done without" in caplog.text) == (harm is not None)


def test_without_dimensions_the_endpoint_says_how_many(server):
    mine = OpenAIEmbedder("m")
    assert (mine.dim, mine.id) == (64, "openai-m-64")
    assert "dimensions" not in server.requests[0]


def test_tokens_are_counted_and_priced_where_a_price_is_known(server):
    free = OpenAIEmbedder("m", dimensions=16)
    free.encode(["four" * 10])
    assert (free.take_usage().tokens, free.take_usage().tokens) == (10, 0)
    paid = OpenAIEmbedder("m", dimensions=16, input_mtok_usd=0.02)
    paid.encode(["four" * 10, "word" * 5])
    used = paid.take_usage()
    assert (used.input_tokens, used.cost_usd) == (15, pytest.approx(15 * 0.02 / 1e6))
    assert paid.take_usage().cost_usd is None


ROWS = {
    "another width": lambda texts, d: [[1.0] * 7 for _ in texts],
    "too few": lambda texts, d: [[1.0] * d],
    "not numbers": lambda texts, d: [[float("nan")] * d for _ in texts],
    "none": lambda texts, d: [],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows_that_cannot_be_used_are_refused(monkeypatch, rows):
    with ScriptedChatServer(vectors=rows) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        with pytest.raises(ModelReplyError, match="numbers for 2 texts"):
            OpenAIEmbedder("m", dimensions=8).encode(["a", "b"])


@pytest.mark.parametrize(
    ("status", "error"), [(401, AgentFailedError), (400, AgentFailedError), (503, AgentFailedError)]
)
async def test_an_endpoint_that_refuses_is_a_typed_error_and_nobody_is_called(
    monkeypatch, tmp_path, status, error
):
    called = []
    registry = Registry()
    registry.agent(name="one")(lambda call: called.append(1))
    with ScriptedChatServer(vectors=lambda t, d: Say(status=status, text="no")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        spec = {"name": "openai", "model": "m", "dimensions": 8, "timeout_s": 5}
        orc = Orchestrator(
            registry, embedder=spec, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path
        )
        async with orc:
            with pytest.raises(error) as e:
                await orc.run("x")
    assert isinstance(e.value, ExecutionError) and "sk-secret" not in str(e.value)
    assert called == []


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "refuses its parameters"),
        ({"model": ""}, "needs a model"),
        ({"model": "m", "dimensions": 0}, "dimensions: must be a whole number"),
        ({"model": "m", "dimensions": True}, "dimensions: must be a whole number"),
        ({"model": "m", "batch": 0}, "batch: must be a whole number"),
        ({"model": "m", "input_mtok_usd": -1}, "input_mtok_usd: must be a number"),
        ({"model": "m", "size": 3}, "has no parameter 'size'"),
    ],
)
def test_bad_parameters_are_one_line(server, params, says):
    with pytest.raises(ConfigError, match=says):
        make_embedder({"name": "openai", **params})


def test_without_an_endpoint_it_says_so(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="has no endpoint"):
        make_embedder({"name": "openai", "model": "m-without-endpoint", "dimensions": 8})


async def test_a_run_with_it_books_what_it_used_and_names_it_in_every_row(server, tmp_path):
    registry = Registry()

    @registry.agent
    async def one(call):
        """Answers letters."""
        return "done"

    spec = {"name": "openai", "model": "m", "dimensions": 64, "input_mtok_usd": 1000.0}
    options = {"ledger": f"sqlite:///{tmp_path}/a.db", "out": tmp_path, "state": tmp_path / "s"}
    async with Orchestrator(registry, embedder=spec, **options) as orc:
        run = await orc.run(Task(prompt="answer this letter"))
        rows = orc.ledger.outcomes(run.run_id)
        (booked,) = [o for o in rows if o.agent == "embedder:openai-m-64"]
        record = orc.ledger.record(booked.decision_id)
        assert record.request.candidates.cards.embedder_id == "openai-m-64"
        tokens = sum(len(t) for r in server.requests for t in r["input"])
        assert booked.tokens == pytest.approx(tokens // 4, abs=2) and booked.cost_usd > 0
        assert run.usage.cost_usd == pytest.approx(booked.cost_usd)
        again = await orc.run(Task(prompt="answer this letter"))
        assert again.usage.tokens == 0  # kept
        asked = len(server.requests)
    async with Orchestrator(registry, embedder=spec, **options) as orc:
        await orc.run(Task(prompt="answer this letter"))
        assert len(server.requests) == asked
        assert (await orc.feedback(run.run_id, score=1.0))["learned"]


async def test_a_budget_counts_it(server, tmp_path):
    registry = Registry()
    for name in ("a", "b"):
        registry.agent(name=name, cost_usd=0.5)(lambda call: "x")
    spec = {"name": "openai", "model": "m", "dimensions": 64, "input_mtok_usd": 1e6}
    options = {"ledger": f"sqlite:///{tmp_path}/a.db", "out": tmp_path, "state": tmp_path / "s"}
    async with Orchestrator(registry, embedder=spec, budget_usd=3.0, **options) as orc:
        run = await orc.run(Task(prompt="a long question " * 20))
    assert run.status == "failed" and run.usage.cost_usd > 3.0
