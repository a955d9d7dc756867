"""A choice that was only looked at: the answer of ``Orchestrator.route``."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentroute.model.decisions import DecisionRecord, DecisionStatus
from agentroute.model.record import Part


class Ranked(Part):
    """One candidate: its utility, exploration bonus, first-draw probability and terms."""

    agent: str
    mean: float | None
    bonus: float | None
    propensity: float
    terms: dict[str, float] = {}

    @property
    def total(self) -> float:
        """What the choice is made by; minus infinity where screening left it out."""
        return float("-inf") if self.mean is None else self.mean + (self.bonus or 0.0)


class RouteFound(Part):
    """Who would be asked, how likely everybody was, and why the others are not there."""

    task: str
    policy: str
    policy_version: str
    status: DecisionStatus
    chosen: tuple[str, ...]
    reason: str
    out_of_scope: float
    ranked: tuple[Ranked, ...]
    """The candidates, best first; of many tasks at once the best of them and the chosen."""
    candidates: int
    """How many there were."""
    excluded: dict[str, str]

    def why_not(self, agent: str) -> str:
        """One sentence: why this agent was not the choice."""
        if agent in self.chosen:
            return f"{agent} was chosen"
        if agent in self.excluded:
            return f"{agent} was not a candidate: {self.excluded[agent]}"
        row = next((r for r in self.ranked if r.agent == agent), None)
        if row is None and self.candidates > len(self.ranked):
            return f"{agent} is not among the {len(self.ranked)} that are listed"
        if row is None:
            return f"{agent} is not registered"
        if row.mean is None:
            return f"{agent} was screened out before it was scored"
        return f"{agent} {_behind(row, self._best())}"

    def _best(self) -> Ranked:
        picked = [r for r in self.ranked if r.agent in self.chosen]
        return max(picked or self.ranked, key=lambda r: r.total)


def _behind(row: Ranked, best: Ranked) -> str:
    gap = best.total - row.total
    lost = {k: best.terms.get(k, 0.0) - row.terms.get(k, 0.0) for k in {*best.terms, *row.terms}}
    lost["bonus"] = (best.bonus or 0.0) - (row.bonus or 0.0)
    main = max(lost, key=lambda k: lost[k])
    if gap <= 0:
        return f"scored no less than {best.agent} ({-gap:+.3f}); the draw went to {best.agent}"
    return (
        f"scored {gap:.3f} below {best.agent}, mostly by {main} ({lost[main]:+.3f}); "
        f"its chance was {row.propensity:.1%}"
    )


def route_found(
    record: DecisionRecord, excluded: dict[str, str], *, top: int | None = None
) -> RouteFound:
    """A decision record as something to read, best first: the chosen and the best ``top``."""
    request, scores, d = record.request, record.scores, record.decision
    assert request is not None
    names = request.candidates.names
    n = len(names)
    p = np.zeros(n) if record.propensities is None else record.propensities
    ranked = [
        Ranked(
            agent=str(names[i]),
            mean=None if scores is None else _finite(scores.mean[i]),
            bonus=None if scores is None else _finite(scores.bonus[i]),
            propensity=float(p[i]),
            terms={} if scores is None else _terms(scores.terms, i),
        )
        for i in (range(n) if top is None else _best(record, top))
    ]
    return RouteFound(
        task=request.task.prompt,
        policy=d.policy,
        policy_version=d.policy_version,
        status=d.status,
        chosen=d.chosen,
        reason=d.reason,
        out_of_scope=0.0 if scores is None else float(scores.out_of_scope),
        ranked=tuple(sorted(ranked, key=lambda r: -r.total)),
        candidates=n,
        excluded=excluded,
    )


def _best(record: DecisionRecord, top: int) -> list[int]:
    """Positions of the best ``top``, and of the chosen."""
    request, scores = record.request, record.scores
    assert request is not None
    assert scores is not None
    total = np.nan_to_num(scores.mean + scores.bonus, nan=-np.inf)
    best = np.argsort(-total, kind="stable")[:top].tolist()
    names = request.candidates.names[best]
    late = [a for a in record.decision.chosen if a not in names]
    return [*best, *(int(np.flatnonzero(request.candidates.names == a)[0]) for a in late)]


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _terms(terms: Any, i: int) -> dict[str, float]:
    return {k: float(v[i]) for k, v in terms.items() if np.isfinite(v[i])}
