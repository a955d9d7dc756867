"""The rounds of a HIERARCHICAL run: what a lead orders, each round a row of kind ``lead``.

The row is committed before anybody is called for it. A row of an earlier life of the run is
followed: nobody is asked again, and nothing is decided again. Rounds and the calls of a lead that
is an agent share the run's own rows of the kind; a round's row says its number in its context.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.trying.attempts import Attempts
from agentroute.model.plans import AgentUse
from agentroute.model.tasks import Task
from agentroute.planning.chatlead import (
    first_of,
    lead_inputs,
    lead_prompt,
    lead_schema,
    read_lead,
    seen,
    shown,
)
from agentroute.planning.lead import RULE, Order, Report, RuleLead, order_of

DONE = ("done",)
REASON_CHARS, NAMED = 500, 5


@dataclass
class Ruled:
    """A round before it is written: who decided it, what, why, and what was wrong with an agent's
    answer that the rule stands in for.
    """

    orders: tuple[Order, ...]
    by: str = RULE
    why: str = ""
    broken: str = ""
    waits: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)


class Leading:
    """Decides each round of a run: the rule, or an agent that is asked and the rule behind it."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    async def next(self, run: Run) -> dict[str, Order]:
        """The next round's orders by task; none when the work is done or a human is waited for.

        A round that a human's answer interrupted is gone on with; it is not a new one.

        Raises:
            LedgerError: the round's row could not be committed; nobody is called for it then.
        """
        run.pending.clear()
        if run.led.left:
            return dict(run.led.left)
        self._recall(run)
        n = run.led.rounds + 1
        reports = self._reports(run)
        fresh = [v for v, r in reports.items() if run.led.heard.get(v) != r.issued]
        context = run.led.known.get(n)
        if context is None:
            ruled = await self._ruled(run, n, reports, fresh)
            if ruled is None:
                return {}
            context = await self._record(run, n, ruled, reports, fresh)
        run.led.rounds = n
        run.led.heard = {v: r.issued for v, r in reports.items()}
        run.led.said += [w for w in context["said"] if w not in run.led.said]
        return {o["task"]: order_of(o["task"], o) for o in context["orders"]}

    def _recall(self, run: Run) -> None:
        """What an earlier life of the run has written of its rounds; read once."""
        led = run.led
        if led.attempt:
            return
        led.attempt = 1
        for d in run.history.decisions:
            if (d.task_id, d.kind) != ("", "lead"):
                continue
            led.attempt = max(led.attempt, d.attempt + 1)
            context = self._attempts.decider.ledger.record(d.id).context
            if "round" in context:
                led.known[context["round"]] = context
            else:
                led.asked.setdefault(d.reason, d.attempt)

    def _reports(self, run: Run) -> dict[str, Report]:
        """What became of the tasks. That something is stale can only be where an agent leads: the
        rule orders nothing again that was used already.
        """
        reports = {v: o.report() for v, o in run.outcomes.items()}
        if run.lead is None:
            return reports
        seq = {d.id: d.seq for d in run.history.decisions}
        for v, r in reports.items():
            if v in run.graph and _is_stale(run, v, seq):
                reports[v] = replace(r, stale=True)
        return reports

    async def _ruled(
        self, run: Run, n: int, reports: Mapping[str, Report], fresh: Collection[str]
    ) -> Ruled | None:
        """What is ordered now; None where a human is asked before the lead may be called."""
        rule, use = RuleLead(run.graph), run.lead
        may = rule.repeatable(reports)
        if use is None or not may or not fresh:
            return Ruled(rule.next(reports))
        ids = shown(run.graph, reports, fresh, may)
        may = tuple(v for v in ids if v in may)
        out = await self._ask(run, n, use, reports, ids, may)
        if not isinstance(out, TaskOutcome):
            return None
        run.led.attempt = max(run.led.attempt, out.attempt + 1)
        try:
            if out.reply is None or out.reply.abstained:
                raise ValueError("gave no answer")
            why, again = read_lead(out.reply, run.graph, reports, may)
        except ValueError as e:
            said = f"the lead '{use.name}' {e}; the rule led round {n}"
            return Ruled(rule.next(reports), broken=str(e), said=[*out.said, said])
        first, waits = first_of(run.graph, again)
        return Ruled(rule.issue(reports, first), use.name, why, waits=waits)

    async def _ask(
        self, run: Run, n: int, use: AgentUse, reports: Mapping[str, Report],
        ids: Collection[str], may: Collection[str],
    ) -> Any:  # fmt: skip
        """The agent's word on the reports: an outcome of a decision of its own."""
        reason = f"leads round {n}"
        name = "lead" if "lead" not in run.graph else "lead of the run"
        prompt = lead_prompt(run.plan.description, len(reports) - len(ids))
        params = {**use.params, "output_schema": lead_schema(may)}
        return await self._attempts(
            run,
            Assignment(
                task=Task(id=name, prompt=prompt, params=params),
                inputs=lead_inputs(run.graph, reports, ids, may), kind="lead", agent=use.name,
                attempt=run.led.asked.get(reason, run.led.attempt), reason=reason,
            ),
        )  # fmt: skip

    async def _record(
        self, run: Run, n: int, ruled: Ruled, reports: Mapping[str, Report],
        fresh: Collection[str],
    ) -> Mapping[str, Any]:  # fmt: skip
        """The round's row. Reports that an earlier row has are counted, not repeated."""
        context = {
            "round": n,
            "by": ruled.by,
            "broken": ruled.broken,
            "saw": [seen(reports[v]) for v in fresh],
            "earlier": len(reports) - len(fresh),
            "orders": [{"task": o.task_id, **o.written()} for o in ruled.orders],
            "waits": list(ruled.waits),
            "said": ruled.said,
        }
        chosen = tuple(o.task_id for o in ruled.orders) or DONE
        await self._attempts.decider.record(
            run.history, "lead", chosen, attempt=run.led.attempt, policy=ruled.by,
            reason=_in_words(n, ruled), context=context,
        )  # fmt: skip
        run.led.attempt += 1
        run.led.known[n] = context
        return context


def _is_stale(run: Run, v: str, seq: Mapping[str, int]) -> bool:
    """Whether something that ``v`` uses has a reply that was decided on after its own."""
    o = run.outcomes[v]
    used = [run.outcomes[p] for p in run.graph.parents(v) if p in run.outcomes]
    if o.status == "skipped":
        return any(p.reply is not None for p in used)
    own = seq.get(o.decision_id)
    return own is not None and any(seq.get(p.decision_id, 0) > own for p in used)


def _in_words(n: int, ruled: Ruled) -> str:
    """One line for people: the round, who led it, and each reason with its tasks."""
    parts: dict[str, list[str]] = {}
    for o in ruled.orders:
        parts.setdefault(o.reason, []).append(o.task_id)
    told = [f"{_named(ids)}: {reason}" for reason, ids in parts.items()]
    if not told:
        told = ["done: nothing is to be done again, nothing is left to do"]
    if ruled.waits:
        told.append(f"{_named(ruled.waits)}: when what it uses was done again")
    if ruled.broken:
        told.append(f"by the rule: the lead {ruled.broken}")
    head = f"round {n}" + (f", {ruled.why}" if ruled.why else "")
    return f"{head}: {'; '.join(told)}"[:REASON_CHARS]


def _named(ids: Collection[str]) -> str:
    names = list(ids)
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
