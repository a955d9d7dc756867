"""``runs watch``, ``diff`` and ``resume``: a run while it goes on, beside another, once more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from agentroute.cli.parts.common import (
    AgentsDir,
    ConfigFile,
    Db,
    Json,
    emit,
    open_ledger,
    orchestrator_of,
    seconds,
    table,
)
from agentroute.cli.parts.terminal import shown
from agentroute.cli.runs import RUN_HELP, runs_app
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.inspector.comparing import Did

PLACE = 61  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add these to the group ``runs``."""
    runs_app.command("watch")(watch)
    runs_app.command("diff")(diff)
    runs_app.command("resume")(resume)


def watch(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help=f"{RUN_HELP} Else the one that goes on, or the next."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every run, until Ctrl-C.")] = False,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """A run while it goes on, from another terminal: each row as it is committed.

    Ends when the run does, or when it waits for a word. With --json one object a line.
    """
    from agentroute.errors import UsageError
    from agentroute.inspector.following import before, follow, latest_open, next_run
    from agentroute.learning.teaching import find_run

    if every and run is not None:
        raise UsageError("--all watches every run", hint="name a run, or leave it out")
    with open_ledger(config, db) as ledger:
        target = latest_open(ledger) if run is None else find_run(ledger, run)
        if every or target is None:
            print("waiting for a run", file=sys.stderr, flush=True)
            target = None if every else next_run(ledger).run_id
        after = ledger.head()[0] if target is None else before(ledger, target)
        for line in follow(ledger, target, after_seq=after):
            if as_json:
                print(orjson.dumps(line).decode(), flush=True)
            else:
                typer.echo(f"{line.at[11:19]}  {line.run_id[:13]}  "
                           f"{shown(line.task_id):12}  {shown(line.words)}")  # fmt: skip


def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The other.")] = "last",
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Two runs side by side: what they came to, and who did each task."""
    from agentroute.inspector.comparing import compare, totals
    from agentroute.learning.teaching import find_run

    with open_ledger(config, db) as ledger:
        found = compare(ledger, find_run(ledger, first), find_run(ledger, second))
        sums = totals(ledger, found)
    if as_json:
        emit(found.model_dump(mode="json"))
        return
    table("", ("", "first", "second"), [("run", found.a, found.b), *sums])
    rows = [("*" if p.differs else "", p.task, *_did(p.a), *_did(p.b)) for p in found.tasks]
    columns = ("", "task", "first", ">score", ">took", ">usd", "second", ">score", ">took", ">usd")
    table("", columns, rows)
    others = sum(p.differs for p in found.tasks)
    said = {True: "; the answers are the same text", False: "; the answers differ", None: ""}
    typer.echo(f"{others} of {len(found.tasks)} tasks were done by others (*)"
               f"{said[found.answers_alike]}")  # fmt: skip


def _did(d: Did | None) -> tuple[str, ...]:
    if d is None:
        return ("not there", "", "", "")
    again = f" ({d.attempts} choices)" if d.attempts > 1 else ""
    who = (", ".join(d.chosen) or "nobody") + again
    score = "" if d.score is None else f"{d.score:.2f}"
    return who, score, seconds(d.latency_s), usd(d.cost_usd)


def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)] = "last",
    approve: Annotated[list[str] | None, typer.Option("--approve", metavar="TASK")] = None,
    reject: Annotated[list[str] | None, typer.Option("--reject", metavar="TASK")] = None,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that waits or was cut off; what was decided and done is not done again."""
    from agentroute.cli.parts.progress import answers_of, carried_out, fell_short
    from agentroute.cli.parts.views import show_run

    orc = orchestrator_of(config, db, agents)
    result = carried_out(orc, None, run, quiet=as_json, answers=answers_of(approve, reject))
    if as_json:
        emit(result)
    else:
        show_run(result, db)
    if fell_short(result):
        raise typer.Exit(1)
