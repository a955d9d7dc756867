"""Is it getting better? Quality by day, expected beside got, and whether learning helps."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentroute.evaluation.statistics.calibration import Calibration, calibration
from agentroute.evaluation.statistics.groups import Group, statistics
from agentroute.evaluation.statistics.helps import learning_helps
from agentroute.features.text import make_embedder
from agentroute.inspector.charts import bars, lines, scatter
from agentroute.inspector.money import usd
from agentroute.inspector.page import Cell, Section
from agentroute.inspector.web.desk import Desk, Page, Query
from agentroute.inspector.web.shares import latest, share, spread
from agentroute.learning.state import StateStore

LAST, JUDGED, DRAWN = 1_000, 2_000, 60
_AFTER = "SELECT seq FROM decisions WHERE kind = 'route' ORDER BY seq DESC LIMIT 1 OFFSET ?"


def page(desk: Desk, query: Query) -> Page:
    """Over the latest 1,000 choices."""
    ledger, weights = desk.ledger, desk.weights()
    read = latest(desk, LAST)
    days = desk.once(("groups", "day", LAST), lambda: statistics(
        ledger, "day", last=LAST, weights=weights, read=read))  # fmt: skip
    fit = desk.once(("fit",), lambda: calibration(ledger, last=LAST, weights=weights, read=read))
    helps = Section(
        "Does learning help?",
        "Beside what the router would have got had it learned nothing: doubly robust, from the "
        f"recorded propensities of the latest {JUDGED:,} choices. It may take seconds.",
        notes=[Cell("work it out now", "/learning/helps")],
    )
    sections = [_by_day(days), _explored(days), _calibrated(fit), helps]
    return Page("Learning", sections, lead=f"The latest {LAST:,} choices of agents at most.")


def _by_day(days: tuple[Group, ...]) -> Section:
    judged = [g for g in days if g.quality is not None]
    chart = bars(
        [(g.name, g.quality or 0.0, g.ci95) for g in judged[-DRAWN:]],
        title="Mean quality by day, with the 95 % interval",
        marked=[g.name for g in judged],
    )
    words = "Quality: what was learned of the work, a failed call 0. No feedback, no bar."
    if len(judged) > DRAWN:
        words += f" The latest {DRAWN} of {len(judged)} days are drawn."
    return Section(
        "Quality by day",
        words if days else "No choice of an agent is in the ledger yet.",
        chart,
        ("day", ">choices", ">judged", ">quality", ">explored", ">failed", ">USD"),
        [
            (g.name, g.choices, g.judged, spread(g), share(g.explored), share(g.failed),
             usd(g.cost_usd))
            for g in days
        ],
    )  # fmt: skip


def _explored(days: tuple[Group, ...]) -> Section:
    known = [(i, g.explored) for i, g in enumerate(days) if g.explored is not None]
    if len(known) < 2:
        return Section("Exploration", "One day is no course yet: two are drawn.")
    x, y = [float(i + 1) for i, _ in known], [e or 0.0 for _, e in known]
    chart = lines({"explored": (x, y)}, title="Share of choices that the draw made, by day",
                  xlabel=f"day, from {days[0].name}", ylabel="share")  # fmt: skip
    return Section("Exploration", "Choices that went against the scores.", chart)


def _calibrated(fit: Calibration) -> Section:
    if fit.error is None:
        return Section("Expected and got", "No judged choice with an expected quality yet.")
    points = [(b.expected, b.got, f"{b.choices}") for b in fit.bins]
    chart = scatter(
        {"choices": points, "as expected": [(0.0, 0.0, ""), (1.0, 1.0, "")]},
        title="Expected quality against what was got; each point is labelled with its choices",
        xlabel="expected quality",
        ylabel="got",
        joined=["as expected"],
        baselines=["as expected"],
    )
    return Section(
        "Expected and got",
        f"{fit.choices:,} judged choices; the mean gap (ECE) is {fit.error:.3f}. Points below the "
        "line: less was got than expected.",
        chart,
        (">from", ">choices", ">expected", ">got"),
        [(f"{b.low:.1f}", b.choices, f"{b.expected:.3f}", f"{b.got:.3f}") for b in fit.bins],
    )


def helps_page(desk: Desk, query: Query) -> Page:
    """Whether learning helps, worked out once for each state of the ledger."""
    found = desk.once(("helps",), lambda: asyncio.run(_helps(desk)))
    return Page("Does learning help?", [Section(found)])


async def _helps(desk: Desk) -> str:
    settings = desk.settings
    rows = desk.ledger.query(_AFTER, (JUDGED,))
    found = await learning_helps(
        desk.ledger,
        settings.router,
        embedder=make_embedder(settings.embedder),
        states=StateStore(Path(settings.state)),
        seed=settings.seed,
        after_seq=rows[0][0] if rows else 0,
    )
    return found if isinstance(found, str) else found.words
