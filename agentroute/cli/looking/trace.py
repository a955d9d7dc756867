"""``trace``: a run as spans, here or at an OTLP endpoint."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit, open_ledger, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentroute.tracing.spans import Span

PLACE = 65  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(trace)


def trace(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, the start of its id, or 'last'.")
    ] = "last",
    otlp: Annotated[
        str | None,
        typer.Option(
            "--otlp", metavar="URL", help="Send them, e.g. http://localhost:4318/v1/traces"
        ),
    ] = None,
    content: Annotated[
        bool, typer.Option("--content", help="With the texts of tasks and answers.")
    ] = False,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """A run as OpenTelemetry spans: run, plan, tasks, decisions, calls; made from the ledger.

    The setting otel: {endpoint: URL} sends those of every run when it ends.
    """
    from agentroute.learning.teaching import find_run
    from agentroute.tracing.sending import send
    from agentroute.tracing.spans import spans_of

    with open_ledger(config, db) as ledger:
        run_id = find_run(ledger, run)
        if otlp is not None:
            sent = send(ledger, run_id, otlp, content=content)
            if as_json:
                emit({"run_id": run_id, "sent": sent, "endpoint": otlp})
            else:
                typer.echo(f"{sent} spans of run {run_id} were sent to {otlp}")
            return
        spans = spans_of(ledger, run_id, content=content)
    if as_json:
        emit([_plain(s) for s in spans])
    else:
        _show(spans)


def _show(spans: Sequence[Span]) -> None:
    """A tree: each span under its parent, with its start and its length."""
    start = min(s.start_ns for s in spans)
    below: dict[int, list[Span]] = {}
    for s in sorted(spans, key=lambda s: s.start_ns):
        below.setdefault(s.parent_id, []).append(s)
    rows = []
    todo = [(0, s) for s in below.get(0, ())]
    while todo:
        depth, s = todo.pop(0)
        took = f"{(s.end_ns - s.start_ns) / 1e6:,.1f}"
        kind = str(s.attributes.get("openinference.span.kind", ""))
        rows.append(("· " * depth + s.name, kind, f"{(s.start_ns - start) / 1e6:,.1f}", took,
                     s.error.splitlines()[0][:60] if s.error else ""))  # fmt: skip
        todo = [(depth + 1, c) for c in below.get(s.span_id, ())] + todo
    table("", ("span", "kind", ">from ms", ">took ms", "error"), rows)


def _plain(s: Span) -> dict[str, object]:
    return {**asdict(s), "trace_id": f"{s.trace_id:032x}", "span_id": f"{s.span_id:016x}",
            "parent_id": f"{s.parent_id:016x}" if s.parent_id else None}  # fmt: skip
