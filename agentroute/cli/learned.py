"""``train`` and ``pheromone``: learned state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentroute.cli.parts.common import ConfigFile, Db, Json, emit, spec_of

pheromone_app = typer.Typer(help="The trails of the pheromone router.", no_args_is_help=True)


PLACE = 70  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(train)
    app.add_typer(pheromone_app, name="pheromone")


def train(
    router: Annotated[
        str,
        typer.Argument(help="linear, knn, gnn, ensemble or one of your own; '{name: knn, k: 5}'."),
    ],
    data: Annotated[Path | None, typer.Argument(help="An outcome table.", metavar="TABLE")] = None,
    ledger: Annotated[
        str | None,
        typer.Option("--from-ledger", help="Learn from your own runs instead.", metavar="URL"),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the state; by default the router's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="By default the settings'.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="WEIGHTS",
            help="What is valued: '{correct: 1, process: 0.2, efficient: 0.3}'.",
        ),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Of gnn: also train its four ablations.")
    ] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Fit a router on labelled outcomes and keep it as a state that a router can start from.

    Rows of a table's test split are left out. From a ledger all judged decisions are learned
    from, each weighted by 1 / its probability. The state goes into the folder `state` of the
    settings; serve it with router: {name: linear, state: NAME}. With --target right answers are
    weighed against the column `process` of the table and against few `tokens`.
    """
    from agentroute.cli.parts.training import lessons, valued
    from agentroute.cli.parts.training import train as fit

    spec = spec_of(router)
    taught = lessons(data, ledger, config)
    if target is not None:
        taught = valued(taught, target)
    report = fit(spec, taught, name, config, seed=seed, ablate=ablate, quiet=as_json)
    if as_json:
        emit({k: v for k, v in report.items() if k != "lines"})
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
