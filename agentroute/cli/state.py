"""``state``: what is kept of learning, beside the ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from agentroute.cli.parts.common import ConfigFile, Json, emit, table

state_app = typer.Typer(help="Learned state: fitted routers and snapshots.", no_args_is_help=True)

PLACE = 71  # where it stands in the help

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a state; state ls shows them.")]
Version = Annotated[
    int | None, typer.Option("--version", min=1, help="Of the state; by default the current one.")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(state_app, name="state")


@state_app.command("ls")
def ls(config: ConfigFile = None, as_json: Json = False) -> None:
    """All states: whose they are, from how many rows, and what was folded since."""
    from agentroute.cli.parts.states import listed

    found = listed(config)
    if as_json:
        emit(found)
        return
    keys = ("name", "version", "kind", "embedder", "rows", "agents", "folded", "problem")
    cells = [[f[k] if k != "agents" else len(f[k]) or "" for k in keys] for f in found]
    heads = ["state", ">version", "kind", "embedder", ">rows", ">agents", ">folded", ""]
    table("", heads, cells)


@state_app.command("show")
def show(
    name: Name, version: Version = None, config: ConfigFile = None, as_json: Json = False
) -> None:
    """One state: kind, SHA-256, embedder, rows, agents, base, folded, and how it was fitted."""
    from agentroute.cli.parts.states import described, store_of

    about = described(*store_of(config, name), version)
    if as_json:
        emit(about)
        return
    for key, value in about.items():
        if key != "provenance":
            said = ", ".join(map(str, value)) if isinstance(value, list) else value
            typer.echo(f"{key}: {'' if said is None else said}")
    for key, value in about["provenance"].items():
        if key not in about:
            typer.echo(f"  {key}: {value}")


@state_app.command("reset")
def reset(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Set a state aside. What was folded from a ledger is folded anew; a fit has to be repeated."""
    from agentroute.cli.parts.states import store_of

    store, own = store_of(config, name)
    home = store.reset(own)
    if as_json:
        emit({"name": name, "moved_to": str(home)})
    else:
        typer.echo(f"{name} is set aside: {home}")


@state_app.command("rollback")
def rollback(
    name: Name,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, help="Which; by default the one before the current one."),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make an older version the current one. Newer ones stay, and can be gone back to."""
    from agentroute.cli.parts.states import described, rolled_back, store_of

    store, own = store_of(config, name)
    about = described(store, own, rolled_back(store, own, version))
    if as_json:
        emit(about)
    else:
        typer.echo(f"{name} is at version {about['version']}, sha256 {about['sha256']}")
