"""``report``: one run as one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit, open_ledger

PLACE = 64  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(report)


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, the start of its id, or 'last'.")
    ] = "last",
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE")] = None,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write a run as one HTML file: answer, task graph, calls over time, and why who was chosen.

    It needs no network and no script; texts of agents stay text.
    """
    from agentroute.errors import UsageError
    from agentroute.inspector.page import write
    from agentroute.inspector.runpage import run_page
    from agentroute.learning.teaching import find_target

    with open_ledger(config, db) as ledger:
        run_id = find_target(ledger, run)
        if not ledger.run_rows(run_id):
            raise UsageError(
                f"'{run}' is a decision, not a run", hint="agentroute explain shows it"
            )
        page = run_page(ledger, run_id, made_by=f"Made by agentroute report {run_id}.")
    path = write(out or Path(f"run-{run_id[:13]}.html"), page)
    if as_json:
        emit({"run_id": run_id, "file": str(path)})
    else:
        typer.echo(str(path))
