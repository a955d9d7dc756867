"""Spans to any OTLP endpoint, by OpenTelemetry's own exporter (extra ``otel``)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from agentroute.errors import MissingExtraError, UsageError
from agentroute.ledger import Ledger
from agentroute.tracing.spans import Span, spans_of

log = logging.getLogger(__name__)
TIMEOUT_S = 10


def send(ledger: Ledger, run_id: str, endpoint: str, *, content: bool = False) -> int:
    """Send the spans of a run; how many there were.

    ``endpoint`` is the whole address, as ``http://localhost:4318/v1/traces``; headers come from
    ``OTEL_EXPORTER_OTLP_HEADERS``.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
        UsageError: the endpoint did not take them, or no such run is there.
    """
    spans = spans_of(ledger, run_id, content=content)
    if not spans:
        raise UsageError(f"no run '{run_id}' is in the ledger", hint="see: agentroute runs ls")
    exporter, done = _exporter(endpoint)
    try:
        took = exporter.export(as_otel(spans))
    finally:
        exporter.shutdown()
    if took is not done:
        raise UsageError(
            f"{endpoint} did not take {len(spans)} spans", hint="an OTLP address ends in /v1/traces"
        )
    return len(spans)


async def send_quietly(ledger: Ledger, run_id: str, endpoint: str, *, content: bool) -> None:
    """``send`` beside the loop; what goes wrong is logged, for the run is over and stands."""
    try:
        await asyncio.to_thread(send, ledger, run_id, endpoint, content=content)
    except (MissingExtraError, UsageError) as e:
        log.warning("run %s: its spans were not sent: %s", run_id, e)


def as_otel(spans: Sequence[Span]) -> list[Any]:
    """As OpenTelemetry's ``ReadableSpan``, for any of its exporters.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
    except ImportError as e:
        raise MissingExtraError("otel", needed_for="spans") from e
    release = version("agentroute-router")
    resource = Resource.create({"service.name": "agentroute", "service.version": release})
    scope = InstrumentationScope("agentroute", release)
    sampled = TraceFlags(TraceFlags.SAMPLED)

    def context(s: Span, own: int) -> Any:
        return SpanContext(s.trace_id, own, is_remote=False, trace_flags=sampled)

    return [
        ReadableSpan(
            name=s.name,
            context=context(s, s.span_id),
            parent=context(s, s.parent_id) if s.parent_id else None,
            resource=resource,
            attributes=dict(s.attributes),
            events=[Event(e.name, dict(e.attributes), e.at_ns) for e in s.events],
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, s.error) if s.error else Status(StatusCode.OK),
            start_time=s.start_ns,
            end_time=s.end_ns,
            instrumentation_scope=scope,
        )
        for s in spans
    ]


def _exporter(endpoint: str) -> tuple[Any, Any]:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as e:
        raise MissingExtraError("otel", needed_for="sending spans") from e
    return OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S), SpanExportResult.SUCCESS
