"""A ledger as an outcome table: what was chosen, with which probability, and what it scored.

One row a decision that ``judged_decisions`` takes; the arms are all agents that were candidates.
The last fifth in time is the test split: what is learned from the past is scored on what came
later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.config.settings import FeedbackQuota
from agentroute.errors import OverlapError
from agentroute.evaluation.offpolicy.logged import Judged, judged_decisions
from agentroute.evaluation.tables.outcomes import Arm, OutcomeTable
from agentroute.learning.sources import QUOTA, WEIGHTS
from agentroute.ledger import ERASED, Ledger
from agentroute.model.arrays import F64, Ints
from agentroute.model.candidates import Request
from agentroute.model.cards import CapabilityCard

TEST_SHARE = 0.2
MIN_EFFECTIVE = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class LedgerTable:
    """The table, and what of the ledger is not in it, counted by reason."""

    table: OutcomeTable
    left_out: dict[str, int]


def ledger_table(
    ledger: Ledger,
    *,
    weights: Mapping[str, float] = WEIGHTS,
    quota: FeedbackQuota | None = QUOTA,
) -> LedgerTable:
    """The judged decisions of a ledger as a partial outcome table; ids are those of decisions.

    ``weights`` and ``quota`` are the settings' ``feedback_weights`` and ``feedback_quota``.

    Raises:
        OverlapError: no usable decision is in the ledger.
    """
    judged, left_out = judged_decisions(ledger, weights=weights, quota=quota)
    kept = [j for j in judged if _request(j).task.prompt != ERASED]
    if len(kept) < len(judged):
        left_out["the prompt was erased"] = len(judged) - len(kept)
    if not kept:
        raise OverlapError("the prompts of all judged decisions were erased")
    cards = _cards(kept)
    scores, propensity, cost, latency = _columns(kept, {c.name: i for i, c in enumerate(cards)})
    tokens = _tokens(ledger, kept, {c.name: i for i, c in enumerate(cards)})
    late = len(kept) - round(TEST_SHARE * len(kept))
    table = OutcomeTable(
        name=ledger.path.stem,
        arms=tuple(_arm(c) for c in cards),
        ids=np.array([j.record.decision.id for j in kept], dtype=object),
        split=np.array(["train" if i < late else "test" for i in range(len(kept))], dtype=object),
        prompts=tuple(_request(j).task.prompt for j in kept),
        features=tuple(dict(_request(j).task.features) for j in kept),
        scores=scores,
        cost_usd=None if np.isnan(cost).all() else cost,
        latency_s=None if np.isnan(latency).all() else latency,
        abstain=np.zeros(len(kept), np.bool_),
        meta=_meta(ledger, kept),
        propensity=propensity,
        skills=tuple(_request(j).task.skills for j in kept),
        own_cards=cards,
        tokens=None if np.isnan(tokens).all() else tokens,
    )
    return LedgerTable(table, left_out)


def effective_rows(table: OutcomeTable, rows: Ints) -> float:
    """(sum w)^2 / sum w^2 of the labels' weights 1 / propensity, up to 10 (Kish 1965)."""
    weights = table.weights(rows)
    if weights is None:
        return float(len(rows))
    return float(weights.sum() ** 2 / max((weights**2).sum(), 1e-12))


def require_overlap(table: OutcomeTable, rows: Ints) -> float:
    """The number of effective rows of a table that a router is to be fitted on.

    Raises:
        OverlapError: nothing was explored, or too few rows are effective.
    """
    effective = effective_rows(table, rows)
    if table.propensity is None:
        return effective
    chosen = table.propensity[rows][~np.isnan(table.scores[rows])]
    hint = "let it run on with exploration (exploration: 0.05 is the default) and feedback"
    if (chosen >= 1.0 - 1e-9).all():
        raise OverlapError(f"all {len(rows)} choices were certain: nothing was explored", hint=hint)
    if effective < MIN_EFFECTIVE:
        raise OverlapError(
            f"{len(rows)} judged decisions have an effective sample size of {effective:.1f}, "
            f"and {MIN_EFFECTIVE:.0f} are needed to fit a router",
            hint=hint,
        )
    return effective


def _request(judged: Judged) -> Request:
    assert judged.record.request is not None  # judged_decisions leaves others out
    return judged.record.request


def _cards(kept: Sequence[Judged]) -> tuple[CapabilityCard, ...]:
    """The latest card of everybody who was a candidate, by name."""
    latest: dict[str, CapabilityCard] = {}
    for j in kept:
        candidates = _request(j).candidates
        latest.update((str(c), candidates.cards.cards[i]) for c, i in zip(
            candidates.names, candidates.rows, strict=True))  # fmt: skip
    return tuple(latest[name] for name in sorted(latest))


def _columns(kept: Sequence[Judged], column: dict[str, int]) -> tuple[F64, F64, F64, F64]:
    """(m, n) each: score, propensity, cost, latency; NaN where nothing is known."""
    out = np.full((4, len(kept), len(column)), np.nan)
    for i, j in enumerate(kept):
        names = [column[str(a)] for a in _request(j).candidates.names]
        out[1, i, names] = j.record.propensities
        at = column[j.agent]
        out[0, i, at], out[1, i, at] = j.quality, j.record.decision.propensity
        out[2, i, at] = np.nan if j.cost_usd is None else j.cost_usd
        out[3, i, at] = np.nan if j.latency_s is None else j.latency_s
    return out[0], out[1], out[2], out[3]


def _tokens(ledger: Ledger, kept: Sequence[Judged], column: dict[str, int]) -> F64:
    """(m, n) of the calls that were made; NaN elsewhere, and where a call told of none."""
    out = np.full((len(kept), len(column)), np.nan)
    row = {j.record.decision.id: i for i, j in enumerate(kept)}
    told = "SELECT decision_id, agent, tokens FROM outcomes WHERE tokens > 0"
    for decision_id, agent, tokens in ledger.query(told):
        if decision_id in row and agent in column:
            out[row[decision_id], column[agent]] = tokens
    return np.where(np.isnan(_columns(kept, column)[0]), np.nan, out)


def _arm(card: CapabilityCard) -> Arm:
    p = card.pricing
    return Arm(card.name, card.description, p.input_mtok_usd, p.output_mtok_usd)


def _meta(ledger: Ledger, kept: Sequence[Judged]) -> dict[str, object]:
    seqs = [j.record.decision.seq for j in kept]
    head, digest = ledger.head()
    return {
        "name": ledger.path.stem, "partial": True, "source": "a ledger of agentroute",
        "first_seq": min(seqs), "last_seq": max(seqs), "head": head, "head_hash": digest,
        "note": "one row a sampled, judged decision; the last fifth in time is the test split",
    }  # fmt: skip
