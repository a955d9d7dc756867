"""Why not that one: the smallest change of what was known that would have flipped the choice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agentroute.ledger.explaining.explanation import WhyNot
from agentroute.ledger.explaining.words import in_words
from agentroute.model.arrays import F64
from agentroute.model.candidates import Request
from agentroute.model.decisions import DecisionRecord
from agentroute.model.objective import Bounds, Objective
from agentroute.model.scores import Scores

_STEPS = np.concatenate([np.linspace(0.0, 2.0, 201), np.geomspace(2.02, 100.0, 100)])


def why_not(record: DecisionRecord, agent: str, bounds: Bounds) -> WhyNot:
    """Why ``agent`` was not the choice of a recorded decision.

    ``bounds`` scale cost and latency where the row has none: they did not weigh then.
    """
    d = record.decision
    if agent in d.chosen:
        return WhyNot(agent=agent, sentence=f"{agent} was chosen")
    request, scores = record.request, record.scores
    if request is None:
        return WhyNot(agent=agent, sentence=f"no agents stood for choice: {d.reason}")
    names = [str(n) for n in request.candidates.names]
    if agent not in names:
        return _left_out(record, request, agent)
    if scores is None:
        return WhyNot(
            agent=agent,
            sentence=f"{agent} was not asked about: {d.reason or 'the agent was named'}",
        )
    i = names.index(agent)
    if not np.isfinite(scores.mean[i]):
        return WhyNot(
            agent=agent,
            sentence=f"{agent} was screened out before it was scored",
            changes=("a wider screening (the setting `screen`)",),
        )
    return _behind(record, _scaled(request, bounds), scores, i)


def _scaled(request: Request, bounds: Bounds) -> Request:
    o = request.objective
    return request if o.cost or o.latency else replace(request, objective=replace(o, bounds=bounds))


def _left_out(record: DecisionRecord, request: Request, agent: str) -> WhyNot:
    cards = request.candidates.cards.names
    rows, codes = record.excluded_rows, record.excluded_codes
    if rows is not None and codes is not None:
        for row, code in zip(rows, codes, strict=True):
            if str(cards[row]) == agent:
                reason = record.reasons[code]
                return WhyNot(
                    agent=agent,
                    sentence=f"{agent} was not a candidate: {reason}",
                    changes=(f"it would have stood for choice without this: {reason}",),
                )
    return WhyNot(agent=agent, sentence=f"{agent} was not registered when it was decided")


def _behind(record: DecisionRecord, request: Request, scores: Scores, i: int) -> WhyNot:
    total = np.where(np.isfinite(scores.mean), scores.mean + scores.bonus, -np.inf)
    names = [str(n) for n in request.candidates.names]
    agent, d = names[i], record.decision
    if not d.chosen:
        return WhyNot(
            agent=agent,
            sentence=f"nobody was asked: out of scope at {scores.out_of_scope:.2f}",
            changes=("a higher setting `abstain_at`",),
        )
    best = max((names.index(c) for c in d.chosen if c in names), key=lambda j: total[j])
    gap = float(total[best] - total[i])
    p = 0.0 if record.propensities is None else float(record.propensities[i])
    if gap <= 0:
        how = "the draw went to the other"
        if "assign" in record.context:
            how = "its places went to items that gain more by it, or waiting for it cost more"
        words = f"{agent} scored {-gap:.3f} above {names[best]}; {how}"
        return WhyNot(agent=agent, sentence=f"{words}. Its chance was {p:.1%}")
    parts = {k: float(v[best] - v[i]) for k, v in scores.terms.items() if np.isfinite(v[i])}
    parts["bonus"] = float(scores.bonus[best] - scores.bonus[i])
    main = max(parts, key=lambda k: parts[k])
    return WhyNot(
        agent=agent,
        sentence=(
            f"{agent} scored {gap:.3f} below {names[best]}, mostly by "
            f"{in_words(main)} ({parts[main]:+.3f}). Its chance was {p:.1%}"
        ),
        changes=tuple(_changes(request, scores, total, i, best)),
    )


def _changes(request: Request, scores: Scores, total: F64, i: int, best: int) -> list[str]:
    """Each alone would have put candidate ``i`` first."""
    top = float(total.max())
    need = top - float(total[i])
    mean = float(scores.mean[i])
    share = request.objective.quality_share
    found: list[tuple[float, str]] = []
    if share > 0 and mean + need <= 1.0:
        words = f"an expected utility of {mean + need:.3f} in place of {mean:.3f}"
        found.append((need, words + (f": quality {need / share:+.3f}" if share else "")))
    finite = np.where(np.isfinite(scores.mean), scores.mean, -np.inf)
    if int(finite.argmax()) == i:
        found.append((0.0, "no bonus for what is little known: by expected utility it was first"))
    for name in ("cost", "latency"):
        weight = _weight(request, scores, name, i)
        if weight is not None:
            had = getattr(request.objective, name)
            words = f"a weight of {name} of {weight:.3g} in place of {had:.3g} in the objective"
            found.append((abs(weight - had), words))
    return [words for _, words in sorted(found, key=lambda x: x[0])]


def _weighing(o: Objective, name: str, weight: float) -> Objective:
    return replace(o, cost=weight) if name == "cost" else replace(o, latency=weight)


def _weight(request: Request, scores: Scores, name: str, i: int) -> float | None:
    """The weight nearest to the one in force at which candidate ``i`` would be first."""
    o = request.objective
    if o.quality_share <= 0:
        return None
    c = request.candidates
    own = [v for k, v in scores.terms.items() if k not in ("cost", "latency")]
    q = np.asarray(sum(own, start=np.zeros(len(c)))) / o.quality_share
    had = getattr(o, name)
    for step in sorted(_STEPS, key=lambda w: abs(w - had)):
        changed: Objective = _weighing(o, name, float(step))
        if changed.quality_share <= 0:
            continue
        u = changed.utility(q, c.cost_usd, c.latency_s)
        u = np.where(np.isfinite(u), u, -np.inf)
        bonus = scores.bonus * (changed.quality_share / o.quality_share)
        if int((u + np.nan_to_num(bonus)).argmax()) == i:
            return float(step)
    return None
