"""What giving items to agents together is worth, as ``bench assign`` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from agentroute.cli.parts.common import emit, table

if TYPE_CHECKING:
    from agentroute.model.arrays import F64


def assign(waits: Sequence[float] | None, *, seeds: int, items: int, as_json: bool) -> None:
    """The ways as a table and their goals; exit 1 when one is missed.

    Raises:
        UsageError: a price of waiting outside [0, 1].
    """
    from agentroute.bench.teams.assigning import WAITS, assign_goals, assigning
    from agentroute.errors import UsageError
    from agentroute.evaluation.metrics import t_interval

    wanted = sorted(set(waits or WAITS))
    if not all(0.0 <= w <= 1.0 for w in wanted):
        raise UsageError("a price of waiting is in [0, 1]", hint="--wait 0.05")
    rows = assigning(wanted, seeds=seeds, items=items)
    goals = [{**asdict(g), "ok": bool(g.ok)} for g in assign_goals(rows)]
    if as_json:
        plain = [{k: v.tolist() if hasattr(v, "tolist") else v for k, v in asdict(r).items()}
                 for r in rows]  # fmt: skip
        emit({"rows": plain, "goals": goals})
    else:
        base, cells = rows[0].makespan_s, []
        for r in rows:
            q, qlo, qhi = (100 * v for v in t_interval(r.quality))
            w = "" if r.wait is None else _worth(r.worth(r.wait), rows[0].worth(r.wait))
            m, mlo, mhi = t_interval(r.makespan_s / base)
            at = "" if r.wait is None else f"{r.wait:g}"
            cells.append((r.way, at, f"{q:.1f} ({qlo:.1f} to {qhi:.1f})",
                          f"{m:.2f} ({mlo:.2f} to {mhi:.2f})", w))  # fmt: skip
        heads = (
            "way",
            ">wait",
            ">quality x 100",
            ">makespan over alone",
            ">worth over alone x 100",
        )
        table(f"{items} items, 5 agents: {seeds} seeds, 95 % intervals (simulated)", heads, cells)
        table("", ["goal", ">measured", ">limit"], [
            (g["name"], f"{g['value']:.3f}", "" if g["limit"] is None else f"{g['limit']:g}")
            for g in goals
        ])  # fmt: skip
    if not all(g["ok"] for g in goals):
        raise typer.Exit(1)


def _worth(mine: F64, alone: F64) -> str:
    from agentroute.evaluation.metrics import t_interval

    mean, lo, hi = (100 * v for v in t_interval(mine - alone))
    return f"{mean:+.1f} ({lo:+.1f} to {hi:+.1f})"
