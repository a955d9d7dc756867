"""What weighing cost does to tasks in rounds, as ``bench rounds`` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from agentroute.cli.parts.common import emit, table

if TYPE_CHECKING:
    from agentroute.bench.teams.rounds import AlphaRow
    from agentroute.model.arrays import F64


def rounds(alphas: Sequence[float] | None, *, seeds: int, tasks: int, as_json: bool) -> None:
    """The sweep as a table and its goals; exit 1 when one is missed.

    Raises:
        UsageError: fewer than two alphas, or one outside [0, 1].
    """
    from agentroute.bench.teams.rounds import ALPHAS, rounds_goals, sweep
    from agentroute.errors import UsageError

    wanted = sorted(set(alphas or ALPHAS))
    if len(wanted) < 2 or not all(0.0 <= a <= 1.0 for a in wanted):
        raise UsageError("two alphas or more in [0, 1] are compared", hint="--alpha 0 --alpha 0.6")
    rows = sweep(wanted, seeds=seeds, tasks=tasks)
    goals = [{**asdict(g), "ok": g.ok} for g in rounds_goals(rows)]
    if as_json:
        emit({"rows": [_plain(r) for r in rows], "goals": goals})
    else:
        _show(rows, seeds)
        table("", ["goal", ">measured", ">limit", ""], [
            (g["name"], f"{g['value']:.3f}", f"{g['limit']:.2f}", "ok" if g["ok"] else "MISSED")
            for g in goals
        ])  # fmt: skip
    if not all(g["ok"] for g in goals):
        raise typer.Exit(1)


def _show(rows: Sequence[AlphaRow], seeds: int) -> None:
    heads = ("alpha", ">solved x 100", ">USD x 1000", ">reward", ">calls, one hop",
             ">calls, 2 or 3 hops")  # fmt: skip
    cells = [
        (f"{r.alpha:.2f}", _said(r.right, 100), _said(r.cost_usd, 1_000, 2), _said(r.reward, 1, 3),
         _said(r.calls_single, 1, 2), _said(r.calls_multi, 1, 2))
        for r in rows
    ]  # fmt: skip
    table(f"rounds by alpha, a task: {seeds} seeds, 95 % intervals (simulated)", heads, cells)


def _said(x: F64, times: float, digits: int = 1) -> str:
    from agentroute.evaluation.metrics import t_interval

    mean, lo, hi = (times * v for v in t_interval(x))
    return f"{mean:.{digits}f} ({lo:.{digits}f} to {hi:.{digits}f})"


def _plain(r: AlphaRow) -> dict[str, object]:
    said = asdict(r)
    return {k: v if isinstance(v, float) else v.tolist() for k, v in said.items()}
