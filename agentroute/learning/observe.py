"""From ledger rows to what routers learn from, in ``seq`` order: the only way state changes.

What a row teaches depends on the rows before it and on nothing else, so folding in any number of
steps, live or years later, gives the same observations (a property test holds it).

- An outcome folds once: cost and latency, and quality 0 where the call failed. A success says
  nothing of quality. Shadow calls count like any other.
- The first feedback of each kind of source (user, test, verifier, self) for a (decision, agent)
  folds once, quality only, with the weight of its kind. Later ones of that kind are *duplicate*.
  So a user's word counts after a verifier's, and nobody counts twice.
- Feedback on a decision without an agent is the joint score of its k members: weight 1/k each.
  Feedback on a run goes to its route decisions in equal parts. Where the row itself says whose
  part is how large (``shares``), that is what counts; a part of 0 or less teaches nothing.
  A member that failed has its 0 already and gets nothing of a joint score.
- Who has a name (``user:NAME``) is bounded by a quota for each agent (``Tally``): what is beyond it
  is counted as *quota*, teaches nothing, and leaves the first word of its kind to somebody else.
- Feedback that came more than ``ttl_s`` after the decision, by the rows' own times, is *expired*.
- What is not about a candidate of a route decision (a planner's model call, say) is *unknown*.
- The request carries the evidence that was recorded (``with_evidence``): what is learned rests on
  what was said at the decision, not on what would be said today.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

import numpy as np
import orjson

from agentroute.config.settings import FeedbackQuota
from agentroute.errors import LedgerError, RowUnreadableError, UnknownDecisionError
from agentroute.learning.sources import QUOTA, WEIGHTS, Tally, kind_of
from agentroute.ledger import Ledger, Row
from agentroute.model.candidates import Request
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.outcomes import Feedback, Observation, Outcome
from agentroute.model.scores import Scores

TTL_S = 30 * 86_400.0
LAST_SKIPPED, KEPT = 16, 256
LEAST = 1e-9  # of a part that teaches something; what is below is rounding
_TAUGHT = ("outcomes", "feedback")


@dataclass(frozen=True, slots=True)
class Share:
    """One agent's part in a score. ``method``: own, joint (of k), or run."""

    record: DecisionRecord
    agent: str
    weight: float
    method: str


class Folding:
    """Reads rows, yields observations, counts what it did not yield and why.

    ``counts``: folded, duplicate, expired, muted (a source of weight 0), quota (beyond what one
    name may weigh), unknown, skipped (what cannot be read, or learned from); and own, joint, run
    for the feedback folded. ``skipped`` has the last of these rows: seq to reason. ``tally`` is
    what the quota is measured by; one that has heard the rows already says again what it said.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        ttl_s: float = TTL_S,
        weights: Mapping[str, float] = WEIGHTS,
        quota: FeedbackQuota | None = QUOTA,
        tally: Tally | None = None,
    ) -> None:
        self.ledger, self.ttl_s = ledger, ttl_s
        self.tally = tally or Tally(quota, ttl_s=ttl_s)
        self.weights = {**WEIGHTS, **weights}
        self.counts: Counter[str] = Counter()
        self.skipped: dict[int, str] = {}
        self._record = lru_cache(maxsize=KEPT)(self._read)
        self._fresh: dict[str, DecisionRecord] = {}  # not read yet, and read as they are
        self._ahead = 0  # records that were read before their rows came
        self._before = lru_cache(maxsize=256)(self._read_before)
        self._asked = lru_cache(maxsize=256)(_asked)

    def steps(
        self, after_seq: int = 0, upto: int | None = None
    ) -> Iterator[tuple[int, list[Observation]]]:
        """``(seq, observations)`` of each row with ``after_seq < seq <= upto``, in order."""
        self._listen(after_seq)
        self._ahead = 0
        for row in self.ledger.rows(after_seq, upto, tables=_TAUGHT, skip=self.skip):
            try:
                observed = self._of_outcome(row) or self._of_feedback(row)
            except (RowUnreadableError, UnknownDecisionError) as e:  # its own or its decision's row
                self.skip(row.seq, e)
                continue
            self.counts["folded"] += len(observed)
            yield row.seq, observed

    def read_ahead(self, decision_id: str) -> None:
        """Keep a decision for the rows about it that will come; no more than would be kept."""
        if self._ahead < KEPT // 2:
            self._ahead += 1
            with suppress(LedgerError):  # whatever ails it is said when its rows are folded
                if (written := self.ledger.fresh(decision_id)) is not None:
                    self._fresh[decision_id] = written
                self._record(decision_id)
            self._fresh.clear()  # of a team's decision, which is asked for once an agent, too

    def _read(self, decision_id: str) -> DecisionRecord:
        return self._fresh.get(decision_id) or self.ledger.record(decision_id)

    def _listen(self, upto: int) -> None:
        """Hear what was said before the first row that is wanted: the quota rests on it."""
        if self.tally.quota is None or self.tally.upto >= upto:
            return
        counts = self.counts.copy()
        rows = self.ledger.rows(
            self.tally.upto, upto, tables=("feedback",), skip=lambda seq, error: None,
            wanted=self._is_heard,
        )  # fmt: skip
        for row in rows:
            with suppress(RowUnreadableError, UnknownDecisionError):
                self._of_feedback(row)
        self.tally.upto, self.counts = upto, counts

    def _is_heard(self, body: bytes) -> bool:
        try:
            said = orjson.loads(body)
            return self.tally.is_changed_by(said["source"], said.get("derived_from"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return True  # what is wrong with it is said where it is read

    def skip(self, seq: int, error: Exception) -> None:
        """Nothing is learned from a row, and why; the last reasons are kept."""
        self.counts["skipped"] += 1
        self.skipped[seq] = f"{type(error).__name__}: {error}"
        for old in list(self.skipped)[:-LAST_SKIPPED]:
            del self.skipped[old]

    def _of_outcome(self, row: Row) -> list[Observation]:
        o = row.value
        if not isinstance(o, Outcome):
            return []
        record = self._record(o.decision_id)
        if not _is_candidate(record, o.agent):
            self.counts["unknown"] += 1
            return []
        q = 0.0 if o.error is not None else None
        return [self._observation(row, record, o.agent, 1.0, q, o.cost_usd, o.latency_s)]

    def _of_feedback(self, row: Row) -> list[Observation]:
        f = row.value
        if not isinstance(f, Feedback):
            return []
        shares = self._shares(row, f)
        if not shares:
            self.counts["unknown"] += 1
        weight = self.weights[kind_of(f.source)]
        if weight == 0.0:
            self.counts["muted"] += len(shares)
            return []
        kind = kind_of(f.source)
        kept = [s for s in shares if self._is_in_time(row, s) and self._is_first(row, s, kind)]
        said: dict[str, float] = {}
        for s in kept:
            said[s.agent] = said.get(s.agent, 0.0) + s.weight * weight
        beyond = self.tally.hear(row.seq, row.at, f, said)
        self.counts["quota"] += sum(s.agent in beyond for s in kept)
        kept = [s for s in kept if s.agent not in beyond]
        self.counts.update(s.method for s in kept)
        return [self._observation(row, s.record, s.agent, s.weight * weight, f.score) for s in kept]

    def _observation(
        self,
        row: Row,
        record: DecisionRecord,
        agent: str,
        weight: float,
        quality: float | None,
        cost_usd: float | None = None,
        latency_s: float | None = None,
    ) -> Observation:
        return Observation(
            seq=row.seq,
            decision_id=record.decision.id,
            request=self._asked(record),
            agent=agent,
            quality=quality,
            cost_usd=cost_usd,
            latency_s=latency_s,
            weight=weight,
            propensity=_propensity(record, agent),
            at=row.at,
        )

    def _shares(self, row: Row, f: Feedback) -> list[Share]:
        if f.shares:
            return self._as_written(f)
        if f.target == "decision":
            return self._of_decision(row, f, self._record(f.target_id), 1.0, "joint")
        decisions = self.ledger.decisions(f.target_id)
        records = [self._record(d.id) for d in decisions if d.seq < row.seq and d.kind == "route"]
        about = [r for r in records if self._of_decision(row, f, r, 1.0, "run")]
        return [s for r in about for s in self._of_decision(row, f, r, 1.0 / len(about), "run")]

    def _as_written(self, f: Feedback) -> list[Share]:
        """The parts that the row itself has."""
        method = "run" if f.target == "run" else "joint"
        records = {d: self._record(d) for d in f.shares}
        return [
            Share(records[d], agent, min(part, 1.0), method)
            for d, parts in f.shares.items()
            for agent, part in parts.items()
            if part > LEAST and _knows(records[d], agent)
        ]

    def _of_decision(
        self, row: Row, f: Feedback, record: DecisionRecord, weight: float, method: str
    ) -> list[Share]:
        """The parts of one decision's agents in a score; nothing where it is not about them."""
        d, before = record.decision, self._before(record.decision, row.seq)
        if f.agent is not None:
            ran = f.agent in d.chosen or _outcome_of(f.agent, before) is not None
            return (
                [Share(record, f.agent, weight, "own")] if ran and _knows(record, f.agent) else []
            )
        joint = [a for a in _credited(d, before) if _knows(record, a)]
        method = "own" if method == "joint" and len(d.chosen) == 1 else method
        return [Share(record, a, weight / len(d.chosen), method) for a in joint]

    def _read_before(self, d: Decision, seq: int) -> list[Row]:
        return [r for r in self.ledger.about(d) if r.seq < seq]

    def _is_in_time(self, row: Row, share: Share) -> bool:
        late = _age_s(row, share.record.decision) > self.ttl_s
        self.counts["expired"] += late
        return not late

    def _is_first(self, row: Row, share: Share, kind: str) -> bool:
        d = share.record.decision
        before = self._before(d, row.seq)
        repeated = any(
            self._touched(earlier, d, share.agent, before[:i], kind)
            for i, earlier in enumerate(before)
        )
        self.counts["duplicate"] += repeated
        return not repeated

    def _touched(
        self, earlier: Row, d: Decision, agent: str, before: Sequence[Row], kind: str
    ) -> bool:
        """Whether an earlier row was feedback of that kind that was folded for (d, agent)."""
        if agent in self.tally.beyond(earlier.seq):
            return False
        f = earlier.value
        if not isinstance(f, Feedback) or kind_of(f.source) != kind:
            return False
        if _age_s(earlier, d) > self.ttl_s:
            return False
        if f.shares:
            return f.shares.get(d.id, {}).get(agent, 0.0) > LEAST
        return f.agent == agent if f.agent is not None else agent in _credited(d, before)


def observations(
    ledger: Ledger,
    after_seq: int = 0,
    upto: int | None = None,
    *,
    ttl_s: float = TTL_S,
    weights: Mapping[str, float] = WEIGHTS,
    quota: FeedbackQuota | None = QUOTA,
) -> Iterator[Observation]:
    """What the rows with ``after_seq < seq <= upto`` teach, in order of ``seq``."""
    folding = Folding(ledger, ttl_s=ttl_s, weights=weights, quota=quota)
    for _, observed in folding.steps(after_seq, upto):
        yield from observed


def with_evidence(request: Request, scores: Scores | None) -> Request:
    """The request as routers learn from it: what was said at the decision is its record.

    Where screening kept candidates from the router, the evidence is about the others alone, and so
    is this request.
    """
    if scores is None or scores.evidence is None:
        return request
    asked = np.flatnonzero(~np.isnan(scores.mean))
    if len(asked) < len(scores.mean):
        request = replace(request, candidates=request.candidates.take(asked))
    return replace(request, recorded=scores.evidence)


def _asked(record: DecisionRecord) -> Request:
    assert record.request is not None  # who makes observations asked _knows
    return with_evidence(record.request, record.scores)


def _credited(d: Decision, before: Sequence[Row]) -> list[str]:
    """The chosen that did not fail: who has a part in a joint score."""
    outcomes = {a: _outcome_of(a, before) for a in d.chosen}
    return [a for a, o in outcomes.items() if o is None or o.error is None]


def _outcome_of(agent: str, before: Sequence[Row]) -> Outcome | None:
    values = (r.value for r in before)
    return next((v for v in values if isinstance(v, Outcome) and v.agent == agent), None)


def _knows(record: DecisionRecord, agent: str) -> bool:
    return record.request is not None and agent in record.request.candidates.cards.index


def _is_candidate(record: DecisionRecord, agent: str) -> bool:
    return record.decision.kind == "route" and _knows(record, agent)


def _age_s(row: Row, d: Decision) -> float:
    return (datetime.fromisoformat(row.at) - datetime.fromisoformat(d.at)).total_seconds()


def _propensity(record: DecisionRecord, agent: str) -> float:
    """How probable it was that this agent ran: 1 for a shadow, marginal for one of a team."""
    d, p, request = record.decision, record.propensities, record.request
    if agent not in d.chosen:
        return 1.0
    if len(d.chosen) == 1 or p is None or request is None:
        return d.propensity
    at = np.flatnonzero(request.candidates.rows == request.candidates.cards.index[agent])
    return float(p[at[0]]) if len(at) and p[at[0]] > 0 else d.propensity
