"""An evaluation as charts: plain series that an HTML report or a terminal can draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentroute.evaluation.results import EvalResult
from agentroute.evaluation.sweep import Point, Sweep

Chart = dict[str, Any]


def charts(
    result: EvalResult,
    sweeps: Sequence[Sweep] = (),
    curve: Mapping[str, Any] | None = None,
) -> list[Chart]:
    """What there is to draw, in order.

    Each chart has ``kind``, ``title``, ``x``, ``y``. ``bars``: ``bars`` of ``name, value, lo, hi,
    ours``. ``lines`` and ``points``: ``series`` of ``name, x, y`` (``points`` also ``labels``);
    ``baseline`` marks those that are no router.
    """
    out = [_scores(result)]
    streamed = {n: r.curve for n, r in result.routers.items() if r.curve is not None}
    if streamed:
        out.append(_lines("Mean quality while learning", "tasks", "quality", _means(streamed)))
        out += [_regret(name, c) for name, c in streamed.items()]
    if curve is not None:
        series = [{"name": n, "x": curve["at"], "y": v} for n, v in curve["routers"].items()]
        series += [
            {"name": f"({b})", "x": curve["at"], "y": v, "baseline": True}
            for b, v in curve["baselines"].items()
        ]
        out.append(_lines("Score by rows learned from", "train rows", "score", series))
    return out + [_pareto(s) for s in sweeps]


def _scores(result: EvalResult) -> Chart:
    keys = ("name", "value", "lo", "hi", "ours")
    bars = [dict(zip(keys, bar, strict=True)) for bar in result.bars()]
    bars.sort(key=lambda b: float(str(b["value"])), reverse=True)
    title = f"Score on {result.test}, {result.rows} tasks, 95 % intervals over tasks"
    return {"kind": "bars", "title": title, "x": "score", "y": "", "bars": bars}


def _means(streamed: Mapping[str, Chart]) -> list[Chart]:
    return [{"name": n, "x": c["at"], "y": c["mean"]} for n, c in streamed.items()]


def _regret(name: str, curve: Chart) -> Chart:
    series = [{"name": f"vs {ref}", "x": curve["at"], "y": y} for ref, y in curve["regret"].items()]
    return _lines(f"Cumulative regret of {name}", "tasks", "quality lost", series)


def _lines(title: str, x: str, y: str, series: list[Chart]) -> Chart:
    return {"kind": "lines", "title": title, "x": x, "y": y, "series": series}


def _pareto(sweep: Sweep) -> Chart:
    series = [_cloud(sweep.router, sweep.curve)]
    series.append(_cloud("single arms", sweep.arms) | {"baseline": True})
    title = (
        f"Quality against cost, {sweep.router}: hypervolume {sweep.hypervolume:.3f} "
        f"(single arms {sweep.arms_hypervolume:.3f})"
    )
    return {
        "kind": "points", "title": title, "x": "USD a task", "y": "quality", "series": series,
    }  # fmt: skip


def _cloud(name: str, points: Sequence[Point]) -> Chart:
    return {
        "name": name,
        "x": [p.cost_usd for p in points],
        "y": [p.quality for p in points],
        "labels": [p.label for p in points],
    }
