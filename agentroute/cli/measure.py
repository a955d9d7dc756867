"""``bench``: ratios against peers and limits, measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from agentroute.cli.common import Json, emit, table

bench_app = typer.Typer(
    help="Speed and drift, as ratios measured in one run.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(bench_app, name="bench")


def _show(name: str, rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit(rows)
    else:
        cells = [
            (r["name"], f"{r['value']:.4g}", f"{r['limit']:.4g}", "ok" if r["ok"] else "MISSED")
            for r in rows
        ]
        table(name, ["goal", ">measured", ">limit", ""], cells)
    if not all(r["ok"] for r in rows):
        raise typer.Exit(1)


def _rows(*benches: Callable[[], Sequence[Any]]) -> list[dict[str, Any]]:
    out = []
    for bench in benches:
        for r in bench():
            row = (
                r
                if isinstance(r, dict)
                else {k: getattr(r, k) for k in ("name", "value", "limit", "ok")}
            )
            out.append(row)
    return out


@bench_app.command("routing")
def routing(as_json: Json = False) -> None:
    """LinUCB, whole decisions, GNN serving and pheromones against their peers and limits."""
    from agentroute.evaluation.bench_gnn import bench_gnn
    from agentroute.evaluation.bench_pheromone import bench_pheromone
    from agentroute.evaluation.bench_routing import bench_routing

    _show("routing", _rows(bench_routing, bench_gnn, bench_pheromone), as_json)


@bench_app.command("drift")
def drift(
    router: Annotated[list[str] | None, typer.Option("--router", help="Repeat for more.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 10,
    as_json: Json = False,
) -> None:
    """The best agent dies: traffic to it, and recovery, beside a frozen policy."""
    from agentroute.evaluation.bench_drift import bench_drift

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
