"""Logged decisions of a ledger as rows for off-policy estimates.

Used are first attempts at a route that were sampled for one agent and have a quality (a failed
call counts 0, else the weightiest feedback). Retries, fallbacks, pinned agents and teams were not
drawn from the policy's distribution over single agents: they are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import Router
from agentroute.config.settings import FeedbackQuota
from agentroute.errors import OverlapError
from agentroute.evaluation.offpolicy.estimators import LoggedRows
from agentroute.learning.fold import observations
from agentroute.learning.sources import QUOTA, WEIGHTS
from agentroute.ledger import Ledger
from agentroute.model.arrays import F64
from agentroute.model.decisions import DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Observation


@dataclass(frozen=True, slots=True, eq=False)
class FromLedger:
    """The rows, the names of their arms, and what was left out and why."""

    rows: LoggedRows
    agents: tuple[str, ...]
    left_out: dict[str, int]


async def from_ledger(
    ledger: Ledger, policy: Policy | Router, *, after_seq: int = 0, upto: int | None = None
) -> FromLedger:
    """Score every logged request with ``policy``, frozen as it is, and pair it with its outcome.

    A policy that was folded from the same rows has seen their rewards: estimate on rows that came
    after its state (``after_seq``), or read the result as optimistic.

    Raises:
        OverlapError: no usable decision is in the ledger.
    """
    target = policy if isinstance(policy, Policy) else Policy(policy)
    judged, left_out = judged_decisions(ledger, after_seq=after_seq, upto=upto)
    used = [(j.record, j.quality, await _probabilities(target, j.record)) for j in judged]
    return joined(used, left_out)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A decision that was sampled for one agent, and what came of it.

    ``cost_usd`` and ``latency_s`` are None where the call has no outcome row.
    """

    record: DecisionRecord
    quality: float
    cost_usd: float | None
    latency_s: float | None

    @property
    def agent(self) -> str:
        """Who was chosen."""
        return self.record.decision.chosen[0]


def judged_decisions(
    ledger: Ledger,
    *,
    after_seq: int = 0,
    upto: int | None = None,
    weights: Mapping[str, float] = WEIGHTS,
    quota: FeedbackQuota | None = QUOTA,
) -> tuple[list[Judged], dict[str, int]]:
    """The decisions that say something of what others would have got, in order; and who does not.

    ``weights`` by kind of source say whose word on a decision counts where several spoke;
    what is beyond the ``quota`` of one name does not count.
    The second value counts what was left out, by reason.

    Raises:
        OverlapError: no usable decision is in the ledger.
    """
    left_out: Counter[str] = Counter()
    out = []
    seen = observations(ledger, after_seq, upto, weights=weights, quota=quota)
    for decision_id, said in _by_decision(seen).items():
        record = ledger.record(decision_id)
        why = _why_not(record)
        mine = [] if why else [o for o in said if o.agent == record.decision.chosen[0]]
        words = [o for o in mine if o.quality is not None]
        if why or not words:
            left_out[why or "not judged"] += 1
            continue
        best = max(words, key=lambda o: o.weight)  # of equal ones the first
        out.append(Judged(record, float(best.quality or 0.0), _cost(mine), _latency(mine)))
    if not out:
        raise OverlapError(
            "no logged decision can be used: " + (_told(left_out) or "none has feedback"),
            hint="give feedback, and log with exploration, for example exploration: 0.05",
        )
    return out, dict(left_out)


def _by_decision(seen: Iterable[Observation]) -> dict[str, list[Observation]]:
    out: dict[str, list[Observation]] = {}
    for o in seen:
        out.setdefault(o.decision_id, []).append(o)
    return out


def _cost(mine: Iterable[Observation]) -> float | None:
    return next((o.cost_usd for o in mine if o.cost_usd is not None), None)


def _latency(mine: Iterable[Observation]) -> float | None:
    return next((o.latency_s for o in mine if o.latency_s is not None), None)


def _why_not(record: DecisionRecord) -> str:
    d = record.decision
    if d.kind != "route" or record.request is None or record.propensities is None:
        return "not a route decision"
    if d.attempt > 1:
        return "a retry or a fallback"
    if len(d.chosen) != 1:
        return "a team, or nobody"
    return "pinned" if record.request.task.agent else ""


async def _probabilities(target: Policy, record: DecisionRecord) -> F64:
    """(n,) what the target would choose; an abstention is no choice of an agent: all zero."""
    assert record.request is not None
    _, choice = await target.choose(
        record.request, rng=keyed_rng(record.decision.seed, record.decision.id)
    )
    return choice.propensities


def joined(used: list[tuple[DecisionRecord, float, F64]], left_out: dict[str, int]) -> FromLedger:
    """Rows of (decision, what came of it, (n,) the target's probabilities), in that order.

    Where the target abstains there is no choice to value: these are added to ``left_out``.
    """
    kept = [u for u in used if u[2].sum() > 0]
    if len(kept) < len(used):
        left_out["the target abstains"] = len(used) - len(kept)
    names = sorted({str(a) for record, _, _ in kept for a in _names(record)})
    column = {a: j for j, a in enumerate(names)}
    target, logging = np.zeros((2, len(kept), len(names)))
    for t, (record, _, p) in enumerate(kept):
        place = [column[str(a)] for a in _names(record)]
        target[t, place], logging[t, place] = p / p.sum(), record.propensities
    rows = LoggedRows(
        chosen=np.array([column[r.decision.chosen[0]] for r, _, _ in kept], dtype=np.int64),
        propensity=np.array([r.decision.propensity for r, _, _ in kept]),
        reward=np.array([reward for _, reward, _ in kept]),
        target=target,
        logging=logging,
        group=[_group(r) for r, _, _ in kept],
    )
    return FromLedger(rows, tuple(names), left_out)


def _names(record: DecisionRecord) -> list[str]:
    assert record.request is not None
    return [str(a) for a in record.request.candidates.names]


def _group(record: DecisionRecord) -> str:
    """What the direct model may know of the context: required skills and features."""
    assert record.request is not None
    task = record.request.task
    return repr((sorted(task.skills), sorted(task.features.items())))


def _told(left_out: Counter[str]) -> str:
    return "; ".join(f"{n} {why}" for why, n in left_out.items())
