"""``graphs``: the catalogue of task graphs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agentroute.cli.parts.common import (
    AgentsDir,
    ConfigFile,
    GraphsDir,
    Json,
    emit,
    graph_places,
    registry_of,
    settings_of,
    table,
)

graphs_app = typer.Typer(help="The catalogue of task graphs.", no_args_is_help=True)


PLACE = 40  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(graphs_app, name="graphs")


@graphs_app.command("ls")
def ls(config: ConfigFile = None, graphs: GraphsDir = None, as_json: Json = False) -> None:
    """Every graph: what it does, its inputs, where it comes from."""
    from agentroute.planning.library import all_graphs

    good, bad = all_graphs(graph_places(settings_of(config), graphs))
    for problem in bad:
        print(f"agentroute: graph left out: {problem}", file=sys.stderr)
    if as_json:
        emit(
            [
                {
                    "name": g.name,
                    "description": g.description,
                    "inputs": list(g.inputs),
                    "tasks": len(g.tasks),
                    "path": str(path),
                    "origin": origin,
                }
                for g, path, origin in good
            ]
        )
        return
    cells = [(g.name, g.description, ", ".join(g.inputs), origin) for g, _, origin in good]
    table("", ["graph", "does", "inputs", "from"], cells)


@graphs_app.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Names or paths; all if none.")] = None,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    graphs: GraphsDir = None,
    as_json: Json = False,
) -> None:
    """Read graphs and see whether the agents there are can carry them out; exit 3 if not."""
    from agentroute.cli.parts.checks import check_graphs

    settings = settings_of(config)
    registry = registry_of(settings, agents)
    report = check_graphs(registry, graph_places(settings, graphs), names)
    if as_json:
        emit(report)
    else:
        typer.echo(f"graphs: {report['ok']} ok")
        for line in report["problems"]:
            typer.echo(line, err=True)
    if report["problems"]:
        raise typer.Exit(3)


@graphs_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A graph's name or a path.")],
    config: ConfigFile = None,
    graphs: GraphsDir = None,
    as_json: Json = False,
) -> None:
    """Inputs and tasks of one graph."""
    from agentroute.planning.library import find_graph

    spec = find_graph(name, graph_places(settings_of(config), graphs))
    if as_json:
        emit(spec.model_dump(mode="json"))
        return
    typer.echo(f"{spec.name}: {spec.description}")
    inputs = [(k, i.type, i.default, i.help) for k, i in spec.inputs.items()]
    table("inputs", ["name", "type", "default", "help"], inputs)
    tasks = [(t.id, ", ".join(t.skills), ", ".join(t.depends_on), t.prompt) for t in spec.tasks]
    table("tasks", ["id", "skills", "after", "prompt"], tasks)
