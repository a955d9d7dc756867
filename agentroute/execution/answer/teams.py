"""A team's answer is one answer: the refiner joins what its members say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome, speaking
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import Decision
from agentroute.model.plans import AgentUse
from agentroute.model.tasks import Task
from agentroute.refining.joining import join

DEFAULT_REFINER = AgentUse(name="refiner")
Carry = Callable[[Run, Assignment], Awaitable[Any]]


async def join_team(
    carry: Carry, run: Run, work: Assignment, decision: Decision, replies: Mapping[str, AgentReply],
    use: AgentUse | None,
) -> tuple[AgentReply, tuple[str, ...]]:  # fmt: skip
    """One reply of a team's, and what went wrong on the way.

    ``use`` is the refiner, None where there is none: then the library's own rules join, as they do
    where it fails. Members that abstain are left out; one that is left passes through.
    ``data.team`` keeps what each said.
    """
    heard = speaking(replies)
    if use is None or len(heard) < 2:
        return with_team(join(heard or replies), heard or replies), ()
    prompts = dict.fromkeys(heard, work.task.prompt[:500])
    params = {"agents": {a: [a] for a in heard}, "prompts": prompts, **use.params}
    reason = f"joins the team of decision {decision.id}"
    out = await carry(
        run,
        Assignment(
            task=Task(id=f"{work.task.id}.refine"[:200], prompt=work.task.prompt, params=params),
            inputs=heard, kind="refine", agent=use.name, about=work.task.id,
            attempt=_attempt(run, work.task.id, reason), reason=reason,
        ),
    )  # fmt: skip
    if isinstance(out, TaskOutcome) and out.reply is not None:
        return with_team(out.reply, heard), out.said
    said = out.said if isinstance(out, TaskOutcome) else (f"'{use.name}' waits for approval",)
    words = f"task '{work.task.id}': its team was joined by rule, '{use.name}' did not answer"
    return with_team(join(heard), heard), (*said, words)


def with_team(reply: AgentReply, members: Mapping[str, AgentReply]) -> AgentReply:
    """``reply`` with ``data.team``, what each member said, and everything that they cite."""
    team = {a: {"text": r.text, "data": r.data} for a, r in members.items()}
    own = reply.data if isinstance(reply.data, dict) else {"value": reply.data}
    data = {**({} if reply.data is None else own), "team": team}
    cited = [*reply.citations, *(c for r in members.values() for c in r.citations)]
    return reply.model_copy(update={"data": data, "citations": tuple(dict.fromkeys(cited))})


def _attempt(run: Run, task_id: str, reason: str) -> int:
    """Where this joining began in an earlier life of the run, else after the last one's rows."""
    rows = [d for d in run.history.decisions if d.task_id == task_id and d.kind == "refine"]
    known = next((d.attempt for d in rows if d.reason == reason), None)
    return known or max((d.attempt for d in rows), default=0) + 1
