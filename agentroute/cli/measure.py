"""``bench``: ratios against peers and limits, measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
def drift(as_json: Json = False) -> None:
    """The best agent dies: traffic to it, and recovery, beside a frozen policy."""
    from agentroute.evaluation.bench_drift import bench_drift

    _show("drift", _rows(bench_drift), as_json)
