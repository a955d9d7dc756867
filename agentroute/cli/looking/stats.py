"""``stats``: who wins how often, how good, at what price, and whether learning helps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentroute.cli.parts.common import (
    ConfigFile,
    Db,
    Json,
    emit,
    open_ledger,
    run_async,
    seconds,
    settings_of,
    table,
)
from agentroute.inspector.money import usd

if TYPE_CHECKING:
    from agentroute.evaluation.statistics.groups import Group

WON = ("agent", "topology")
PLACE = 62  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(stats)


def stats(
    by: Annotated[
        str, typer.Option("--by", help="agent, skill, graph, day or topology.")
    ] = "agent",
    last: Annotated[int, typer.Option("--last", min=1, help="How many choices.")] = 10_000,
    config: ConfigFile = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Choices, win rate, quality, cost, latency and exploration; and whether learning helps."""
    from typing import get_args

    from agentroute.errors import UsageError, did_you_mean
    from agentroute.evaluation.statistics.groups import By, statistics
    from agentroute.evaluation.statistics.helps import learning_helps
    from agentroute.features.text import embedder_of
    from agentroute.learning.state import StateStore

    if by not in get_args(By):
        raise UsageError(f"--by {by} is not known", hint=did_you_mean(by, get_args(By)))
    settings = settings_of(config, db)
    weights = settings.feedback_weights.model_dump()
    with open_ledger(config, db) as ledger:
        found = statistics(ledger, by, last=last, weights=weights)  # type: ignore[arg-type]
        embedder = embedder_of(settings)
        helps = run_async(
            learning_helps(
                ledger, settings.router, embedder=embedder, seed=settings.seed,
                states=StateStore(Path(settings.state)),
            )
        )  # fmt: skip
    if as_json:
        emit({"by": by, "groups": found, "learning": helps})
        return
    show(by, found)
    typer.echo(helps if isinstance(helps, str) else helps.words)


def show(by: str, groups: tuple[Group, ...]) -> None:
    """The groups as a table, with what its columns mean."""
    if not groups:
        typer.echo("no such choice is in the ledger yet")
        return
    won = [">won"] if by in WON else []
    rows = []
    for g in groups:
        spread = "" if g.ci95 is None else f"±{(g.ci95[1] - g.ci95[0]) / 2:.2f}"
        quality = "" if g.quality is None else f"{g.quality:.2f}{spread}"
        took = "" if g.latency_s is None else seconds(g.latency_s)
        of = [_share(g.win_rate)] if by in WON else []
        cells: list[Any] = [g.name, g.choices, *of, _share(g.explored), _share(g.failed)]
        rows.append([*cells, quality, g.judged or "", took, usd(g.cost_usd)])
    columns = [by, ">chosen", *won, ">expl", ">fail", ">quality", ">of", ">took", ">usd"]
    table("", columns, rows)
    about = "won: chosen of the times that it stood for choice; " if by in WON else ""
    typer.echo(
        f"{about}expl: by the draw, against the scores; quality: what was learned of its work, a "
        "failed call 0, with the 95 % interval, and of how many; took: mean; usd: sum"
    )


def _share(x: float | None) -> str:
    return "" if x is None else f"{x:.0%}"
