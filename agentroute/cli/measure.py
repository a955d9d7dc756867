"""``bench``: ratios against peers and limits, measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agentroute.bench.goals import Goal
from agentroute.cli.parts.common import (
    AgentsDir,
    ConfigFile,
    Db,
    Json,
    emit,
    open_ledger,
    orchestrator_of,
    run_async,
    spec_of,
    table,
)

bench_app = typer.Typer(
    help="Speed and drift, as ratios measured in one run.", no_args_is_help=True
)


PLACE = 100  # where it stands in the help


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(bench_app, name="bench")


def show(name: str, rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """The goals as a table or JSON; exit 1 when one is missed."""
    if as_json:
        emit(rows)
    else:
        table(name, ["goal", ">measured", "limit", ""], [_cells(r) for r in rows])
    if not all(r["ok"] for r in rows):
        raise typer.Exit(1)


def _cells(r: dict[str, Any]) -> tuple[str, ...]:
    if r["limit"] is None:
        return r["name"], f"{r['value']:.4g} {r['unit']}", "", ""
    sign = "<=" if r["at_most"] else ">="
    mark = "ok" if r["ok"] else "MISSED"
    return r["name"], f"{r['value']:.4g} {r['unit']}", f"{sign} {r['limit']:.4g}", mark


def goals(*benches: Callable[[], Sequence[Goal]]) -> list[dict[str, Any]]:
    """The rows of several benches in one form."""
    return [{**asdict(r), "ok": bool(r.ok)} for bench in benches for r in bench()]


@bench_app.command("routing")
def routing(as_json: Json = False) -> None:
    """LinUCB, whole decisions, GNN serving and pheromones against their peers and limits."""
    from agentroute.bench.gnn import bench_gnn
    from agentroute.bench.pheromone import bench_pheromone
    from agentroute.bench.routing import bench_routing

    show("routing", goals(bench_routing, bench_gnn, bench_pheromone), as_json=as_json)


@bench_app.command("orchestration")
def orchestration(as_json: Json = False) -> None:
    """Fan, chain and diamond of 100 tasks that do nothing, and makespans, beside LangGraph."""
    from agentroute.bench.orchestration import bench_orchestration

    show("orchestration", goals(bench_orchestration), as_json=as_json)


@bench_app.command("topology")
def topology(
    data: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Task graphs; else 200 of WorFBench."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="One simulated world each.")] = 30,
    runs: Annotated[int, typer.Option("--runs", min=3, help="Graphs a world.")] = 2_000,
    dags: Annotated[int, typer.Option("--dags", min=1, help="Graphs whose runs are timed.")] = 10,
    as_json: Json = False,
) -> None:
    """Analysis beside networkx; makespans; who picks the better shape (simulated). 3 minutes."""
    from agentroute.bench.topology import analysis_goals, contest_goals, makespan_goals

    benches = (
        analysis_goals,
        lambda: makespan_goals(data, dags=dags),
        lambda: contest_goals(data, seeds=seeds, runs=runs),
    )
    show("topology", goals(*benches), as_json=as_json)


@bench_app.command("ledger")
def ledger(as_json: Json = False) -> None:
    """A row, beside raw SQLite, SQLModel and LangGraph; opening by the length. Four minutes."""
    from agentroute.bench.ledger import bench_ledger
    from agentroute.bench.opening import bench_opening

    show("ledger", goals(bench_ledger, bench_opening), as_json=as_json)


@bench_app.command("inspector")
def inspector(
    decisions: Annotated[int, typer.Option("--decisions", min=2_000)] = 1_000_000,
    as_json: Json = False,
) -> None:
    """Every page of the inspector on a ledger of a million decisions, in milliseconds."""
    from agentroute.bench.reading.pages import bench_pages
    from agentroute.cli.measuring.pages import application

    show("inspector", goals(lambda: bench_pages(application, decisions)), as_json=as_json)


@bench_app.command("recruiting")
def recruiting(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="An outcome table.")],
    k: Annotated[int, typer.Option("--k", min=1, help="Size of a team.")] = 3,
    holdout: Annotated[float, typer.Option("--holdout", min=0.01, max=0.99)] = 0.3,
    cuts: Annotated[int, typer.Option("--cuts", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Recruiting at random, fixed or for the task; aggregating at random, by the best, by vote."""
    from agentroute.bench.teams.recruiting import recruiting_ablation

    rows = recruiting_ablation(data, k=k, holdout=holdout, cuts=cuts)
    if as_json:
        emit([asdict(r) for r in rows])
        return
    cells = [
        (r.recruiter, r.aggregator, f"{100 * r.accuracy:.2f}",
         f"{100 * r.ci95[0]:.2f} to {100 * r.ci95[1]:.2f}")
        for r in rows
    ]  # fmt: skip
    columns = ("experts", "aggregator", ">right x 100", ">95 % interval")
    table(f"{data.name}: teams of {k}, {cuts} cuts", columns, cells)


@bench_app.command("aggregators")
def aggregators(
    items: Annotated[
        Path | None,
        typer.Argument(
            metavar="ITEMS", help="JSON Lines, or an outcome table; else the ledger's scores."
        ),
    ] = None,
    agent: Annotated[
        list[str] | None, typer.Option("--agent", help="An agent that joins; repeat for more.")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Store who won, for 'refine: learned'.")] = True,
    config: ConfigFile = None,
    agents: AgentsDir = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Who believes the one right answer of three, by kind of task; the winner is kept."""
    from agentroute.bench.teams.aggregators import (
        items_of,
        rank_aggregators,
        read_items,
        winners_of,
    )
    from agentroute.learning.aggregators import keep_winners

    orc = orchestrator_of(config, db, agents)
    if items is not None and items.is_dir():
        from agentroute.bench.teams.fusion import table_items

        found = table_items(items)
    elif items is not None:
        found = read_items(items)
    else:
        with open_ledger(config, db) as ledger:
            found = items_of(ledger)
    ranks = run_async(rank_aggregators(found, agents=agent or (), registry=orc.registry))
    stored = keep_winners(Path(orc.settings.state), winners_of(ranks)) if keep else None
    if as_json:
        emit({"ranks": [asdict(r) for r in ranks], "stored": stored and str(stored)})
        return
    rows = [
        (r.kind or "all", " ".join(map(str, (r.use.name, *r.use.params.values()))),
         f"{100 * r.accuracy:.1f}", r.items, f"{r.cost_usd:.6f}")
        for r in ranks
    ]  # fmt: skip
    table("one right, two wrong (guessing: 33.3)",
          ["kind", "aggregator", ">right x 100", ">items", ">usd"], rows)  # fmt: skip
    typer.echo(f"winners in {stored}; 'refine: learned' uses them" if stored else "nothing stored")


@bench_app.command("fusion")
def fusion(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="An outcome table.")],
    router: Annotated[str, typer.Option("--router", help="Who says what to expect.")] = "knn",
    holdout: Annotated[float, typer.Option("--holdout", min=0.01, max=0.99)] = 0.3,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the figures here, as JSON.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The vote of the best k agents for k = 1 to all, weighed in three ways; each agent alone."""
    import orjson

    from agentroute.bench.teams.fusion import fusion as sweep_of

    found = sweep_of(data, router=router, holdout=holdout)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2))
    if as_json:
        emit(asdict(found))
        return
    cells = [(r.k, r.weights, f"{100 * r.low:.1f}", f"{100 * r.high:.1f}") for r in found.sweep]
    columns = (">k", "weights", ">wrong ones alike", ">no two alike")
    table(f"{data.name}: right x 100 on {found.rows} held out rows", columns, cells)
    alone = sorted(found.agents.items(), key=lambda x: -x[1])
    table("", ("agent", ">right x 100"), [(a, f"{100 * x:.1f}") for a, x in alone])


@bench_app.command("sigma")
def sigma(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="An outcome table.")],
    router: Annotated[str, typer.Option("--router", help="Who says what to expect.")] = "default",
    holdout: Annotated[float, typer.Option("--holdout", min=0.01, max=0.99)] = 0.2,
    cuts: Annotated[int, typer.Option("--cuts", min=1, help="One seed each.")] = 10,
    as_json: Json = False,
) -> None:
    """One, two, three, all, or more where they disagree; how often agreement is wrong."""
    from agentroute.cli.measuring.depths import sigma as show_sigma
    from agentroute.evaluation.runner import EvalSpec

    routers = (spec_of(router),)
    show_sigma(EvalSpec(train=data, routers=routers, holdout=holdout, cuts=cuts), as_json=as_json)


@bench_app.command("rounds")
def rounds(
    alpha: Annotated[
        list[float] | None, typer.Option("--alpha", help="Weight of cost, repeat; 0 to 1.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="One simulated world each.")] = 10,
    tasks: Annotated[int, typer.Option("--tasks", min=9, help="Tasks a world.")] = 60,
    as_json: Json = False,
) -> None:
    """Tasks of several questions, in rounds: quality and cost by alpha. Simulated; 5 minutes."""
    from agentroute.cli.measuring.rounds import rounds as show_rounds

    show_rounds(alpha, seeds=seeds, tasks=tasks, as_json=as_json)


@bench_app.command("assign")
def assign(
    wait: Annotated[list[float] | None, typer.Option(help="Price of a wave; repeat.")] = None,
    seeds: Annotated[int, typer.Option(min=2)] = 10,
    items: Annotated[int, typer.Option(min=5)] = 60,
    as_json: Json = False,
) -> None:
    """Items routed alone, in a queue, or given to agents together. Simulated; a minute."""
    from agentroute.cli.measuring.assign import assign as show_assign

    show_assign(wait, seeds=seeds, items=items, as_json=as_json)


@bench_app.command("planners")
def planners(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines: task, nodes, edges.")],
    planner: Annotated[
        list[str] | None, typer.Option("--planner", help="Repeat for more.", metavar="SPEC")
    ] = None,
    by_source: Annotated[bool, typer.Option("--by-source", help="A row a source too.")] = False,
    as_json: Json = False,
) -> None:
    """How near split words come to task graphs that people wrote down."""
    from agentroute.evaluation.splitting import agreements, read_references
    from agentroute.features.text import make_embedder
    from agentroute.planning.planner import make_planner

    references = read_references(data)
    rows = [
        row
        for spec in planner or ["one", "offline"]
        for row in agreements(
            spec, make_planner(spec_of(spec, "--planner"), trusted=True), references,
            make_embedder(),
        )
        if by_source or row.source == "all"
    ]  # fmt: skip
    if as_json:
        emit([asdict(r) for r in rows])
        return
    cells = [
        (r.planner, r.source, r.graphs, f"{100 * r.split:.0f}", _share(r.node_f1, r.node_f1_ci),
         _share(r.edge_f1, r.edge_f1_ci), _share(r.shape, r.shape_ci),
         ", ".join(f"{maker} {100 * share:.0f} %" for maker, share in r.made_by.items()))
        for r in rows
    ]  # fmt: skip
    shares = (">% split", ">node F1", ">edge F1", ">same shape")
    columns = ("planner", "source", ">graphs", *shares, "made by")
    table(f"{data.name} (x 100, 95 % interval)", columns, cells)


def _share(mean: float, ci: tuple[float, float]) -> str:
    if mean != mean:
        return "-"
    return f"{100 * mean:.1f} ({100 * ci[0]:.1f} to {100 * ci[1]:.1f})"


@bench_app.command("drift")
def drift(
    router: Annotated[list[str] | None, typer.Option("--router", help="Repeat for more.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 10,
    as_json: Json = False,
) -> None:
    """The best agent dies: traffic to it, and recovery, beside a frozen policy."""
    from agentroute.bench.drift import bench_drift

    found = bench_drift(tuple(router or ("default",)), seeds=seeds)
    if as_json:
        emit(found)
    else:
        rows = [
            (
                name,
                how,
                f"{r[how]['before']:.3f}",
                f"{r[how]['after']:.3f}",
                f"{r[how]['dead_share_51_to_100']:.1%}",
                f"{r[how]['recovered']:.0%}",
                _steps(r[how]["recovery_steps"]),
            )
            for name, r in found["routers"].items()
            for how in ("adaptive", "frozen")
        ]
        title = f"{found['environment']}: {found['tasks']} tasks, shock at {found['shock_at']}"
        columns = ("router", "policy", ">before", ">after", ">dead 51-100", ">recovered", ">steps")
        table(f"{title}, {found['seeds']} seeds (simulated)", columns, rows)
    if not found["ok"]:
        raise typer.Exit(1)


def _steps(steps: Sequence[int | None]) -> str:
    known = sorted(s for s in steps if s is not None)
    return f"median {known[len(known) // 2]}" if known else "never"
