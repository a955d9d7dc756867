"""Route decisions of a ledger by agent, skill, graph or day; runs by the shape they began in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from agentroute.evaluation.statistics.reading import (  # fmt: skip
    Call,
    Choice,
    Reading,
    Words,
    graphs_of,
    quality_of,
    reading,
)
from agentroute.learning.sources import WEIGHTS
from agentroute.ledger import Ledger
from agentroute.model.record import Part

By = Literal["agent", "skill", "graph", "day", "topology"]
Z95 = 1.959964
LAST = 10_000
DIGITS = 12  # so that sums do not depend on their order: SQL over the views gives the same


class Group(Part):
    """One row of the table. A share is None where nothing is known of it."""

    name: str
    """The agent, skill, graph, day or shape."""
    choices: int
    """How often it was chosen; of the other kinds, how many choices were made."""
    stood: int | None = None
    """Of an agent: how often it stood for choice."""
    win_rate: float | None = None
    """Of an agent: choices over the times that it stood."""
    explored: float | None = None
    """Share of the choices that the draw made, against the scores."""
    calls: int
    """Calls that were made."""
    failed: float | None = None
    """Share of the calls that failed."""
    judged: int
    """How many of its calls somebody judged, a failed one counted as judged 0."""
    quality: float | None = None
    """Mean of what was learned of them, in [0, 1]."""
    ci95: tuple[float, float] | None = None
    """95 % interval of the mean, by Student's rule; from two on."""
    cost_usd: float
    """Sum of the calls."""
    latency_s: float | None = None
    """Mean of the calls."""


@dataclass
class _Tally:
    choices: int = 0
    stood: int = 0
    explored: int = 0
    scored: int = 0
    failed: int = 0
    latency_s: list[float] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    cost_usd: list[float] = field(default_factory=list)


def statistics(
    ledger: Ledger,
    by: By = "agent",
    *,
    last: int = LAST,
    weights: Mapping[str, float] = WEIGHTS,
    read: Reading | None = None,
) -> tuple[Group, ...]:
    """The latest ``last`` route decisions in groups, the most chosen first; days in order.

    Quality is what was learned: the first word of each kind of source, weighed by ``weights``; a
    word on a run counts for each of its decisions. ``read`` is what ``reading`` gave, where it was
    read before. By ``topology`` the choices are runs' shapes.
    """
    if by == "topology":
        from agentroute.evaluation.statistics.shapes import shape_groups

        return shape_groups(ledger, last=last, weights=weights)
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    r = read or reading(ledger, last)
    choices, calls, said = r.choices, r.calls, r.said
    graphs = graphs_of(ledger, choices) if by == "graph" else {}
    for c in choices:
        if by == "agent":
            for agent in c.candidates:
                tallies[agent].stood += 1
        for agent in c.chosen:
            for key in _keys(c, agent, by, graphs):
                _count(tallies[key], c, agent, calls, said, weights)
    rows = [_group(name, t, by) for name, t in tallies.items()]
    return tuple(sorted(rows, key=lambda g: g.name if by == "day" else (-g.choices, g.name)))


def _keys(c: Choice, agent: str, by: By, graphs: Mapping[str, str]) -> tuple[str, ...]:
    if by == "agent":
        return (agent,)
    if by == "skill":
        return c.skills or ("(none asked for)",)
    return (c.at[:10],) if by == "day" else (graphs.get(c.run_id, "(no graph)"),)


def _count(
    t: _Tally,
    c: Choice,
    agent: str,
    calls: Mapping[tuple[str, str], Call],
    said: Mapping[str, Words],
    weights: Mapping[str, float],
) -> None:
    t.choices += 1
    if c.explored is not None:
        t.scored += 1
        t.explored += c.explored
    call = calls.get((c.id, agent))
    if call is not None:
        cost, latency, failed = call
        t.cost_usd.append(cost)
        t.latency_s.append(latency)
        t.failed += failed
    quality = quality_of(c, agent, calls, said, weights)
    if quality is not None:
        t.quality.append(quality)


def _group(name: str, t: _Tally, by: By) -> Group:
    calls, n = len(t.latency_s), len(t.quality)
    mean = math.fsum(t.quality) / n if n else None
    return Group(
        name=name,
        choices=t.choices,
        stood=t.stood if by == "agent" else None,
        win_rate=t.choices / t.stood if by == "agent" and t.stood else None,
        explored=t.explored / t.scored if t.scored else None,
        calls=calls,
        failed=t.failed / calls if calls else None,
        judged=n,
        quality=None if mean is None else round(mean, DIGITS),
        ci95=interval(t.quality) if n > 1 else None,
        cost_usd=round(math.fsum(t.cost_usd), DIGITS),
        latency_s=round(math.fsum(t.latency_s) / calls, DIGITS) if calls else None,
    )


def interval(x: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of quality, from two values on."""
    mean, half = float(np.mean(x)), Z95 * float(np.std(x, ddof=1)) / math.sqrt(len(x))
    return max(0.0, mean - half), min(1.0, mean + half)
