"""``ledger``: the audit trail."""

from __future__ import annotations

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit, open_ledger

ledger_app = typer.Typer(help="The audit trail.", no_args_is_help=True)


PLACE = 90  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(ledger_app, name="ledger")


@ledger_app.command("verify")
def verify(config: ConfigFile = None, db: Db = None, as_json: Json = False) -> None:
    """Recompute the hash chain and compare every indexed column; exit 4 at the first bad row."""
    with open_ledger(config, db) as ledger:
        report = ledger.verify()
    if as_json:
        emit(report)
    else:
        typer.echo(report.words())
    if not report.ok:
        raise typer.Exit(4)
