"""An evaluation as one HTML page."""

from __future__ import annotations

from markupsafe import Markup

from agentroute.evaluation.results import EvalResult, RouterResult
from agentroute.inspector.charts import bars, lines, scatter
from agentroute.inspector.page import Section, render


def eval_page(result: EvalResult) -> str:
    """Scores with intervals, differences to each baseline, cost, learning curves, settings."""
    sections = [_scores(result), _differences(result)]
    if any(r.curve for r in result.routers.values()):
        sections.append(_curves(result))
    if any(r.cost_usd is not None for r in result.routers.values()):
        sections.append(_costs(result))
    sections.append(_settings(result))
    lead = (
        f"{result.mode} mode: {result.train_rows} rows learned from, {result.rows} rows scored, "
        f"{len(result.arms)} arms, {result.repetitions} repetitions. "
        "Score is the mean quality over rows in scope."
    )
    return render(
        f"Routers on {result.test}", sections, lead=lead, footer="Made by agentroute eval."
    )


def _scores(result: EvalResult) -> Section:
    rows = sorted(result.bars(), key=lambda r: -r[1])
    chart = bars(
        [(name, s, (lo, hi)) for name, s, lo, hi, _ in rows],
        title="Score by router and baseline, 95 % interval",
        marked=[name for name, *_, ours in rows if ours],
    )
    header, table = result.table()
    columns = (header[0], *(f">{h}" for h in header[1:]))
    return Section(
        "Score",
        "Blue bars are routers, grey bars baselines (in brackets in the table). The oracle knows "
        "the best arm of every single row and is out of reach.",
        chart,
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


def _curves(result: EvalResult) -> Section:
    return Section("While learning", chart=curve_charts(result))


def curve_charts(result: EvalResult) -> Markup:
    """Mean quality and cumulative regret of the routers that learned online."""
    learned = {n: r.curve for n, r in result.routers.items() if r.curve}
    quality = lines(
        {n: (c["at"], c["mean"]) for n, c in learned.items()},
        title="Mean quality while learning",
        xlabel="tasks seen",
        ylabel="mean quality so far",
    )
    regret = lines(
        {
            f"{n} vs {ref}": (c["at"], values)
            for n, c in learned.items()
            for ref, values in c["regret"].items()
        },
        title="Cumulative regret while learning",
        xlabel="tasks seen",
        ylabel="quality lost against the reference (below 0: better than it)",
    )
    return quality + regret


def _costs(result: EvalResult) -> Section:
    def cost(r: RouterResult) -> float:
        return r.cost_usd or 0.0

    points = [(cost(r), r.score, n) for n, r in result.routers.items() if r.cost_usd is not None]
    chart = scatter(
        {"routers": points}, title="Quality by cost", xlabel="USD a task", ylabel="score"
    )
    return Section("Quality by cost", chart=chart)


def _settings(result: EvalResult) -> Section:
    rows = [(k, str(v)) for k, v in result.settings.items()]
    return Section("Settings", columns=("key", "value"), rows=rows, notes=list(result.notes))
