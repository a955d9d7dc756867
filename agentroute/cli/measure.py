"""``bench``: ratios against peers and limits, measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agentroute.bench.goals import Goal
from agentroute.cli.parts.common import Json, emit, table

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


@bench_app.command("ledger")
def ledger(as_json: Json = False) -> None:
    """A row, beside raw SQLite, SQLModel and LangGraph; opening by the length. Four minutes."""
    from agentroute.bench.ledger import bench_ledger
    from agentroute.bench.opening import bench_opening

    show("ledger", goals(bench_ledger, bench_opening), as_json=as_json)


@bench_app.command("recruiting")
def recruiting(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="An outcome table.")],
    k: Annotated[int, typer.Option("--k", min=1, help="Size of a team.")] = 3,
    holdout: Annotated[float, typer.Option("--holdout", min=0.01, max=0.99)] = 0.3,
    cuts: Annotated[int, typer.Option("--cuts", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Recruiting at random, fixed or for the task; aggregating at random, by the best, by vote."""
    from agentroute.bench.recruiting import recruiting_ablation

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
