"""Route decisions of a ledger, with what came of them: what statistics count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from agentroute.learning.sources import WEIGHTS, kind_of
from agentroute.ledger import Ledger
from agentroute.ledger.rows.pack import unpack

AT_ONCE = 500
_READ = frozenset({"rows", "mean", "bonus"})
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


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Choices, their calls by (decision, agent), and what was said by decision or run."""

    choices: tuple[Choice, ...]
    calls: Mapping[tuple[str, str], Call]
    said: Mapping[str, Words]


def reading(ledger: Ledger, last: int) -> Reading:
    """Of the latest ``last`` route decisions with a request."""
    choices = tuple(choices_of(ledger, last))
    return Reading(choices, calls_of(ledger, choices), words_on(ledger, choices))


def choices_of(ledger: Ledger, last: int) -> Iterator[Choice]:
    """The latest ``last`` route decisions with a request, the latest first."""
    sql = (
        "SELECT id, seq, run_id, at, body, packed FROM decisions "
        "WHERE kind = 'route' AND packed IS NOT NULL ORDER BY seq DESC LIMIT ?"
    )
    names: dict[str, list[str]] = {}
    told: dict[tuple[str, bytes], tuple[str, ...]] = {}  # most choices are among the same
    for decision_id, seq, run_id, at, raw, packed in ledger.query(sql, (last,)):
        body, arrays = orjson.loads(raw), unpack(packed, _READ)
        blob = body["cardset"]["blob"]
        if blob not in names:
            names[blob] = ledger.card_names(blob)
        among = (blob, arrays["rows"].tobytes())
        if among not in told:
            told[among] = tuple(names[blob][i] for i in arrays["rows"])
        candidates = told[among]
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


def graphs_of(ledger: Ledger, choices: Sequence[Choice]) -> dict[str, str]:
    """Run to the name of its graph, of the runs of these choices."""
    runs = list({c.run_id for c in choices})
    out = {}
    for at in range(0, len(runs), AT_ONCE):
        some = runs[at : at + AT_ONCE]
        sql = (
            "SELECT run_id, body FROM events WHERE +type = 'run.started' "
            f"AND run_id IN ({', '.join('?' * len(some))})"
        )
        for run_id, body in ledger.query(sql, some):
            out[run_id] = orjson.loads(body)["data"].get("name", "")
    return out


def calls_of(ledger: Ledger, choices: Sequence[Choice]) -> dict[tuple[str, str], Call]:
    """(decision, agent) to its call."""
    wanted = {c.id for c in choices}
    sql = (
        "SELECT decision_id, agent, cost_usd, latency_s, failed FROM outcomes "
        "WHERE NOT shadow AND seq > ?"
    )
    rows = ledger.query(sql, (_first(choices),))
    return {(d, a): (cost, s, failed) for d, a, cost, s, failed in rows if d in wanted}


def words_on(ledger: Ledger, choices: Sequence[Choice]) -> dict[str, Words]:
    """Decision or run to what was said of it."""
    wanted = {c.id for c in choices} | {c.run_id for c in choices}
    out: dict[str, Words] = defaultdict(list)
    sql = "SELECT target_id, agent, source, score FROM feedback WHERE seq > ? ORDER BY seq"
    for target, agent, source, score in ledger.query(sql, (_first(choices),)):
        if target in wanted:
            out[target].append((agent, source, score))
    return out


def _first(choices: Sequence[Choice]) -> int:
    """The first of their rows: whatever came of them comes after it."""
    return min((c.seq for c in choices), default=0)
