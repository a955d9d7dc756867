"""From a decision's row, and the rows around it, to an explanation."""

from __future__ import annotations

import numpy as np

from agentroute.ledger.explaining.cases import AT_LEAST, past_cases
from agentroute.ledger.explaining.explanation import Explanation, Standing, Term
from agentroute.ledger.explaining.whynot import why_not
from agentroute.ledger.explaining.words import in_words
from agentroute.ledger.reader import Reader
from agentroute.ledger.rows.decode import Row
from agentroute.model.arrays import F64
from agentroute.model.decisions import DecisionRecord
from agentroute.model.objective import Bounds
from agentroute.model.outcomes import Feedback, Outcome

# Words on an agent, on a decision and on a run, each counted for those who were called.
_JUDGED = """
SELECT agent, count(*) FROM feedback WHERE seq < ?1 AND seq >= ?2 AND agent IS NOT NULL
GROUP BY agent
UNION ALL
SELECT o.agent, count(*) FROM feedback f JOIN outcomes o ON o.decision_id = f.target_id
WHERE f.seq < ?1 AND f.seq >= ?2 AND f.agent IS NULL AND NOT o.shadow GROUP BY o.agent
UNION ALL
SELECT o.agent, count(*) FROM feedback f
JOIN decisions d ON d.run_id = f.target_id AND d.kind = 'route' AND d.seq < f.seq
JOIN outcomes o ON o.decision_id = d.id
WHERE f.seq < ?1 AND f.seq >= ?2 AND f.agent IS NULL AND NOT o.shadow GROUP BY o.agent
"""


def explain(
    reader: Reader,
    decision_id: str,
    *,
    agent: str | None,
    cases: int,
    look_back: int | None = None,
) -> Explanation:
    """Why a decision was taken; with ``agent``, also why not that one.

    Calls and words of before are counted over ``look_back`` rows; None: over all.

    Raises:
        UnknownDecisionError: there is none of that id.
    """
    record = reader.record(decision_id)
    d, request = record.decision, record.request
    after = 0 if look_back is None else max(0, d.seq - look_back)
    standings = _standings(reader, record, after)
    rival = next((s.agent for s in standings if s.agent not in d.chosen and s.mean is not None), "")
    terms = _terms(standings, d.chosen[0] if d.chosen else "", rival)
    explored = _explored(record)
    near, below = past_cases(reader, record, most=cases)
    return Explanation(
        decision=d,
        task="" if request is None else request.task.prompt,
        headline=_headline(record, standings, terms, rival, explored),
        explored=explored,
        rival=rival,
        out_of_scope=0.0 if record.scores is None else float(record.scores.out_of_scope),
        terms=terms,
        candidates=standings,
        excluded=_excluded(record),
        came=tuple(_came(row) for row in _about(reader, record)),
        cases=near,
        cases_below=below,
        cases_at_least=AT_LEAST,
        why_not=None if agent is None else why_not(record, agent, _bounds(reader, record)),
    )


def _bounds(reader: Reader, record: DecisionRecord) -> Bounds:
    """5th and 95th percentile of log1p cost and latency of the 1,024 calls before; the candidates'
    own where there are fewer than 20.
    """
    rows = reader.fetch(
        "SELECT cost_usd, latency_s FROM outcomes WHERE seq < ? ORDER BY seq DESC LIMIT 1024",
        (record.decision.seq,),
    )
    if len(rows) >= 20:
        cost, latency = np.array(rows, dtype=np.float64).T
    elif record.request is not None:
        cost, latency = record.request.candidates.cost_usd, record.request.candidates.latency_s
    else:
        return Bounds()
    return Bounds(*_range(cost), *_range(latency))


def _range(x: F64) -> tuple[float, float]:
    known = x[np.isfinite(x)]
    if not len(known):
        return 0.0, 0.0
    lo, hi = np.percentile(np.log1p(known), [5, 95])
    return float(lo), float(hi)


def _standings(reader: Reader, record: DecisionRecord, after: int) -> tuple[Standing, ...]:
    request, scores = record.request, record.scores
    if request is None or scores is None:
        return ()
    p = record.propensities
    calls, judged = _experience(reader, record.decision.seq, after)
    rows = []
    for i, name in enumerate(map(str, request.candidates.names)):
        finite = bool(np.isfinite(scores.mean[i]))
        rows.append(
            Standing(
                agent=name,
                mean=float(scores.mean[i]) if finite else None,
                bonus=float(scores.bonus[i]) if np.isfinite(scores.bonus[i]) else 0.0,
                propensity=0.0 if p is None else float(p[i]),
                calls=calls.get(name, 0),
                judged=judged.get(name, 0),
                terms={k: float(v[i]) for k, v in scores.terms.items() if np.isfinite(v[i])},
            )
        )
    return tuple(sorted(rows, key=lambda s: -s.total))


def _experience(reader: Reader, seq: int, after: int) -> tuple[dict[str, int], dict[str, int]]:
    """How often each agent had been called, and judged, from row ``after`` to before ``seq``."""
    calls = reader.fetch(
        "SELECT agent, count(*) FROM outcomes WHERE seq < ? AND seq >= ? AND NOT shadow "
        "GROUP BY agent",
        (seq, after),
    )
    judged = reader.fetch(_JUDGED, (seq, after))
    total: dict[str, int] = {}
    for agent, n in judged:
        total[agent] = total.get(agent, 0) + n
    return dict(calls), total


def _terms(standings: tuple[Standing, ...], chosen: str, rival: str) -> tuple[Term, ...]:
    by = {s.agent: {**s.terms, "bonus": s.bonus} for s in standings}
    mine, other = by.get(chosen, {}), by.get(rival, {})
    rows = [
        Term(name=k, words=in_words(k), chosen=mine.get(k, 0.0), rival=other.get(k, 0.0))
        for k in {**mine, **other}
    ]
    shown = [t for t in rows if abs(t.chosen) > 5e-4 or abs(t.rival) > 5e-4]
    return tuple(sorted(shown, key=lambda t: -abs(t.difference)))


def _explored(record: DecisionRecord) -> bool:
    d, scores, request = record.decision, record.scores, record.request
    if scores is None or request is None or not d.chosen or record.propensities is None:
        return False
    if (batch := record.context.get("assign")) is not None:
        return bool(batch["drawn"])
    total = np.where(np.isfinite(scores.mean), scores.mean + scores.bonus, -np.inf)
    names = [str(n) for n in request.candidates.names]
    i = names.index(d.chosen[0]) if d.chosen[0] in names else int(total.argmax())
    return bool(total[i] < total.max() - 1e-6)


def _headline(
    record: DecisionRecord,
    standings: tuple[Standing, ...],
    terms: tuple[Term, ...],
    rival: str,
    explored: bool,
) -> str:
    d = record.decision
    who = ", ".join(d.chosen)
    if not d.chosen:
        return f"nobody was asked: {d.reason or 'no one fits'}"
    if not standings:
        return f"{who}: {d.reason or 'named, not chosen among several'}"
    if "assign" in record.context:
        return f"{who}: {d.reason}"
    if len(standings) == 1:
        return f"{who} was the only candidate"
    if explored:
        return (
            f"{who} was drawn to explore (a chance of {d.propensity:.1%}); "
            f"by score it would have been {standings[0].agent}"
        )
    gap = sum(t.difference for t in terms)
    main = max(terms, key=lambda t: t.difference, default=None)
    if main is None or gap < 1e-6:
        return f"{who} and {rival} scored alike: a draw decided"
    close = ", a near thing" if d.status == "ambiguous" else ""
    return (
        f"{who} over {rival} by {gap:.3f}{close}, mostly by {main.words} ({main.difference:+.3f})"
    )


def _excluded(record: DecisionRecord) -> dict[str, tuple[str, ...]]:
    rows, codes, request = record.excluded_rows, record.excluded_codes, record.request
    if rows is None or codes is None or request is None:
        return {}
    names = request.candidates.cards.names
    out: dict[str, list[str]] = {}
    for row, code in zip(rows, codes, strict=True):
        out.setdefault(record.reasons[code], []).append(str(names[row]))
    return {reason: tuple(agents) for reason, agents in out.items()}


def _about(reader: Reader, record: DecisionRecord) -> list[Row]:
    d = record.decision
    outcomes = reader.values("outcomes", "decision_id = ?", (d.id,))
    said = reader.values("feedback", "target_id IN (?, ?) AND seq > ?", (d.id, d.run_id, d.seq))
    return sorted([*outcomes, *said], key=lambda row: row.seq)


def _came(row: Row) -> str:
    v = row.value
    if isinstance(v, Outcome):
        beside = " (beside, unused)" if v.shadow else ""
        end = f"failed: {v.error}" if v.error else "answered"
        return f"{v.agent}{beside} {end} after {v.latency_s:.3g} s for {v.cost_usd:.3g} USD"
    assert isinstance(v, Feedback)
    of = f" of {v.agent}" if v.agent else (" of the run" if v.target == "run" else "")
    method = f" ({v.method})" if v.method else ""
    return f"{v.source} said {v.score:.2f}{of}{method}"
