"""Route decisions of a ledger by agent, skill, graph or day."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import orjson

from agentroute.learning.sources import WEIGHTS, kind_of
from agentroute.ledger import Ledger
from agentroute.ledger.rows.pack import unpack
from agentroute.model.record import Part

By = Literal["agent", "skill", "graph", "day"]
Z95 = 1.959964
LAST = 10_000


class Group(Part):
    """One row of the table. A share is None where nothing is known of it."""

    name: str
    """The agent, skill, graph or day."""
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
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class _Choice:
    """What of a decision's row counts here."""

    id: str
    run_id: str
    day: str
    skills: tuple[str, ...]
    chosen: tuple[str, ...]
    candidates: tuple[str, ...]
    explored: bool | None


def statistics(
    ledger: Ledger,
    by: By = "agent",
    *,
    last: int = LAST,
    weights: Mapping[str, float] = WEIGHTS,
) -> tuple[Group, ...]:
    """The latest ``last`` route decisions in groups, the most chosen first; days in order.

    Quality is what was learned: the first word of each kind of source, weighed by ``weights``; a
    word on a run counts for each of its decisions.
    """
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    choices = list(_choices(ledger, last))
    graphs = _graphs(ledger) if by == "graph" else {}
    calls, said = _calls(ledger, choices), _said(ledger, choices)
    for c in choices:
        if by == "agent":
            for agent in c.candidates:
                tallies[agent].stood += 1
        for agent in c.chosen:
            for key in _keys(c, agent, by, graphs):
                _count(tallies[key], c, agent, calls, said, weights)
    rows = [_group(name, t, by) for name, t in tallies.items()]
    return tuple(sorted(rows, key=lambda g: g.name if by == "day" else (-g.choices, g.name)))


def _keys(c: _Choice, agent: str, by: By, graphs: Mapping[str, str]) -> tuple[str, ...]:
    if by == "agent":
        return (agent,)
    if by == "skill":
        return c.skills or ("(none asked for)",)
    return (c.day,) if by == "day" else (graphs.get(c.run_id, "(no graph)"),)


def _count(
    t: _Tally,
    c: _Choice,
    agent: str,
    calls: Mapping[tuple[str, str], tuple[float, float, int]],
    said: Mapping[str, list[tuple[str | None, str, float]]],
    weights: Mapping[str, float],
) -> None:
    t.choices += 1
    if c.explored is not None:
        t.scored += 1
        t.explored += c.explored
    call = calls.get((c.id, agent))
    if call is not None:
        cost, latency, failed = call
        t.cost_usd += cost
        t.latency_s.append(latency)
        t.failed += failed
        if failed:
            t.quality.append(0.0)
            return
    words = [*said.get(c.id, ()), *said.get(c.run_id, ())]
    quality = learned([(s, x) for a, s, x in words if a in (None, agent)], weights)
    if quality is not None:
        t.quality.append(quality)


def learned(words: list[tuple[str, float]], weights: Mapping[str, float] = WEIGHTS) -> float | None:
    """What (source, score) pairs, in order, taught: the first of each kind, by their weights.

    >>> learned([("verifier:v", 1.0), ("user", 0.25), ("user", 1.0)])
    0.5
    """
    first: dict[str, float] = {}
    for source, score in words:
        first.setdefault(kind_of(source), score)
    heard = {kind: score for kind, score in first.items() if weights.get(kind, 0.0) > 0}
    mass = sum(weights[kind] for kind in heard)
    return sum(weights[kind] * score for kind, score in heard.items()) / mass if mass else None


def _group(name: str, t: _Tally, by: By) -> Group:
    calls, n = len(t.latency_s), len(t.quality)
    mean = sum(t.quality) / n if n else None
    return Group(
        name=name,
        choices=t.choices,
        stood=t.stood if by == "agent" else None,
        win_rate=t.choices / t.stood if by == "agent" and t.stood else None,
        explored=t.explored / t.scored if t.scored else None,
        calls=calls,
        failed=t.failed / calls if calls else None,
        judged=n,
        quality=mean,
        ci95=_interval(t.quality) if n > 1 else None,
        cost_usd=t.cost_usd,
        latency_s=sum(t.latency_s) / calls if calls else None,
    )


def _interval(x: list[float]) -> tuple[float, float]:
    mean, half = float(np.mean(x)), Z95 * float(np.std(x, ddof=1)) / math.sqrt(len(x))
    return max(0.0, mean - half), min(1.0, mean + half)


# -- reading -------------------------------------------------------------------------------------


def _choices(ledger: Ledger, last: int) -> Iterator[_Choice]:
    """Route decisions on which agents stood for choice, or one was named."""
    sql = (
        "SELECT id, run_id, at, body, packed FROM decisions "
        "WHERE kind = 'route' AND packed IS NOT NULL ORDER BY seq DESC LIMIT ?"
    )
    names: dict[str, list[str]] = {}
    for decision_id, run_id, at, raw, packed in ledger.query(sql, (last,)):
        body, arrays = orjson.loads(raw), unpack(packed)
        blob = body["cardset"]["blob"]
        if blob not in names:
            names[blob] = ledger.card_names(blob)
        candidates = tuple(names[blob][i] for i in arrays["rows"])
        yield _Choice(
            id=decision_id,
            run_id=run_id,
            day=at[:10],
            skills=tuple(body["task"].get("skills", ())),
            chosen=tuple(body["chosen"]),
            candidates=candidates,
            explored=_explored(body["chosen"], candidates, arrays),
        )


def _explored(
    chosen: list[str], candidates: tuple[str, ...], arrays: Mapping[str, Any]
) -> bool | None:
    if "mean" not in arrays or not chosen or chosen[0] not in candidates:
        return None
    total = np.where(np.isfinite(arrays["mean"]), arrays["mean"] + arrays["bonus"], -np.inf)
    return bool(total[candidates.index(chosen[0])] < total.max() - 1e-6)


def _graphs(ledger: Ledger) -> dict[str, str]:
    rows = ledger.query("SELECT run_id, body FROM events WHERE type = 'run.started'")
    return {run_id: orjson.loads(body)["data"].get("name", "") for run_id, body in rows}


def _calls(
    ledger: Ledger, choices: list[_Choice]
) -> dict[tuple[str, str], tuple[float, float, int]]:
    wanted = {c.id for c in choices}
    sql = "SELECT decision_id, agent, cost_usd, latency_s, failed FROM outcomes WHERE NOT shadow"
    rows = ledger.query(sql)
    return {(d, a): (cost, s, failed) for d, a, cost, s, failed in rows if d in wanted}


def _said(ledger: Ledger, choices: list[_Choice]) -> dict[str, list[tuple[str | None, str, float]]]:
    wanted = {c.id for c in choices} | {c.run_id for c in choices}
    out: dict[str, list[tuple[str | None, str, float]]] = defaultdict(list)
    sql = "SELECT target_id, agent, source, score FROM feedback ORDER BY seq"
    for target, agent, source, score in ledger.query(sql):
        if target in wanted:
            out[target].append((agent, source, score))
    return out
