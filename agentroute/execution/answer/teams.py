"""A team's answer is one answer: the refiner joins what its members say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agentroute.execution.answer.refiners import NOTES, Refiners, citing, routing_of
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome, speaking
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.tasks import Task
from agentroute.refining.joining import join

Carry = Callable[[Run, Assignment], Awaitable[Any]]


async def join_team(
    carry: Carry, run: Run, work: Assignment, record: DecisionRecord | Decision,
    replies: Mapping[str, AgentReply], refiners: Refiners,
    expected: Mapping[str, float] | None = None,
) -> tuple[AgentReply, tuple[str, ...]]:  # fmt: skip
    """One reply of a team's, and what went wrong on the way.

    The refiner joins; where there is none, or it fails, the library's own rules do. Members that
    abstain are left out; one that is left passes through. ``primary``: the member that the router
    valued most writes the answer, with what all said as its inputs. ``data.team`` keeps what each
    said, and everything that members cite is cited. ``expected`` is what the router expected of
    members that earlier decisions chose.
    """
    heard = speaking(replies)
    use, why = refiners.of(run, [work.task])
    if len(heard) < 2 or not refiners.there(use):
        return with_team(join(heard or replies), heard or replies), ()
    decision = record.decision if isinstance(record, DecisionRecord) else record
    before = {a: round(m, 4) for a, m in (expected or {}).items() if a in heard}
    routing = before | routing_of(record if isinstance(record, DecisionRecord) else None)
    prompts, name, prompt = dict.fromkeys(heard, work.task.prompt[:500]), use.name, work.task.prompt
    if refiners.is_primary(use):
        name = max(heard, key=lambda a: routing.get(a, 0.0))
        prompt, why = f"{NOTES}\n{prompt}", "the primary writes"
    params = {"agents": {a: [a] for a in heard}, "prompts": prompts, "routing": routing}
    reason = "; ".join(filter(None, (f"joins the team of decision {decision.id}", why)))
    out = await carry(
        run,
        Assignment(
            task=Task(id=f"{work.task.id}.refine"[:200], prompt=prompt,
                      features=work.task.features, params={**params, **use.params}),
            inputs=heard, kind="refine", agent=name, about=work.task.id,
            attempt=_attempt(run, work.task.id, reason), reason=reason,
        ),
    )  # fmt: skip
    if isinstance(out, TaskOutcome) and out.reply is not None:
        return with_team(out.reply, heard), out.said
    said = out.said if isinstance(out, TaskOutcome) else (f"'{name}' waits for approval",)
    words = f"task '{work.task.id}': its team was joined by rule, '{name}' did not answer"
    return with_team(join(heard, routing=routing), heard), (*said, words)


def with_team(reply: AgentReply, members: Mapping[str, AgentReply]) -> AgentReply:
    """``reply`` with ``data.team``, what each member said, and everything that they cite."""
    team = {a: {"text": r.text, "data": r.data} for a, r in members.items()}
    own = reply.data if isinstance(reply.data, dict) else {"value": reply.data}
    data = {**({} if reply.data is None else own), "team": team}
    return citing(reply.model_copy(update={"data": data}), members)


def _attempt(run: Run, task_id: str, reason: str) -> int:
    """Where this joining began in an earlier life of the run, else after the last one's rows."""
    rows = [d for d in run.history.decisions if d.task_id == task_id and d.kind == "refine"]
    known = next((d.attempt for d in rows if d.reason == reason), None)
    return known or max((d.attempt for d in rows), default=0) + 1
