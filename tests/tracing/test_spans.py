"""A run as spans: what each holds, how they nest, and that an OTLP endpoint gets them."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from agentroute import Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.tracing.sending import as_otel
from agentroute.tracing.spans import span_id, spans_of, trace_id

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden.yaml").read_text())
TASKS = [
    Task(id="a", prompt="the secret words of a", skills=("s",)),
    Task(id="b", prompt="the secret words of b", skills=("s",), depends_on={"a": 0.5}),
]


def opened(folder, **options):
    registry = Registry()

    @registry.agent(name="good", skills=["s"], cost_usd=0.25)
    def good(call):
        if "break" in call.task.prompt:
            raise ValueError("it broke")
        return "the secret answer"

    return Orchestrator(
        registry, ledger=f"sqlite:///{folder}/a.db", out=folder, embedder="hashing", **options
    )


@pytest.fixture
async def ran(tmp_path):
    """A run of two tasks, scored, and its spans."""
    async with opened(tmp_path) as orc:
        run = await orc.run(TASKS, tags=["nightly"], user="ada", session="s1")
        await orc.feedback(run.run_id, score=0.75)
        yield run, spans_of(orc.ledger, run.run_id), orc


async def test_each_kind_of_span_has_the_attributes_of_the_golden_list(ran):
    _, spans, _ = ran
    found = {}
    for s in spans:
        if not s.name.startswith("decide topology"):
            found.setdefault(s.name.split()[0], set()).update(s.attributes)
    assert {k: sorted(v) for k, v in found.items()} == GOLDEN


async def test_every_row_that_happened_is_a_span_under_its_own_parent(ran):
    run, spans, orc = ran
    by_id = {s.span_id: s for s in spans}
    assert len(by_id) == len(spans)
    assert {s.trace_id for s in spans} == {trace_id(run.run_id)}
    (root,) = [s for s in spans if not s.parent_id]
    assert root.name.startswith("invoke_workflow")
    for d in run.decisions:
        s = by_id[span_id(d.id)]
        parent = by_id[s.parent_id]
        assert parent.name == (f"task {d.task_id}" if d.task_id else root.name)
        assert s.attributes["openinference.span.kind"] == "DECISION"
    outcomes = orc.ledger.outcomes(run.run_id)
    calls = [s for s in spans if s.name.startswith("invoke_agent")]
    assert len(calls) == len(outcomes) == 2
    for o in outcomes:
        s = by_id[span_id(o.decision_id, "call", o.agent)]
        assert s.parent_id == span_id(o.decision_id)
        assert (s.end_ns - s.start_ns) / 1e9 == pytest.approx(o.latency_s, abs=1e-3)
        assert s.attributes["agentroute.cost_usd"] == o.cost_usd
    assert root.start_ns <= min(s.start_ns for s in spans) + 1e9
    assert root.attributes["agentroute.cost_usd"] == pytest.approx(0.5)


async def test_a_decision_says_who_stood_and_what_was_expected(ran):
    run, spans, orc = ran
    d = next(d for d in run.decisions if d.kind == "route")
    (s,) = [s for s in spans if s.span_id == span_id(d.id)]
    scores = orc.ledger.record(d.id).scores
    told = json.loads(s.attributes["output.value"])
    assert told["chosen"] == ["good"]
    assert told["scores"]["good"] == pytest.approx(float(scores.mean[0]), abs=1e-6)
    assert json.loads(s.attributes["input.value"])["candidates"] == ["good"]
    (word,) = [e for s in spans for e in s.events]
    assert word.name == "gen_ai.evaluation.result"
    assert word.attributes["gen_ai.evaluation.score.value"] == 0.75


async def test_texts_are_sent_only_where_they_are_asked_for(ran):
    run, spans, orc = ran
    assert "secret" not in repr(spans)
    told = repr(spans_of(orc.ledger, run.run_id, content=True))
    assert "the secret words of a" in told
    assert "the secret answer" in told


async def test_a_failure_is_an_error_of_its_call_and_of_the_run(tmp_path):
    async with opened(tmp_path) as orc:
        run = await orc.run(Task(id="t", prompt="break", skills=("s",)))
        spans = spans_of(orc.ledger, run.run_id)
    calls = [s for s in spans if s.name.startswith("invoke_agent")]
    assert calls and all(s.attributes["error.type"] == "ValueError" for s in calls)
    assert spans[0].attributes["error.type"] == "failed"
    made = as_otel(spans)
    assert made[0].status.status_code is StatusCode.ERROR


async def test_opentelemetrys_own_exporters_take_them(ran):
    _, spans, _ = ran
    memory = InMemorySpanExporter()
    memory.export(as_otel(spans))
    kept = memory.get_finished_spans()
    assert [s.name for s in kept] == [s.name for s in spans]
    json.loads(kept[0].to_json())
    assert kept[0].context.trace_id == spans[0].trace_id
    assert kept[1].parent.span_id == spans[0].span_id


# -- to an endpoint --------------------------------------------------------------------------------


@pytest.fixture
def collector():
    """An OTLP endpoint on loopback; ``got`` are the requests that it took."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    server.got, server.url = got, f"http://127.0.0.1:{server.server_port}/v1/traces"
    yield server
    server.shutdown()
    server.server_close()


def names_of(got):
    return [
        s.name
        for _, request in got
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for s in scope.spans
    ]


async def test_one_setting_sends_every_run(tmp_path, collector):
    async with opened(tmp_path, otel={"endpoint": collector.url}) as orc:
        run = await orc.run(TASKS)
    assert run.status == "completed"
    assert [path for path, _ in collector.got] == ["/v1/traces"]
    assert len(names_of(collector.got)) == 1 + 2 + len(run.decisions) + 2


def test_the_command_line_does_too_and_shows_them(tmp_path, collector, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("agentroute.yaml").write_text(f"otel: {{endpoint: '{collector.url}'}}\n")
    done = CliRunner().invoke(app, ["run", "what is 20 + 3", "--planner", "one"])
    assert done.exit_code == 0, done.output
    sent = names_of(collector.got)
    assert "invoke_agent calculator" in sent
    shown = CliRunner().invoke(app, ["trace", "--json"])
    assert sorted(s["name"] for s in json.loads(shown.stdout)) == sorted(sent)
    tree = CliRunner().invoke(app, ["trace", "last"]).output
    assert "invoke_agent calculator" in tree and "DECISION" in tree
    again = CliRunner().invoke(app, ["trace", "last", "--otlp", collector.url])
    assert f"{len(sent)} spans of run" in again.output
    ids = [{s.span_id for s in r.resource_spans[0].scope_spans[0].spans} for _, r in collector.got]
    assert ids[0] == ids[1]  # sent twice it is one trace


async def test_an_endpoint_that_is_down_costs_a_warning_and_no_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("agentroute.tracing.sending.TIMEOUT_S", 1)
    async with opened(tmp_path, otel={"endpoint": "http://127.0.0.1:9/v1/traces"}) as orc:
        with caplog.at_level(logging.WARNING, logger="agentroute.tracing.sending"):
            run = await orc.run(TASKS)
    assert run.status == "completed"
    assert "its spans were not sent" in caplog.text


def test_an_address_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("agentroute.yaml").write_text("otel: {endpoint: localhost}\n")
    done = CliRunner().invoke(app, ["runs", "ls"])
    assert done.exit_code != 0
