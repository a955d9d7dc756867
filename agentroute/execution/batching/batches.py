"""Batches: scored together, matched to agents, committed; then each item runs as any task does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from agentroute.choosing.depth.fixed import Fixed
from agentroute.choosing.exploration import Epsilon
from agentroute.choosing.together import Batching, Given, deal_out
from agentroute.errors import ConfigError, NoCandidateError, RoutingError
from agentroute.execution.answer.deepening import depth_of
from agentroute.execution.decider import Decider, decision_of, record_of, scored
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.ruling import Ask, Rules
from agentroute.model.calls import handed_over
from agentroute.model.candidates import Request
from agentroute.model.decisions import DecisionRecord
from agentroute.model.ids import keyed_rng
from agentroute.model.plans import Batch, Plan
from agentroute.model.scores import Scores
from agentroute.registry.eligibility import Eligible
from agentroute.registry.registry import Registry

MOST = 256  # items that are dealt at once: the matching takes time n m^2, and more for who explores
WorkOf = Callable[[str], Assignment | None]


def check_batches(plan: Plan, rules: Rules) -> None:
    """Whether the run's rules can give the items of its batches to agents together.

    Raises:
        ConfigError: more than one agent an item, or an exploration without a share to draw first.
    """
    items = {v for b in plan.batches for v in b.items}
    for task in (t for t in plan.tasks if t.id in items):
        depth = depth_of(task, rules.depth)
        if not isinstance(depth, Fixed) or depth.k != 1:
            raise ConfigError(
                f"assign gives an item to one agent; the depth of '{task.id}' is '{depth.name}'",
                field="depth", hint="depth: one, on the task",
            )  # fmt: skip
    if items and not isinstance(rules.policy.exploration, Epsilon):
        raise ConfigError(
            "assign draws a share epsilon first, and this router explores in another way",
            field="exploration", hint="exploration: 0.05",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Part:
    """Some items of a batch, who may do each, and what is asked of the router about them."""

    batching: Batching
    who: Sequence[Eligible]
    requests: Sequence[Request]


class Batches:
    """Lets the items of a batch in, once all of them have been decided."""

    def __init__(self, decider: Decider, registry: Registry) -> None:
        self._decider, self._registry = decider, registry

    @asynccontextmanager
    async def admitted(self, run: Run, v: str, work_of: WorkOf) -> AsyncIterator[None]:
        """Wait for the batch's rows, then for a place at the item's agent. Others go straight in.

        A task that is issued again is no item any more: it is decided alone.

        Raises:
            LedgerError: a row could not be committed; no item was called.
        """
        batch = next((b for b in run.plan.batches if v in b.items), None)
        if batch is None or v in run.outcomes:
            yield
            return
        async with run.seats.lock:
            if batch.name not in run.seats.decided:
                await self._decide(run, batch, work_of)
                run.seats.decided.add(batch.name)
        decision = run.history.decision(v, "route", 1)
        agent = decision.chosen[0] if decision is not None and decision.chosen else ""
        if agent not in self._registry:
            yield  # nobody is to be called, or this is found out when it is decided
            return
        async with run.seats.at(self._registry[agent].card):
            yield

    async def _decide(self, run: Run, batch: Batch, work_of: WorkOf) -> None:
        """All that was not decided in an earlier life, in parts of at most ``MOST`` items."""
        taken, asks = Counter[str](), []
        for v in batch.items:
            known, work = run.history.decision(v, "route", 1), work_of(v)
            if known is not None:
                done = run.history.outcomes(known.id)
                taken.update(a for a in known.chosen if a not in done)
            elif work is not None and work.agent is not None:
                taken[work.agent] += 1
            elif work is not None and v not in run.outcomes:
                asks.append(_ask(run, work))
        for i in range(0, len(asks), MOST):
            part = asks[i : i + MOST]
            try:
                await self._part(run, batch, part, taken)
            except RoutingError as e:
                why = f"decided alone: its batch could not be scored ({e})"
                run.seats.alone |= {a.task.id: why for a in part}

    async def _part(self, run: Run, batch: Batch, asks: list[Ask], taken: Counter[str]) -> None:
        found = [(a, w) for a in asks if (w := self._eligible(a)) is not None]
        if not found:
            return
        asks, who = [a for a, _ in found], [w for _, w in found]
        requests = await self._decider.requests(asks, who, run.rules.objective)
        scores, version = await scored(requests, run.rules)
        policy = run.rules.policy
        out = [policy.abstains(r, s) for r, s in zip(requests, scores, strict=True)]
        dealt = [i for i, nobody in enumerate(out) if not nobody]
        batching = Batching(
            batch=batch.name,
            first=asks[dealt[0]].task.id if dealt else "",
            of=len(dealt),
            wait=batch.assign.wait,
            taken=dict(sorted(taken.items())),
            probed=self._probed(who),
            least=batch.assign.least,
        )
        given = await self._dealt(run, [requests[i] for i in dealt], [scores[i] for i in dealt],
                                  batching)  # fmt: skip
        got = dict(zip(dealt, given, strict=True))
        records = [
            (_record(run, requests[i], who[i], scores[i], version, batching, got.get(i)), who[i])
            for i in range(len(asks))
        ]
        for record, _ in records:
            if record is not None:
                taken.update(record.decision.chosen)
        rulings = await asyncio.gather(
            *(self._decider.enter(r, w, run.history) for r, w in records if r is not None)
        )
        run.history.batched |= {r.decision.id: r for r in rulings}
        run.seats.alone |= {
            a.task.id: "decided alone: no agent of its batch had a place for it"
            for a, (r, _) in zip(asks, records, strict=True)
            if r is None
        }

    def _eligible(self, ask: Ask) -> Eligible | None:
        try:
            return self._decider.eligible(ask)
        except NoCandidateError:
            return None  # said of the task itself, when its turn comes

    def _probed(self, who: Sequence[Eligible]) -> tuple[str, ...]:
        names = {str(a) for w in who for a in w.candidates.names}
        return tuple(sorted(a for a in names if self._registry.live.is_half_open(a)))

    async def _dealt(
        self, run: Run, requests: list[Request], scores: list[Scores], batching: Batching
    ) -> list[Given]:
        exploration = run.rules.policy.exploration
        assert isinstance(exploration, Epsilon)  # check_batches looked
        if not requests:
            return []
        return await asyncio.to_thread(
            deal_out, requests, scores, batching, exploration=exploration, seed=run.rules.seed,
            run_id=run.run_id,
        )  # fmt: skip


def _ask(run: Run, work: Assignment) -> Ask:
    return Ask(
        task=work.task,
        upstream=work.upstream,
        given=handed_over(work.inputs),
        stage=work.stage,
        exclude=work.exclude,
        reason=work.reason,
        budget_left_usd=run.purse(work).left_usd,
        left_s=run.left_s,
        keys=run.keys,
    )


def _record(
    run: Run, request: Request, who: Eligible, scores: Scores, version: str, batching: Batching,
    given: Given | None,
) -> DecisionRecord | None:  # fmt: skip
    """The row of one item; None where nobody of the batch could take it."""
    rules, task, policy = run.rules, request.task, run.rules.policy
    context: dict[str, object] = {"depth": {"policy": rules.depth.name, "k": 1, "reason": ""}}
    if given is None:  # nobody fits: as it would be alone
        rng = keyed_rng(rules.seed, run.run_id, task.id, "route", 1)
        choice, said = policy.decide(request, scores, rng=rng), scores.reason
    elif given.choice is None:
        return None
    else:
        choice, said = given.choice, _why(given, batching, scores, choice_of(request, given))
        context["assign"] = _kept(batching, given)
    decision = decision_of(
        run.run_id, kind="route", task_id=task.id, policy=policy.name, policy_version=version,
        status=choice.status, chosen=tuple(str(request.candidates.names[i]) for i in
                                           choice.positions),
        propensity=choice.propensity, reason=said, seed=rules.seed,
    )  # fmt: skip
    return record_of(decision, request, who, scores, choice, context)


def choice_of(request: Request, given: Given) -> str:
    """The name of whom an item was given to."""
    assert given.choice is not None
    return str(request.candidates.names[given.choice.positions[0]])


def _why(given: Given, batching: Batching, scores: Scores, agent: str) -> str:
    how = "drawn first, to explore" if given.drawn else "by expert choice"
    said = f"one of {batching.of} assigned together: {how}, wave {given.wave + 1}"
    if given.alone != agent and not given.drawn:
        said += f"; alone it would have gone to {given.alone}"
    return "; ".join(filter(None, (scores.reason, said)))


def _kept(batching: Batching, given: Given) -> Mapping[str, object]:
    return {**asdict(batching), "probed": list(batching.probed), "wave": given.wave,
            "drawn": given.drawn}  # fmt: skip
