"""An answer that is not of the type that was asked for is asked for once more, with the fault."""

from __future__ import annotations

from agentroute.adapters.untrusted import one_line
from agentroute.execution.ending import Ending, first_attempt, terminal
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.runner import inputs_of
from agentroute.execution.trying.approving import Waiting
from agentroute.execution.trying.attempts import Attempts
from agentroute.model.calls import AgentReply
from agentroute.model.tasks import Task
from agentroute.planning.shapes import shape_of
from agentroute.registry.registry import Registry

FAULT = 4_000  # characters of what is wrong, the schema included
ID = "refit"


async def fitted(run: Run, ending: Ending, attempts: Attempts, registry: Registry) -> Ending:
    """``ending``, or what whoever gave it said when told what is wrong with it.

    Whoever joined is asked, else the one agent of the last task; once, in a ``refine`` decision of
    its own. Nobody is asked who abstained, who answered as one of a team that was joined by rule,
    or who may only be called with an approval. A second misfit changes nothing.
    """
    reply = ending.reply
    if reply is None or reply.abstained or run.misfit is None or not (words := run.misfit(reply)):
        return ending
    who = _speaker(run)
    if not who or registry[who].card.requires_approval:
        return ending
    out = await attempts(run, _order(run, who, reply, one_line(words, FAULT)))
    if isinstance(out, Waiting) or out.reply is None:
        said = () if isinstance(out, Waiting) else out.said
        return Ending(reply, (*ending.said, *said))
    new = out.reply.model_copy(
        update={
            "citations": tuple(dict.fromkeys([*out.reply.citations, *reply.citations])),
            "artifacts": out.reply.artifacts or reply.artifacts,
        }
    )
    return ending if run.misfit(new) else Ending(new, (*ending.said, *out.said))


def _order(run: Run, who: str, reply: AgentReply, fault: str) -> Assignment:
    ends = terminal(run)
    inputs: dict[str, AgentReply] = {}
    prompt, params = run.plan.description or run.plan.tasks[0].prompt, {}
    if len(ends) == 1 and (v := next(iter(ends))) in run.graph:
        task = run.graph[v]
        prompt, params = task.prompt, task.params
        inputs = inputs_of(shape_of(run.plan.topology), run.graph, v, run.outcomes)
    elif len(ends) > 1:
        inputs = {v: o.reply for v, o in ends.items() if o.reply is not None}
    prompt = f"{prompt}\n\nYour answer, an input now, cannot be used: {fault}"
    return Assignment(
        task=Task(id=ID, prompt=prompt, params=params), inputs={**inputs, "your_answer": reply},
        kind="refine", agent=who, attempt=first_attempt(run, "refine", who),
        reason=f"the answer of {who} did not fit the type that was asked for: asked once more",
    )  # fmt: skip


def _speaker(run: Run) -> str:
    """Whose words the answer is; '' where it was joined by rule."""
    ends = terminal(run)
    v, end = next(iter(ends.items()))
    about = "" if len(ends) > 1 else v
    for task_id in dict.fromkeys(("", about)):
        joined = run.history.last(task_id, "refine")
        if joined is not None:
            return next(iter(joined.chosen), "")
    return end.agents[0] if len(ends) == 1 and len(end.agents) == 1 else ""
