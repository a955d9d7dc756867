"""``agents``: the catalogue of agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentroute.cli.parts.common import (
    AgentsDir,
    ConfigFile,
    Db,
    Json,
    emit,
    registry_of,
    remark,
    settings_of,
    shut_out,
    table,
)
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.errors import CardError
    from agentroute.model.cards import CapabilityCard

agents_app = typer.Typer(help="The catalogue of agents.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The agent's name.")]
Into = Annotated[Path, typer.Option("--into", help="The folder to change.", metavar="DIR")]


PLACE = 30  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(agents_app, name="agents")


@agents_app.command("ls")
def ls(
    config: ConfigFile = None, agents: AgentsDir = None, db: Db = None, as_json: Json = False
) -> None:
    """Every agent: skills, status, price, circuit breaker and the folder it comes from."""
    registry = registry_of(settings_of(config, db), agents)
    remark(registry)
    shut = shut_out(settings_of(config, db), registry)
    rows: list[dict[str, Any]] = [
        {
            "name": e.card.name,
            "skills": sorted(e.card.skill_ids),
            "status": e.card.status,
            "entrypoint": e.card.entrypoint,
            "expected_usd": e.card.pricing.expected_usd,
            "breaker_open_s": shut.get(e.card.name),
            "origin": e.origin,
            "path": str(e.path) if e.path else None,
        }
        for e in registry.entries.values()
    ]
    if as_json:
        emit(rows)
        return
    cells = (
        (r["name"], ", ".join(r["skills"]), _state(r), _price(r["expected_usd"]), r["origin"])
        for r in rows
    )
    table("", ["agent", "skills", "status", ">usd", "from"], cells)


def _state(row: dict[str, Any]) -> str:
    left = row["breaker_open_s"]
    return row["status"] if left is None else f"{row['status']}, breaker open for {left:.0f} s"


def _price(value: float | None) -> str:
    return "" if value is None else usd(value)


@agents_app.command("show")
def show(
    name: Name, config: ConfigFile = None, agents: AgentsDir = None, as_json: Json = False
) -> None:
    """One card in full."""
    entry = registry_of(settings_of(config), agents)[name]
    card = entry.card.model_dump(mode="json", exclude_defaults=True)
    if as_json:
        emit({"card": card, "path": str(entry.path), "origin": entry.origin})
        return
    table(
        f"{name}  ({entry.path}, {entry.origin})",
        ["field", "value"],
        [(k, v if isinstance(v, str) else _compact(v)) for k, v in card.items()],
    )


def _compact(value: object) -> str:
    import orjson

    return orjson.dumps(value).decode()


@agents_app.command("reset")
def reset(name: Name, config: ConfigFile = None, agents: AgentsDir = None, db: Db = None) -> None:
    """Close an agent's circuit breaker: what it failed at before no longer shuts it out."""
    from agentroute.learning.taking_up import reset_note
    from agentroute.ledger import Ledger

    settings = settings_of(config, db)
    registry_of(settings, agents)[name]
    with Ledger.open(settings.db) as ledger:
        ledger.append(reset_note(name, ledger)).wait(30)
    typer.echo(f"{name}: the breaker is closed for whoever opens this ledger from now on")


@agents_app.command("check")
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Card files; all when none.")] = None,
    config: ConfigFile = None,
    agents: AgentsDir = None,
) -> None:
    """Validate cards and see that their code is there; exit 3 with file, line, field and hint."""
    from agentroute.registry.entrypoints import check_entrypoint
    from agentroute.registry.load import load_card

    if files:
        for file in files:
            card = load_card(file)
            check_entrypoint(card, file)
            typer.echo(f"{file}: ok, agent '{card.name}'")
        return
    registry = registry_of(settings_of(config), agents)
    remark(registry)
    found = [p for e in registry.entries.values() if e.path and (p := _problem(e.card, e.path))]
    for problem in found:
        hint = f" ({problem.hint})" if problem.hint else ""
        typer.echo(f"agentroute: {problem}{hint}", err=True)
    if registry.problems or found:
        raise typer.Exit(3)
    typer.echo(f"{len(registry)} cards ok")


def _problem(card: CapabilityCard, path: Path) -> CardError | None:
    from agentroute.errors import CardError
    from agentroute.registry.entrypoints import check_entrypoint

    try:
        check_entrypoint(card, path)
    except CardError as e:
        return e
    return None


@agents_app.command("rm")
def rm(name: Name, into: Into = Path("agents"), config: ConfigFile = None) -> None:
    """Remove an agent's card (and its own code) from the catalogue folder."""
    from agentroute.errors import UsageError
    from agentroute.registry.onboard import holds, offboard

    known = registry_of(settings_of(config), None)
    if not holds(into, name) and name in known:
        entry = known[name]
        raise UsageError(
            f"'{name}' is not in {into} but in {entry.path} ({entry.origin})",
            hint=f"agentroute agents promote {name} retired takes it out of every choice",
        )
    for path in offboard(name, into):
        typer.echo(f"removed {path}")


@agents_app.command("promote")
def promote(
    name: Name,
    status: Annotated[
        Literal["draft", "shadow", "canary", "active", "retired"],
        typer.Argument(help="The new status."),
    ],
    config: ConfigFile = None,
    agents: AgentsDir = None,
    into: Into = Path("agents"),
) -> None:
    """Change an agent's status in your card; a bundled one gets an override in your folder."""
    from agentroute.registry.onboard import set_status

    entry = registry_of(settings_of(config), agents)[name]
    path = set_status(entry, status, into)
    typer.echo(f"{name}: {entry.card.status} -> {status} in {path}")
