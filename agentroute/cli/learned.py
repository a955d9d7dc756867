"""``train`` and ``pheromone``: learned state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit

train_app = typer.Typer(help="Fit a router on labelled outcomes.", no_args_is_help=True)
pheromone_app = typer.Typer(help="The trails of the pheromone router.", no_args_is_help=True)


PLACE = 70  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(train_app, name="train")
    app.add_typer(pheromone_app, name="pheromone")


@train_app.command("gnn")
def train_gnn(
    data: Annotated[Path, typer.Argument(help="An outcome table.", metavar="DIR")],
    out: Annotated[Path, typer.Option("--out", help="Where the state goes.")] = Path("gnn-state"),
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also train the four ablations.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the knowledge-graph router; shows progress, writes arrays and a manifest."""
    from agentroute.cli.parts.training import train

    report = train(data, out, seed=seed, ablate=ablate, quiet=as_json)
    if as_json:
        emit(report)
    else:
        for line in report["lines"]:
            typer.echo(line)


@pheromone_app.command("show")
def pheromone_show(
    task: Annotated[str | None, typer.Option("--task", help="One kind of task.")] = None,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Trails, top paths and probabilities, folded from the ledger."""
    from agentroute.cli.parts.training import pheromones

    report = pheromones(config, db, task)
    if as_json:
        emit(report)
    else:
        for line in report["lines"]:
            typer.echo(line)
