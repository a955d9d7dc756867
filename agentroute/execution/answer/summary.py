"""A run's result: status, answer, what was degraded, what was used, which files stay."""

from __future__ import annotations

import time

from agentroute.execution.answer.acceptance import Judged
from agentroute.execution.answer.goal import broke
from agentroute.execution.answer.stamping import stamped
from agentroute.execution.ending import Ending, status_of, terminal
from agentroute.execution.progress import Run
from agentroute.model.calls import Artifact
from agentroute.model.runs import RunResult, RunUsage, TaskEnd
from agentroute.refining.refusal import refuse

REASON = 500  # characters of why a step failed that a refusal repeats


def summarise(run: Run, judged: Judged) -> RunResult:
    """Everything a caller is told; fills ``run.said`` with what is found wrong here.

    What was not accepted says so first: in ``degraded``, in the answer and in its files.
    """
    ending, verdict = judged.ending, judged.verdict
    low = verdict.words if verdict is not None and not verdict.accepted else ""
    run.said = [*filter(None, [low]), *judged.said]
    artifacts = _artifacts(run, ending)
    wanted = run.plan.artifact
    if (
        wanted
        and ending.reply is not None
        and not any(wanted in (a.name, a.name.rpartition(".")[0]) for a in artifacts)
    ):
        run.said.append(f"the artefact '{wanted}' was not made")
    failed_when = broke(run.plan.fail_when, ending.reply)
    if failed_when:
        run.said.append(failed_when)
    if ending.reply is None and not run.pending and not run.said:
        run.said.append("there is no answer: no task that it needs has a reply")
    reply = ending.reply
    answer = reply.text if reply else _refusal(run)
    return RunResult(
        run_id=run.run_id,
        status=status_of(run, ending, failed_when),
        topology=run.plan.topology.value,
        answer=f"{low}\n\n{answer}" if low else answer,
        data=reply.data if reply else None,
        degraded=tuple(dict.fromkeys(run.said)),
        decisions=run.history.decisions,
        usage=_usage(run),
        artifacts=stamped(run, artifacts, verdict),
        replies={v: o.reply for v, o in run.outcomes.items() if o.reply is not None},
        waiting={str(q["task_id"]): tuple(q["agents"]) for q in run.pending.values()},
        scores=judged.scores,
        verdict=verdict,
        tasks={
            o.task_id: TaskEnd(status=o.status, agents=o.agents, tried=o.tried, said=o.said)
            for o in run.in_order
        },
        goal_missed=(failed_when,) if failed_when else (),
    )


def _refusal(run: Run) -> str:
    """In place of an answer: who was asked, and why not.

    '' where nobody was asked, or somebody waits.
    """
    asked = any(o.tried for o in run.outcomes.values())
    if run.pending or not asked:
        return ""
    ends = terminal(run)
    why = {v: "; ".join(o.said)[:REASON] or o.status for v, o in ends.items()}
    if len(ends) == 1:
        why = {", ".join(o.tried) or v: why[v] for v, o in ends.items()}
    return refuse(why).text


def _artifacts(run: Run, ending: Ending) -> tuple[Artifact, ...]:
    """The answer's files first, then those of terminal tasks, then the others'; once each."""
    replies = [ending.reply, *(o.reply for o in terminal(run).values())]
    replies += [o.reply for o in run.outcomes.values()]
    found = {a.path: a for r in replies if r is not None for a in r.artifacts}
    return tuple(found.values())


def _usage(run: Run) -> RunUsage:
    """Sums over all calls of the run, those of an earlier life included; shadows left out."""
    made = run.history.all_outcomes
    return RunUsage(
        calls=len(made),
        tokens=sum(o.tokens for o in made),
        cost_usd=sum(o.cost_usd for o in made),
        wall_s=time.monotonic() - run.began,
    )
