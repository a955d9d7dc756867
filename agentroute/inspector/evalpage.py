"""An evaluation as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from agentroute.evaluation.reportdata import charts
from agentroute.evaluation.results import EvalResult
from agentroute.evaluation.sweep import Sweep
from agentroute.inspector.charts import bars, lines, scatter
from agentroute.inspector.page import Section, render


def eval_page(
    result: EvalResult,
    sweeps: Sequence[Sweep] = (),
    curve: Mapping[str, Any] | None = None,
    *,
    made_by: str = "",
) -> str:
    """Scores with intervals, differences to each baseline, curves, Pareto, settings; ``made_by``
    is the command that made it.
    """
    drawn = charts(result, sweeps, curve)
    sections = [_scores(result, drawn[0]), _differences(result)]
    sections += [Section(c["title"], chart=draw(c)) for c in drawn[1:]]
    sections.append(_settings(result))
    lead = (
        f"{result.mode} mode: {result.train_rows} rows learned from, {result.rows} rows scored, "
        f"{len(result.arms)} arms, {result.repetitions} repetitions. "
        "Score is the mean quality over rows in scope."
    )
    title = f"Routers on {result.test}"
    return render(title, sections, lead=lead, footer=f"Made by {made_by or 'agentroute eval'}.")


def draw(chart: Mapping[str, Any]) -> Markup:
    """One chart of ``evaluation.reportdata`` as SVG."""
    if chart["kind"] == "bars":
        ours = [b["name"] for b in chart["bars"] if b["ours"]]
        rows = [(b["name"], b["value"], (b["lo"], b["hi"])) for b in chart["bars"]]
        return bars(rows, title=chart["title"], marked=ours)
    words = {"title": chart["title"], "xlabel": chart["x"], "ylabel": chart["y"]}
    if chart["kind"] == "lines":
        grey = {s["name"] for s in chart["series"] if s.get("baseline")}
        return lines(
            {s["name"]: (s["x"], s["y"]) for s in chart["series"]}, baselines=grey, **words
        )
    grey = {s["name"] for s in chart["series"] if s.get("baseline")}
    groups = {
        s["name"]: list(zip(s["x"], s["y"], s["labels"], strict=True)) for s in chart["series"]
    }
    return scatter(groups, joined=[n for n in groups if n not in grey], baselines=grey, **words)


def curve_charts(result: EvalResult) -> Markup:
    """Mean quality and cumulative regret of the routers that learned online."""
    return Markup("").join(draw(c) for c in charts(result)[1:])


def _scores(result: EvalResult, chart: Mapping[str, Any]) -> Section:
    header, table = result.table()
    columns = (header[0], *(f">{h}" for h in header[1:]))
    return Section(
        "Score",
        "Blue bars are routers, grey bars baselines (in brackets in the table). The oracle knows "
        "the best arm of every single row and is out of reach.",
        draw(chart),
        columns,
        [tuple(r) for r in table],
    )


def _differences(result: EvalResult) -> Section:
    rows = [
        (router, baseline, f"{100 * d:+.2f}", f"{100 * lo:+.2f}", f"{100 * hi:+.2f}")
        for router, r in result.routers.items()
        for baseline, (d, lo, hi) in r.differences.items()
    ]
    return Section(
        "Difference to each baseline",
        "In points, paired over tasks; an interval that excludes 0 is a real difference here.",
        columns=("router", "baseline", ">points", ">from", ">to"),
        rows=rows,
    )


def _settings(result: EvalResult) -> Section:
    rows = [(k, str(v)) for k, v in result.settings.items()]
    return Section("Settings", columns=("key", "value"), rows=rows, notes=list(result.notes))
