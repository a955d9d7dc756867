"""Trails of the pheromone router: who follows whom, how strongly, as of any row."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from agentroute.inspector.page import Section
from agentroute.inspector.trails import trails
from agentroute.inspector.web.desk import Desk, Page, Query, whole
from agentroute.inspector.web.forms import Field, form

AT_ONCE = 20_000  # rows that are folded without being asked for
SHOWN, AGENTS = 40, 12


def page(desk: Desk, query: Query) -> Page:
    """The trails after row ``upto``; of a long ledger only once they are asked for."""
    head = desk.ledger.head()[0]
    upto = min(whole(query, "upto", head), head)
    ask = _ask(head, upto)
    lead = (
        "What the pheromone router would have laid, from the same rows that every router learns: "
        "the probability to go on to an agent by trails alone. '*' is any source, '0|' the start."
    )
    if head > AT_ONCE and "upto" not in query:
        words = f"{head:,} rows are folded for it: it may take seconds. Move the slider and ask."
        return Page("Pheromones", [Section("Not folded yet", words)], lead=lead, form=ask)
    found = desk.once(("trails", upto), lambda: trails(desk.ledger, desk.settings, upto=upto))
    sections = [_kind(kind, data) for kind, data in list(found["kinds"].items())[:SHOWN]]
    if not sections:
        sections = [Section("No trail yet", "Trails are laid by judged decisions.")]
    lead += f" As of row {upto:,} of {head:,}: {found['folded']:,} observations."
    return Page("Pheromones", sections, lead=lead, form=ask)


def _ask(head: int, upto: int) -> Markup:
    field = Field("upto", f"as of row {upto:,} of {head:,}", str(upto), least=0, most=head)
    return form("/pheromones", "Show", [field])


def _kind(kind: str, data: dict[str, Any]) -> Section:
    """One kind of task: a row a source, a column an agent, the strongest marked by its share."""
    best = sorted(range(len(data["agents"])), key=lambda i: -max(p[i] for p in data["p"]))[:AGENTS]
    columns = ("after", *(f">{data['agents'][i]}" for i in best), ">stagnation")
    rows = [
        (source, *(f"{p[i]:.3f}" for i in best), f"{still:.2f}")
        for source, p, still in zip(data["sources"], data["p"], data["stagnation"], strict=True)
    ]
    more = len(data["agents"]) - len(best)
    cut = f"{more} agents with less are not shown." if more else ""
    return Section(
        kind or "any kind",
        cut,
        columns=columns,
        rows=rows,
        notes=[
            f"{' -> '.join(path['agents'])}: {path['p']:.3f}" for path in data["paths"][:3]
        ],
    )  # fmt: skip
