"""``test``: routing tests, for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentroute.cli.parts.common import (
    AgentsDir,
    ConfigFile,
    Db,
    Json,
    emit,
    orchestrator_of,
    run_async,
    table,
)

if TYPE_CHECKING:
    from agentroute.evaluation.routetests import RouteReport

PLACE = 66  # where it stands in the help
MOST = 12


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("test")(routes)


def routes(
    file: Annotated[Path, typer.Argument(metavar="ROUTES.yaml", help="Cases: who gets which.")],
    router: Annotated[str | None, typer.Option("--router", help="Which router decides.")] = None,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Routing tests: must, may, must_not, abstain. Calls nobody, writes nothing. Exit 1 on a miss.

    Below them: what was confused with what, agents that no case puts first, cards that say nearly
    the same, and skills that no card has.
    """
    from agentroute.evaluation.routetests import load_cases, run_cases

    tests = load_cases(file)
    orc = orchestrator_of(config, db, agents, router=router)

    async def go() -> Any:
        async with orc.reading():
            return await run_cases(tests, orc)

    report = run_async(go())
    if as_json:
        emit({**report.model_dump(mode="json"), "failed": report.failed})
    else:
        show(report)
    if report.failed:
        raise typer.Exit(1)


def show(report: RouteReport) -> None:
    """What failed first, then the counts and what the cards cover."""
    failed = [t for t in report.tested if t.verdict == "failed"]
    if failed:
        table("", ["task", "wrong"], [(t.case.task, t.why) for t in failed])
    typer.echo(f"{len(report.tested) - len(failed)} of {len(report.tested)} cases hold")
    mixed = [
        (wanted, ", ".join(f"{first} {n}" for first, n in sorted(found.items())))
        for wanted, found in report.confusion.items()
        if set(found) != {wanted}
    ]
    if mixed:
        table("confused", ["wanted", "came first"], mixed)
    _say("no case puts first", report.never_first)
    _say("no card has the skill", report.uncovered)
    _say("cards that say nearly the same", [f"{a} and {b} ({x:.2f})" for a, b, x in report.alike])


def _say(what: str, names: Any) -> None:
    if names:
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        typer.echo(f"{what}: {', '.join(names[:MOST])}{more}")
