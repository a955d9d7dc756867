"""Answers that do not agree are worked out again in a closer shape, a bounded number of times.

Algorithm 2 of AdaptOrch (arXiv 2602.16873): the consistency CS of the answers says whether they
are merged; below ``theta`` whoever joins is to arbitrate, and where what comes of it is no nearer
to them, the coupling gamma is raised by 0.2, the shape is chosen anew and the tasks are done again
in it. The paper's bound rests on the shape changing, which up to five tasks it need not; here
gamma ends at 1 and ``most`` bounds the rounds, so it ends whatever the agents say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentroute.execution.ending import Ending, Finisher, terminal
from agentroute.execution.progress import Run
from agentroute.execution.results import TaskOutcome
from agentroute.execution.runner import Runner, told
from agentroute.execution.trying.attempts import Attempts
from agentroute.model.calls import AgentReply
from agentroute.model.plans import Plan, TopologyChoice
from agentroute.planning.topology import recoupled
from agentroute.refining.agreement import consistency

STEP = 0.2


@dataclass(frozen=True)
class Round:
    """A shape's outcomes, their joined answer and its consistency."""

    plan: Plan
    outcomes: dict[str, TaskOutcome]
    ending: Ending
    cs: float


class Synthesis:
    """Joins a run's answers; with a plan's ``synthesis`` it looks whether they agree."""

    def __init__(self, attempts: Attempts, runner: Runner, finisher: Finisher) -> None:
        self._attempts, self._runner, self._finisher = attempts, runner, finisher

    async def join(self, run: Run) -> Ending:
        """The answer. What is reported of its consistency are rows of kind ``topology``, and a word
        in ``said`` where it stayed low.
        """
        rule = run.synthesis
        first = await self._finisher.join(run)
        answers = self._answers(run)
        if rule is None or len(answers) < 2 or first.reply is None:
            return first
        best = Round(run.plan, dict(run.outcomes), first, await self._cs(answers, first.reply))
        if best.cs >= rule.theta:
            why = f"consistency {best.cs:.2f}, at least {rule.theta:.2f}: merged"
            await self._row(run, run.plan.choice, why, best.cs)
            return first
        for _ in range(rule.most - run.rerouted):
            choice = closer(run.plan.choice)
            if choice is None or run.left_s <= 0 or run.pending:
                break
            run.rerouted += 1
            why = (
                f"consistency {best.cs:.2f}, below {rule.theta:.2f}: gamma "
                f"{run.plan.choice.stats.gamma:.2f} raised to {choice.stats.gamma:.2f}; "
                f"{choice.reason}"
            )
            await self._row(run, choice, why, best.cs)
            run.plan = run.plan.model_copy(update={"choice": choice})
            if not await self._runner.anew(run, why):
                break
            ending = await self._finisher.join(run)
            answers = self._answers(run)
            if ending.reply is None or not answers:
                break
            cs = await self._cs(answers, ending.reply)
            found = Round(run.plan, dict(run.outcomes), ending, cs)
            best = max(best, found, key=lambda r: r.cs)
            if found.cs >= rule.theta:
                break
        run.plan, run.outcomes = best.plan, best.outcomes
        run.said = told(run)
        if best.cs >= rule.theta:
            return best.ending
        words = f"the answers do not agree: consistency {best.cs:.2f}, below {rule.theta:.2f}"
        return Ending(best.ending.reply, (*best.ending.said, words))

    def _answers(self, run: Run) -> dict[str, AgentReply]:
        found = {v: o.reply for v, o in terminal(run).items() if o.reply is not None}
        return {v: r for v, r in found.items() if not r.abstained}

    async def _cs(self, answers: Mapping[str, AgentReply], joined: AgentReply) -> float:
        """CS of the answers, or of what an arbiter made of them where that is nearer to all."""
        said = [_words(r) for r in answers.values()]
        x = await self._attempts.decider.vectors([*said, _words(joined)])
        return max(consistency(x[:-1]), consistency(x[-1:], x[:-1]))

    async def _row(self, run: Run, choice: TopologyChoice, why: str, cs: float) -> None:
        """One row of kind ``topology`` a look; a row of an earlier life stands."""
        n = 2 + run.looked
        run.looked += 1
        if run.history.decision("", "topology", n) is not None:
            return
        context: dict[str, Any] = {**choice.model_dump(mode="json"), "consistency": cs}
        await self._attempts.decider.record(
            run.history, "topology", (choice.topology.value,), attempt=n, policy="adaptorch",
            reason=why, context=context,
        )  # fmt: skip


def closer(choice: TopologyChoice) -> TopologyChoice | None:
    """The next shape that a higher coupling asks for; None where gamma 1 asks for no other, or
    where the shape was asked for by the caller.

    A shape that stays the same would bring the same work again: gamma is raised further instead.
    """
    gamma = 1.0 if choice.branch == "override" else choice.stats.gamma
    while gamma < 1.0:
        gamma = min(1.0, gamma + STEP)
        found = recoupled(choice, gamma)
        if found.topology is not choice.topology:
            return found
    return None


def _words(reply: AgentReply) -> str:
    return reply.text or str(reply.data)
