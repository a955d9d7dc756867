"""Route decisions of a ledger, with what came of them: what statistics count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from agentroute.learning.sources import WEIGHTS, kind_of
from agentroute.ledger import Ledger
from agentroute.ledger.rows.pack import unpack

Call = tuple[float, float, int]  # USD, seconds, failed
Words = list[tuple[str | None, str, float]]  # (agent, source, score), in order


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a decision's row counts here."""

    id: str
    """The decision."""
    seq: int
    """Its row."""
    run_id: str
    """Its run."""
    at: str
    """Time of the row."""
    skills: tuple[str, ...]
    """Skills that the task asked for."""
    chosen: tuple[str, ...]
    """Who was chosen."""
    candidates: tuple[str, ...]
    """Who stood for choice."""
    propensity: float
    """Probability that it was taken with."""
    explored: bool | None
    """Whether the draw went against the scores; None where nothing was scored."""
    expected: float | None
    """Expected quality of the first chosen; None where cost or latency weighed, or no score."""


def quality_of(
    c: Choice,
    agent: str,
    calls: Mapping[tuple[str, str], Call],
    said: Mapping[str, Words],
    weights: Mapping[str, float],
) -> float | None:
    """What was learned of an agent's part: 0 where it failed, else what was said of it."""
    call = calls.get((c.id, agent))
    if call is not None and call[2]:
        return 0.0
    words = [*said.get(c.id, ()), *said.get(c.run_id, ())]
    return learned([(s, x) for a, s, x in words if a in (None, agent)], weights)


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


def choices_of(ledger: Ledger, last: int) -> Iterator[Choice]:
    """The latest ``last`` route decisions with a request, the latest first."""
    sql = (
        "SELECT id, seq, run_id, at, body, packed FROM decisions "
        "WHERE kind = 'route' AND packed IS NOT NULL ORDER BY seq DESC LIMIT ?"
    )
    names: dict[str, list[str]] = {}
    for decision_id, seq, run_id, at, raw, packed in ledger.query(sql, (last,)):
        body, arrays = orjson.loads(raw), unpack(packed)
        blob = body["cardset"]["blob"]
        if blob not in names:
            names[blob] = ledger.card_names(blob)
        candidates = tuple(names[blob][i] for i in arrays["rows"])
        yield Choice(
            id=decision_id,
            seq=seq,
            run_id=run_id,
            at=at,
            skills=tuple(body["task"].get("skills", ())),
            chosen=tuple(body["chosen"]),
            candidates=candidates,
            propensity=float(body["propensity"]),
            explored=_explored(body["chosen"], candidates, arrays),
            expected=_expected(body, candidates, arrays),
        )


def _explored(
    chosen: list[str], candidates: tuple[str, ...], arrays: Mapping[str, Any]
) -> bool | None:
    if "mean" not in arrays or not chosen or chosen[0] not in candidates:
        return None
    total = np.where(np.isfinite(arrays["mean"]), arrays["mean"] + arrays["bonus"], -np.inf)
    return bool(total[candidates.index(chosen[0])] < total.max() - 1e-6)


def _expected(
    body: Mapping[str, Any], candidates: tuple[str, ...], arrays: Mapping[str, Any]
) -> float | None:
    o, chosen = body["objective"], body["chosen"]
    if "mean" not in arrays or o["cost"] or o["latency"] or not chosen:
        return None
    if chosen[0] not in candidates:
        return None
    x = float(arrays["mean"][candidates.index(chosen[0])])
    return x if np.isfinite(x) else None


def graphs_of(ledger: Ledger) -> dict[str, str]:
    """Run to the name of its graph."""
    rows = ledger.query("SELECT run_id, body FROM events WHERE type = 'run.started'")
    return {run_id: orjson.loads(body)["data"].get("name", "") for run_id, body in rows}


def calls_of(ledger: Ledger, choices: list[Choice]) -> dict[tuple[str, str], Call]:
    """(decision, agent) to its call."""
    wanted = {c.id for c in choices}
    sql = (
        "SELECT decision_id, agent, cost_usd, latency_s, failed FROM outcomes "
        "WHERE NOT shadow AND seq > ?"
    )
    rows = ledger.query(sql, (_first(choices),))
    return {(d, a): (cost, s, failed) for d, a, cost, s, failed in rows if d in wanted}


def words_on(ledger: Ledger, choices: list[Choice]) -> dict[str, Words]:
    """Decision or run to what was said of it."""
    wanted = {c.id for c in choices} | {c.run_id for c in choices}
    out: dict[str, Words] = defaultdict(list)
    sql = "SELECT target_id, agent, source, score FROM feedback WHERE seq > ? ORDER BY seq"
    for target, agent, source, score in ledger.query(sql, (_first(choices),)):
        if target in wanted:
            out[target].append((agent, source, score))
    return out


def _first(choices: list[Choice]) -> int:
    """The first of their rows: whatever came of them comes after it."""
    return min((c.seq for c in choices), default=0)
