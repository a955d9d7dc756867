"""How a run ends: the replies are joined, verified, and summed up."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentroute.errors import UnknownAgentError
from agentroute.execution.answer.crediting import credited
from agentroute.execution.answer.refiners import DEFAULT_REFINER, NOTES, citing, routing_of
from agentroute.execution.judging.sheets import sheet
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.runner import ALL, sinks
from agentroute.execution.trying.approving import Waiting
from agentroute.execution.trying.attempts import Attempts
from agentroute.ledger import Ledger
from agentroute.model.calls import AgentReply
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Feedback
from agentroute.model.plans import AgentUse
from agentroute.model.runs import RunStatus
from agentroute.model.tasks import Task
from agentroute.refining.credit import Credit
from agentroute.refining.joining import by_item, join
from agentroute.registry.registry import Registry

BY_ROUTING = ("routing", "log_odds")
_ITEM = re.compile(r"(.+)\[\d+\]")


@dataclass(frozen=True)
class Ending:
    """The joined answer; ``reply`` is None where there is nothing to say."""

    reply: AgentReply | None
    said: tuple[str, ...] = ()


def terminal(run: Run) -> dict[str, TaskOutcome]:
    """The outcomes that make the answer: those of tasks that nobody waits for."""
    last = (ALL,) if ALL in run.outcomes else sinks(run.graph)
    return {v: run.outcomes[v] for v in last if v in run.outcomes}


class Finisher:
    """Calls the refiner and the verifiers, agents like any other."""

    def __init__(
        self,
        attempts: Attempts,
        registry: Registry,
        ledger: Ledger,
        credit: Credit | None = None,
    ) -> None:
        self._attempts, self._registry, self._ledger = attempts, registry, ledger
        self._credit = credit or Credit()
        self._refiners = attempts.refiners

    async def join(self, run: Run) -> Ending:
        """The answer: a single terminal reply passes through, several go to the refiner.

        A refiner that the graph itself names gets a single reply too, unless it joined the team
        that made it. Items of one ``foreach`` are listed in order, unless the graph or the settings
        name another refiner: they answer different questions. Where there is no ``refiner``, its
        rules join. What the parts cite is cited.
        """
        ends = terminal(run)
        replies = {v: o.reply for v, o in ends.items() if o.reply is not None}
        if not replies:
            return Ending(None)
        use, why = self._refiners.of(run, [run.graph[v] for v in ends if v in run.graph])
        alone = len(ends) == 1
        if alone and not self._also_one(run, next(iter(ends.values())), use):
            return Ending(next(iter(replies.values())))
        brief = self._brief(run, ends)
        if run.plan.refine is None and use == DEFAULT_REFINER:
            joined = _listed_by_item(replies, brief)
            if joined is None and use.name not in self._registry:
                joined = join(replies, prompts=brief["prompts"]), "no agent is called 'refiner'"
            if joined is not None:
                return await self._ruled(run, *joined)
        if not self._refiners.there(use):
            words = f"no agent is called '{use.name}': the replies are listed, not joined"
            return Ending(listed(replies), (words,))
        if self._refiners.is_primary(use):
            use, why = use.model_copy(update={"name": _writer(run, ends)}), "the primary writes"
            brief["notes"] = NOTES
        if use.params.get("weights") in BY_ROUTING:
            brief["routing"] = self._routing(run, ends)
        out = await self._special(run, "refine", use, replies, brief, why)
        said = out.said
        if out.reply is None:
            return Ending(listed(replies), (*said, "the replies are listed, not joined"))
        run.emit("refine.finished", agent=use.name)
        return Ending(citing(out.reply, replies), said)

    def _also_one(self, run: Run, end: TaskOutcome, use: AgentUse) -> bool:
        """Whether a single terminal reply goes to the refiner: the graph says so."""
        named = run.plan.refine is not None and use.name in self._registry
        return named and len(end.agents) == 1 and end.status == "ok"

    def _routing(self, run: Run, ends: Mapping[str, TaskOutcome]) -> dict[str, float]:
        """Of each terminal task: the mean expected utility of all who worked towards it.

        So a chain of tasks is weighed as in Symphony (arXiv 2508.20019) a plan is.
        """
        worth: dict[str, list[float]] = {}
        for v, o in run.outcomes.items():
            if o.decision_id:
                known = routing_of(self._ledger.record(o.decision_id))
                worth[v] = [known[a] for a in o.agents if a in known]
        out = {}
        for v in ends:
            chain = [v, *(run.graph.ancestors(v) if v in run.graph else ())]
            found = [x for u in chain for x in worth.get(u, ())]
            if found:
                out[v] = round(sum(found) / len(found), 4)
        return out

    async def _ruled(self, run: Run, reply: AgentReply, why: str) -> Ending:
        """Joined by rule, without a call: the row says so."""
        await self._attempts.decider.record(
            run.history, "refine", (), policy="rule", reason=f"joined by rule: {why}", wait=False
        )
        run.emit("refine.finished", rule=why)
        return Ending(reply)

    def _brief(self, run: Run, ends: Mapping[str, TaskOutcome]) -> dict[str, Any]:
        """What a refiner is told besides the replies: who made them, what is missing."""
        return {
            "topology": run.plan.topology.value,
            "agents": {v: list(o.agents) for v, o in ends.items()},
            "prompts": {v: run.graph[v].prompt[:500] for v in ends if v in run.graph},
            "missing": [v for v, o in ends.items() if o.reply is None],
        }

    async def _special(
        self,
        run: Run,
        kind: Any,
        use: AgentUse,
        inputs: dict[str, AgentReply],
        params: dict[str, Any],
        why: str = "",
    ) -> TaskOutcome:
        goal = run.plan.description or run.plan.tasks[0].prompt[:2_000]
        notes = params.pop("notes", "")
        prompt = f"{notes}\n{goal}" if notes else goal
        task = Task(id=kind, prompt=prompt, params={**params, **use.params})
        first = first_attempt(run, kind, use.name)
        reason = f"named by the graph or the settings; {why}" if why else ""
        out = await self._attempts(
            run,
            Assignment(
                task=task, inputs=inputs, kind=kind, agent=use.name, attempt=first, reason=reason
            ),
        )
        if isinstance(out, Waiting):
            return TaskOutcome(kind, "failed", said=(f"the {kind} agent waits for approval",))
        return out

    async def verify(self, run: Run, answer: AgentReply | None) -> tuple[dict[str, Any], ...]:
        """Call each of the plan's verifiers, in order: all their scores."""
        rows: list[dict[str, Any]] = []
        for use in run.plan.verifiers:
            rows += await self.verified_by(run, use, answer)
            run.emit("verify.finished", agent=use.name, scores=len(rows))
        return tuple(rows)

    async def verified_by(
        self, run: Run, use: AgentUse, answer: AgentReply | None
    ) -> list[dict[str, Any]]:
        """Call one verifier; its scores become feedback on the tasks' last route decisions.

        A chat agent is shown questions and answers without names; one with code gets every reply.
        What went wrong is added to ``run.said``.

        Raises:
            UnknownAgentError: there is no such agent.
        """
        if use.name not in self._registry:
            raise UnknownAgentError(use.name)
        inputs = {v: o.reply for v, o in run.outcomes.items() if o.reply is not None}
        if answer is not None:
            inputs["answer"] = answer
        judged = self._registry.card(use.name).entrypoint == "chat"
        blind = sheet(run, use.params) if judged else None
        given, told = (blind.inputs, {}) if blind else (inputs, self._who(run))
        out = await self._special(run, "verify", use, given, told)
        run.said += out.said
        if out.reply is None:
            return []
        if self._credit.name != "equal":
            await run.recorded()  # credit is found from what is recorded
        data = blind.scores(out.reply.data) if blind else out.reply.data
        return self._scores(run, use.name, out, data)

    def _who(self, run: Run) -> dict[str, Any]:
        return {"agents": {v: list(o.agents) for v, o in run.outcomes.items()}}

    def _scores(self, run: Run, verifier: str, out: TaskOutcome, data: Any) -> list[dict[str, Any]]:
        found = data.get("scores") if isinstance(data, dict) else None
        if not isinstance(found, list):
            run.said.append(f"verifier '{verifier}': its reply has no data.scores")
            return []
        good = []
        for row in found:
            try:
                good.append(self._feedback(run, verifier, out, row))
            except ValueError as problem:
                run.said.append(f"verifier '{verifier}': {problem}")
        return good

    def _feedback(self, run: Run, verifier: str, out: TaskOutcome, row: Any) -> dict[str, Any]:
        """One score as a feedback row; returned with whose it is and who gave it.

        Raises:
            ValueError: it cannot be used, and why.
        """
        if not isinstance(row, dict) or not _is_score(row.get("score")):
            raise ValueError(f"a score must be a number from 0 to 1: {row!r:.200}")
        task_id, agent = row.get("task_id"), row.get("agent")
        if ALL in run.outcomes:
            task_id = ALL
        decision = run.history.last(str(task_id), "route")
        outcome = run.outcomes.get(str(task_id))
        if decision is None or outcome is None:
            raise ValueError(f"there is no decision for task '{task_id}'")
        if agent == verifier:
            raise ValueError("it may not score itself")
        if agent is None and len(outcome.agents) == 1:
            agent = outcome.agents[0]
        if agent is not None and agent not in outcome.tried:
            raise ValueError(f"'{agent}' did not do task '{task_id}'")
        target = self._decision_of(run, str(task_id), agent, decision.id)
        said = Feedback(
            id=uuid7(),
            target="decision",
            target_id=target,
            agent=agent,
            score=float(row["score"]),
            source=f"verifier:{verifier}",
            method=str(row.get("method", ""))[:500],
            derived_from=out.decision_id,
            idempotency_key=f"{target}:{verifier}:{agent or ''}",
        )
        self._ledger.append(credited(self._ledger, said, self._credit))
        of = {} if agent is None else {"agent": agent}
        whose = {"task_id": str(task_id), "verifier": verifier, "decision_id": target}
        return {**row, **whose, **of}

    def _decision_of(self, run: Run, task_id: str, agent: str | None, last: str) -> str:
        """The latest decision of the task that chose ``agent``."""
        rows = [
            d
            for d in run.history.decisions
            if d.task_id == task_id and d.kind == "route" and (agent is None or agent in d.chosen)
        ]
        return max(rows, key=lambda d: d.attempt).id if rows else last


def _writer(run: Run, ends: Mapping[str, TaskOutcome]) -> str:
    """Who did the heaviest of the tasks that have an answer, the first of equals."""
    there = [v for v, o in ends.items() if o.reply is not None]
    v = max(there, key=lambda v: run.graph[v].weight if v in run.graph else 0.0)
    return ends[v].agents[0]


def _listed_by_item(
    replies: Mapping[str, AgentReply], brief: Mapping[str, Any]
) -> tuple[AgentReply, str] | None:
    """The items of one ``foreach`` as a list, and why; None where these are no such items."""
    found = {v: _ITEM.fullmatch(v) for v in brief["agents"]}
    names = {m[1] for m in found.values() if m}
    if len(names) != 1 or not all(found.values()):
        return None
    reply = by_item(replies, brief["prompts"], missing=brief["missing"])
    return reply, f"each item of '{names.pop()}' is a question of its own"


def first_attempt(run: Run, kind: Any, agent: str) -> int:
    """Where this use of the agent begins: at its row of an earlier life, else after the last.

    A use begins with a row of policy ``named``; retries and fallbacks follow it. This life's n-th
    use of the agent is the earlier one's n-th.
    """
    run.uses[kind, agent] += 1
    last = run.history.last("", kind)
    n = run.uses[kind, agent]
    for attempt in range(1, (last.attempt if last else 0) + 1):
        d = run.history.decision("", kind, attempt)
        n -= d is not None and agent in d.chosen and d.policy == "named"
        if n == 0:
            return attempt
    return last.attempt + 1 if last else 1


def _is_score(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and 0.0 <= value <= 1.0


def listed(replies: Mapping[str, AgentReply]) -> AgentReply:
    """The replies one under the other, each with its task's id: when nobody can join them."""
    return AgentReply(
        text="\n\n".join(f"[{v}]\n{r.text}" for v, r in replies.items()),
        data={v: r.data for v, r in replies.items()},
        artifacts=tuple(a for r in replies.values() for a in r.artifacts),
        citations=tuple(c for r in replies.values() for c in r.citations),
        abstained=all(r.abstained for r in replies.values()),
    )


def status_of(run: Run, ending: Ending, failed_when: str) -> RunStatus:
    """The run's status in one word; ``run.said`` is what went wrong."""
    ends = terminal(run).values()
    if run.pending:
        return "waiting"
    if ending.reply is None:
        return "abstained" if any(o.status == "abstained" for o in ends) else "failed"
    if failed_when:
        return "failed"
    if all(o.status == "abstained" for o in ends):
        return "abstained"
    return "degraded" if run.said else "completed"
