"""Teams that were drawn, and what was said of each as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentroute.config.settings import FeedbackQuota
from agentroute.learning.fold import observations
from agentroute.learning.sources import QUOTA, WEIGHTS
from agentroute.ledger import Ledger
from agentroute.model.decisions import DecisionRecord
from agentroute.model.outcomes import Observation


@dataclass(frozen=True, slots=True, eq=False)
class JudgedTeam:
    """A decision that was sampled for several agents; ``quality`` None where nobody judged it."""

    record: DecisionRecord
    quality: float | None
    cost_usd: float


def judged_teams(
    ledger: Ledger,
    *,
    weights: Mapping[str, float] = WEIGHTS,
    quota: FeedbackQuota | None = QUOTA,
) -> Iterator[JudgedTeam]:
    """First attempts at a route by more than one agent, in the order in which they were heard of.

    The quality is the mean of what was said of its members, by weight; one that failed has 0.
    """
    said: dict[str, list[Observation]] = {}
    for o in observations(ledger, weights=weights, quota=quota):
        said.setdefault(o.decision_id, []).append(o)
    for decision_id, of in said.items():
        record = ledger.record(decision_id)
        d = record.decision
        if d.kind != "route" or d.attempt > 1 or len(d.chosen) < 2 or record.scores is None:
            continue
        mine = [o for o in of if o.agent in d.chosen]
        words = [o for o in mine if o.quality is not None]
        total = sum(o.weight for o in words)
        quality = sum(o.weight * (o.quality or 0.0) for o in words) / total if total else None
        yield JudgedTeam(record, quality, float(sum(o.cost_usd or 0.0 for o in mine)))
