"""Who wins how often, how good, how fast and at what price: by agent, skill, graph or day."""

from __future__ import annotations

from typing import Any, get_args

from agentroute.evaluation.statistics.groups import By, Group, statistics
from agentroute.inspector.charts import bars
from agentroute.inspector.money import usd
from agentroute.inspector.page import Section
from agentroute.inspector.web.desk import Desk, Page, Query, whole
from agentroute.inspector.web.forms import Field, form
from agentroute.inspector.web.shares import latest, share, spread

LAST, MOST, DRAWN = 1_000, 100_000, 30


def page(desk: Desk, query: Query) -> Page:
    """Over the latest ``last`` choices (1,000), grouped ``by``."""
    kinds: tuple[By, ...] = get_args(By)
    by: By = next((k for k in kinds if k == query.get("by")), "agent")
    last = whole(query, "last", LAST, low=1, high=MOST)
    found = desk.once(
        ("groups", by, last),
        lambda: statistics(
            desk.ledger, by, last=last, weights=desk.weights(), read=latest(desk, last)
        ),
    )
    fields = [
        Field("by", "by", by, choices=[(k, k) for k in kinds]),
        Field("last", "of the latest choices", str(last)),
    ]
    ask = form("/agents", "Show", fields)
    sections = [_table(by, found), _chart(found)]
    lead = f"The latest {last:,} choices of agents at most, by {by}."
    return Page("Agents", [s for s in sections if s is not None], lead=lead, form=ask)


def _table(by: str, groups: tuple[Group, ...]) -> Section:
    won = (">stood", ">won") if by == "agent" else ()
    columns = (by, ">chosen", *won, ">explored", ">calls", ">failed", ">judged", ">quality",
               ">mean s", ">USD")  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (
            g.name,
            g.choices,
            *((g.stood, share(g.win_rate)) if won else ()),
            share(g.explored),
            g.calls,
            share(g.failed),
            g.judged or "",
            spread(g),
            "" if g.latency_s is None else f"{g.latency_s:.3g}",
            usd(g.cost_usd),
        )
        for g in groups
    ]
    words = (
        "Won: chosen of the times that it stood for choice. Explored: by the draw, against the "
        "scores. Quality: what was learned of the work, a failed call 0, with half of the 95 % "
        "interval."
    )
    return Section(
        "Leaderboard", words if rows else "No choice of an agent is in the ledger yet.",
        columns=columns, rows=rows,
    )  # fmt: skip


def _chart(groups: tuple[Group, ...]) -> Section | None:
    judged = sorted((g for g in groups if g.quality is not None), key=lambda g: -(g.quality or 0))
    if not judged:
        return None
    shown = judged[:DRAWN]
    chart = bars(
        [(g.name, g.quality or 0.0, g.ci95) for g in shown],
        title="Mean quality, with the 95 % interval",
        marked=[g.name for g in shown],
    )
    cut = f"The best {DRAWN} of {len(judged)}." if len(judged) > DRAWN else ""
    return Section("Quality", cut, chart)
