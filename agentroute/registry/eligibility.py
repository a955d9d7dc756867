"""Who may be chosen for a task at all, and why the others may not. Vectorised over agents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F64, or_nan
from agentroute.model.candidates import Candidates, CardSet
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from agentroute.registry.live import LiveState
from agentroute.registry.needs import Mask, lacks, requirements, unmet

T = TypeVar("T", bound=np.generic)
RESERVED = frozenset({"verify", "refine"})

REASONS = (
    "eligible",
    "status is draft",
    "status is shadow: runs beside, reply unused",
    "status is retired",
    "verifies or refines: never a candidate",
    "has no entrypoint and no handler",
    "is a chat agent and no endpoint is configured",
    "lacks a required skill",
    "does not take or give the required modes",
    "circuit breaker is open",
    "expected cost exceeds the budget left",
    "not the pinned agent",
    "was asked already",
    "needs inputs or libraries that are not there",
)
MOST_REASONS = 255  # a code is one byte; beyond it the last of REASONS stands for what is needed
_CODE = {reason: i for i, reason in enumerate(REASONS)}
_STATUS = {"draft": 1, "shadow": 2, "retired": 3}


@dataclass(frozen=True, slots=True, eq=False)
class Eligible:
    """The candidates; the excluded rows (m,) with a reason code each; the shadow rows."""

    candidates: Candidates
    excluded_rows: NDArray[np.int64]
    excluded_codes: NDArray[np.uint8]
    reasons: tuple[str, ...]
    shadow_rows: NDArray[np.int64]

    def excluded(self) -> dict[str, str]:
        """Agent name to reason, for people."""
        names = self.candidates.cards.names[self.excluded_rows]
        return {str(n): self.reasons[c] for n, c in zip(names, self.excluded_codes, strict=True)}


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What never changes for a card set, as arrays.

    ``reasons`` are ``REASONS`` and what libraries are missing; ``needs`` are the distinct sets of
    required keys, beside those that a card's own params give, with their rows. Where everybody is
    eligible ``rows``, ``explorable``, ``canary`` and ``prior`` are the candidates': read-only.
    """

    code: NDArray[np.uint8]
    reasons: tuple[str, ...]
    needs: Mapping[frozenset[str], Mask]
    chat: Mask
    rows: NDArray[np.int64]
    explorable: Mask
    canary: Mask
    prior: F64
    cost_usd: F64
    latency_s: F64
    limit: F64
    skills: Mapping[str, Mask]
    inputs: Mapping[str, Mask]
    outputs: Mapping[str, Mask]


def _static_code(card: CapabilityCard) -> int:
    if card.status in _STATUS:
        return _STATUS[card.status]
    if card.skill_ids & RESERVED:
        return 4
    return 5 if card.entrypoint is None else 0


def _codes(cards: CardSet) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """(N,) codes of what never changes, and all reasons that they may name."""
    code, reasons = [_static_code(c) for c in cards.cards], list(REASONS)
    for i, card in enumerate(cards.cards):
        if card.libraries and code[i] in (0, _STATUS["shadow"]) and (reason := lacks(card)):
            code[i] = _said(reasons, reason)
    return np.array(code, np.uint8), tuple(reasons)


def _said(reasons: list[str], reason: str) -> int:
    """The code of a reason, which is added where there is room for it."""
    if reason not in reasons and len(reasons) >= MOST_REASONS:
        return len(REASONS) - 1
    if reason not in reasons:
        reasons.append(reason)
    return reasons.index(reason)


def _masks(sets: list[Collection[str]]) -> dict[str, Mask]:
    out: dict[str, Mask] = {}
    for i, words in enumerate(sets):
        for word in words:
            out.setdefault(word, np.zeros(len(sets), bool))[i] = True
    return out


def _table_of(cards: CardSet) -> _Table:
    code, reasons = _codes(cards)
    return _Table(
        code=code,
        reasons=reasons,
        needs=requirements(cards),
        chat=np.array([c.entrypoint == "chat" for c in cards.cards], bool),
        rows=_frozen(np.arange(len(cards))),
        explorable=_frozen(np.array([not c.requires_approval for c in cards.cards], bool)),
        canary=_frozen(np.array([c.status == "canary" for c in cards.cards], bool)),
        prior=_frozen(np.array([c.prior_quality for c in cards.cards], float)),
        cost_usd=or_nan(c.pricing.expected_usd for c in cards.cards),
        latency_s=or_nan(c.latency_s for c in cards.cards),
        limit=np.array([c.limits.max_concurrency for c in cards.cards], float),
        skills=_masks([c.skill_ids for c in cards.cards]),
        inputs=_masks([c.default_input_modes for c in cards.cards]),
        outputs=_masks([c.default_output_modes for c in cards.cards]),
    )


def _frozen(array: NDArray[T]) -> NDArray[T]:
    array.flags.writeable = False
    return array


def eligible(
    cards: CardSet,
    live: LiveState,
    task: Task,
    *,
    budget_left_usd: float | None = None,
    only: str | None = None,
    exclude: Collection[str] = (),
    given: Collection[str] = (),
    chat_ready: bool = False,
    now_s: float = 0.0,
) -> Eligible:
    """The candidates of a task: status, libraries, skills, modes, inputs, breaker, budget, pin.

    ``only`` is a pinned agent, ``exclude`` are agents already tried; ``given`` are the keys that
    earlier tasks handed over, beside the task's params (see ``handed_over``); ``budget_left_usd``
    and the task's own budget bound the expected cost; agents that need approval are not explored.
    An unknown cost passes while there is money: nothing is known against it.
    """
    t = cards.derived("registry.table", _table_of)
    slots = live.slots(cards)
    code = t.code.copy()
    reasons = list(t.reasons)

    def mark(bad: Mask, reason: str) -> None:
        code[bad & (code == 0)] = _CODE[reason]

    if not chat_ready:
        mark(t.chat, "is a chat agent and no endpoint is configured")
    none = np.zeros(len(cards), bool)
    for skill in task.skills:
        mark(~t.skills.get(skill, none), "lacks a required skill")
    for modes, masks in ((task.input_modes, t.inputs), (task.output_modes, t.outputs)):
        for mode in modes:
            mark(~masks.get(mode, none), "does not take or give the required modes")
    for reason, who in unmet(t.needs, {*given, *task.params}):
        code[who & ((code == 0) | (code == _STATUS["shadow"]))] = _said(reasons, reason)
    half_open = np.isfinite(live.open_until_s[slots])
    probed = half_open & (live.inflight[slots] > 0)  # one probe at a time
    mark(live.is_shut(now_s)[slots] | probed, "circuit breaker is open")
    cost = live.cost_usd[slots]
    cost = np.where(np.isnan(cost), t.cost_usd, cost)
    left = _least(budget_left_usd, task.budget_usd)
    if left is not None:
        unknown = 0.0 if left > 0 else np.inf
        mark(np.nan_to_num(cost, nan=unknown) > left, "expected cost exceeds the budget left")
    if only is not None:
        mark(cards.names != only, "not the pinned agent")
    for name in exclude:
        mark(cards.names == name, "was asked already")
    out = code.nonzero()[0]
    everybody = _everybody(cards, t, live, slots, cost)
    return Eligible(
        candidates=everybody if not len(out) else everybody.take((code == 0).nonzero()[0]),
        excluded_rows=out,
        excluded_codes=code[out],
        reasons=tuple(reasons),
        shadow_rows=_shadows(t, task, out, code),
    )


def _least(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else min(a, b)


def _everybody(
    cards: CardSet, t: _Table, live: LiveState, slots: NDArray[np.int64], cost: F64
) -> Candidates:
    latency, success = live.latency_s[slots], live.success[slots]
    return Candidates(
        cards=cards,
        rows=t.rows,
        names=cards.names,
        embedding=cards.embedding,
        prior=t.prior,
        load=live.running[slots] / t.limit,
        latency_s=np.where(np.isnan(latency), t.latency_s, latency),
        cost_usd=cost,
        success=np.where(np.isnan(success), 1.0, success),
        inflight=live.inflight[slots],
        explorable=t.explorable,
        canary=t.canary,
    )


def _shadows(
    t: _Table, task: Task, out: NDArray[np.int64], code: NDArray[np.uint8]
) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = out[code[out] == 2]
    for skill in task.skills:
        mask = t.skills.get(skill)
        rows = rows[mask[rows]] if mask is not None else rows[:0]
    return rows
