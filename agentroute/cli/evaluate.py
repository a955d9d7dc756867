"""``eval``: routers against baselines on outcome tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agentroute.cli.parts.common import Json, emit, table

PLACE = 80  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("eval")(evaluate_command)


def evaluate_command(
    test: Annotated[Path | None, typer.Option("--test", help="Table to score.")] = None,
    train: Annotated[Path | None, typer.Option("--train", help="Table to learn from.")] = None,
    router: Annotated[
        list[str] | None,
        typer.Option("--router", help="A name, or '{name: knn, label: k5, k: 5}'; repeat."),
    ] = None,
    mode: Annotated[
        Literal["full", "bandit"],
        typer.Option("--mode", help="Learn from all arms' scores, or the chosen arm's."),
    ] = "full",
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Repetitions.")] = None,
    train_split: Annotated[list[str] | None, typer.Option("--train-split")] = None,
    test_split: Annotated[list[str] | None, typer.Option("--test-split")] = None,
    holdout: Annotated[
        float | None, typer.Option("--holdout", min=0.01, max=0.99, help="Cut inside one table.")
    ] = None,
    group_by: Annotated[str | None, typer.Option("--group-by", metavar="FEATURE")] = None,
    cuts: Annotated[int, typer.Option("--cuts", min=1, help="How many random cuts.")] = 1,
    embedder: Annotated[str, typer.Option("--embedder")] = "wordllama",
    exploration: Annotated[
        float | None, typer.Option("--exploration", min=0, max=1, help="Epsilon while learning.")
    ] = None,
    cost: Annotated[float, typer.Option("--cost-weight", min=0)] = 0.0,
    latency: Annotated[float, typer.Option("--latency-weight", min=0)] = 0.0,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Also sweep the cost weight: Pareto, hypervolume.")
    ] = False,
    curve: Annotated[
        bool, typer.Option("--curve", help="Also score after 50, 200, 1000, ... train rows.")
    ] = False,
    sets: Annotated[
        bool, typer.Option("--sets", help="Also choose sets of agents: hit, exact, F1, newcomers.")
    ] = False,
    withhold: Annotated[
        int,
        typer.Option("--withhold", min=0, help="Arms kept from training, then met by their cards."),
    ] = 0,
    ledger: Annotated[
        str | None,
        typer.Option("--off-policy", metavar="URL", help="Estimate from a ledger instead."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML report.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Which router is worth it on your data: baselines, intervals, seeds.

    The form of a table is in the README. Score is the mean quality over rows that somebody should
    get; learning and tuning see train rows alone.
    """
    from agentroute.cli.parts import evaluation as parts
    from agentroute.evaluation.runner import EvalSpec, evaluate
    from agentroute.model.objective import Objective

    routers = parts.router_specs(router or ["default"])
    if ledger is not None:
        parts.off_policy(ledger, routers, embedder, as_json=as_json)
        return
    spec = EvalSpec(
        test=test,
        train=train,
        routers=routers,
        mode=mode,
        seeds=seeds,
        train_split=tuple(train_split or ()),
        test_split=tuple(test_split or ()),
        holdout=holdout,
        group_by=group_by,
        cuts=cuts,
        embedder=embedder,
        exploration=exploration,
        objective=Objective(1.0, cost, latency),
    )
    result = evaluate(spec)
    swept = parts.sweeps(spec) if sweep else []
    learned = parts.learning(spec) if curve else None
    chosen = parts.chosen_sets(spec, withhold) if sets else {}
    met = parts.newcomers(spec, withhold) if withhold else {}
    if report is not None:
        from agentroute.inspector.evalpage import eval_page
        from agentroute.inspector.page import write

        path = write(report, eval_page(result, swept, learned))
        typer.echo(f"report: {path}", err=True)
    if as_json:
        more = {"sweeps": [s.to_json() for s in swept], "learning_curve": learned, "sets": chosen}
        more["newcomers"] = met
        emit({**result.to_json(), **{k: v for k, v in more.items() if v}})
        return
    header, rows = result.table()
    numeric = [header[0], *(f">{h}" for h in header[1:])]
    title = (
        f"{result.test}: {result.mode} mode, {result.train_rows} rows learned, "
        f"{result.rows} scored, {result.repetitions} repetitions; score x 100"
    )
    table(title, numeric, rows)
    for note in result.notes:
        typer.echo(note)
    parts.show_sweeps(swept)
    if learned is not None:
        parts.show_curve(learned)
    parts.show_sets(chosen)
    parts.show_newcomers(met, withhold)
