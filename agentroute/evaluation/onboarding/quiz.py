"""A quiz: the past tasks that tell most about a new agent, asked of it as ordinary runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import time

import numpy as np

from agentroute.adapters.client import endpoint_configured
from agentroute.errors import AgentRouteError, UsageError
from agentroute.evaluation.onboarding.pool import Past, known_agents, past_tasks, verifiers_of
from agentroute.features.text import encoded
from agentroute.model.arrays import F64
from agentroute.model.plans import AgentUse, Plan
from agentroute.model.runs import RunResult
from agentroute.model.tasks import Task
from agentroute.orchestrator import OnEvent, Orchestrator
from agentroute.registry.eligibility import Eligible, eligible
from agentroute.routers.parts.quiz import choose_quiz, discrimination

SIZE = 20  # 20 to 50 tell enough of an agent (LLM Bandit, 2025)
NEVER = ("draft", "shadow", "retired")


@dataclass(frozen=True, slots=True)
class Question:
    """A past task, pinned to the new agent. ``spread``: the standard deviation of the qualities
    that the router expects of the others; ``believed``: the quality that it expects of the agent.
    """

    past: Past
    plan: Plan
    spread: float
    believed: float


@dataclass(frozen=True, slots=True)
class Quiz:
    """The questions, most telling first, out of ``pool``; how many tasks were left out, and why.

    ``believed`` is the mean quality that the router expects of the agent over the pool.
    """

    agent: str
    policy: str
    questions: tuple[Question, ...]
    pool: tuple[Past, ...]
    believed: float
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question. ``score``: the mean of what was said of the run so far, None where
    nobody said anything; ``failed``: the agent's error, which counts as a score of 0.
    """

    question: Question
    result: RunResult
    score: float | None
    failed: bool
    believed: float = float("nan")

    @property
    def needs_score(self) -> bool:
        """Whether somebody must still say how good it was."""
        return self.score is None and not self.failed and self.result.status != "waiting"


@dataclass(frozen=True, slots=True)
class Held:
    """A quiz that was held: the answers, why it stopped early, dollars, and the mean quality that
    the router now expects of the agent over the quiz's whole pool.
    """

    quiz: Quiz
    answers: tuple[Answer, ...]
    stopped: str
    cost_usd: float
    believed: float


async def choose(
    orc: Orchestrator, agent: str, size: int = SIZE, *, verifier: str | None = None
) -> Quiz:
    """The ``size`` tasks of the ledger that tell most about ``agent``; calls and writes nothing.

    Most telling: on which the agents that were called before differ most by what the router
    expects, and that are least like the ones picked before (``choose_quiz``). A task keeps the
    verifiers that it had alone, where they are still there; ``verifier`` stands over them.

    Raises:
        UnknownAgentError: there is no such agent.
        UsageError: it is never asked, there are fewer tasks, or the router asks a model.
    """
    card = orc.registry.card(agent)
    if card.status in NEVER:
        raise UsageError(
            f"'{agent}' is {card.status}, and is never asked",
            hint=f"agentroute agents promote {agent} canary",
        )
    pool, known = past_tasks(orc.ledger, agent), known_agents(orc.ledger) - {agent}
    left = Counter(pool.left_out)
    able: list[Past] = []
    rivals: list[set[str]] = []
    for past in pool.tasks:
        who = _candidates(orc, past.task)
        if agent in who.candidates.names:
            able.append(past)
            rivals.append(known & {str(n) for n in who.candidates.names})
        else:
            left[f"it may not be asked: {who.excluded()[agent]}"] += 1
    if not 1 <= size <= len(able):
        raise _too_few(agent, size, len(able), left)
    names = [agent, *sorted(set().union(*rivals))]
    means = await orc.expected([p.task for p in able], names)
    others = np.where([[n in r for n in names[1:]] for r in rivals], means[:, 1:], np.nan)
    picked = choose_quiz(others, await _places(orc, able), size)
    telling = discrimination(others)
    questions = tuple(
        Question(
            able[i], _plan(orc, able[i], agent, verifier), float(telling[i]), float(means[i, 0])
        )
        for i in picked
    )
    policy = orc.learned()[0].policy
    return Quiz(agent, policy, questions, tuple(able), float(means[:, 0].mean()), dict(left))


async def hold(
    orc: Orchestrator, quiz: Quiz, *, budget_usd: float | None = None,
    on_event: OnEvent | None = None,
) -> Held:  # fmt: skip
    """Ask the questions one after another, each an ordinary run pinned to the agent.

    The runs carry the tag ``quiz:AGENT`` and, in their metadata, which question they are. The quiz
    as a whole stays within ``budget_usd``; it stops where the agent may not be asked any more.
    """
    answers: list[Answer] = []
    spent, stopped = 0.0, ""
    for place, q in enumerate(quiz.questions, 1):
        left = None if budget_usd is None else max(0.0, budget_usd - spent)
        if stopped := _barred(orc, q.past.task, quiz.agent, left):
            break
        about = {"place": place, "of": len(quiz.questions), "decision": q.past.decision_id}
        result = await orc.run(
            q.plan, budget_usd=left, on_event=on_event, tags=(f"quiz:{quiz.agent}",),
            metadata={"quiz": {**about, "spread": round(q.spread, 6)}},
        )  # fmt: skip
        spent += result.usage.cost_usd
        answers.append(_answer(orc, q, result))
    after = await orc.expected([p.task for p in quiz.pool], [quiz.agent])
    now = {p.decision_id: float(x) for p, x in zip(quiz.pool, after[:, 0], strict=True)}
    told = tuple(replace(a, believed=now[a.question.past.decision_id]) for a in answers)
    return Held(quiz, told, stopped, spent, float(after.mean()))


def _candidates(
    orc: Orchestrator, task: Task, *, only: str | None = None, left_usd: float | None = None
) -> Eligible:
    cards = orc.registry.cardset(orc.embedder)
    return eligible(
        cards, orc.registry.live, task, only=only, budget_left_usd=left_usd,
        chat_ready=endpoint_configured(), now_s=time(),
    )  # fmt: skip


def _barred(orc: Orchestrator, task: Task, agent: str, left_usd: float | None) -> str:
    """Why the agent may not be asked the task now, with so much money left; '' where it may."""
    return _candidates(orc, task, only=agent, left_usd=left_usd).excluded().get(agent, "")


def _too_few(agent: str, size: int, m: int, left: Counter[str]) -> UsageError:
    why = "".join(f"; {n} {reason}" for reason, n in sorted(left.items()))
    hint = f"--size {m}, or record more with agentroute run" if m else "agentroute run records some"
    return UsageError(
        f"a quiz of {size} cannot be chosen from {m} tasks that the ledger has for '{agent}'{why}",
        hint=hint if size > m else "--size 1 or more",
    )


async def _places(orc: Orchestrator, tasks: Sequence[Past]) -> F64:
    """(m, e + kinds) where the tasks lie: their embeddings, and a column for each kind of task."""
    kinds = sorted({p.task.kind for p in tasks})
    of_kind = np.eye(len(kinds))[[kinds.index(p.task.kind) for p in tasks]]
    embedded = await encoded(orc.embedder, [p.task.prompt for p in tasks])
    return np.concatenate([embedded.astype(np.float64), of_kind], axis=1)


def _plan(orc: Orchestrator, past: Past, agent: str, verifier: str | None) -> Plan:
    plan = orc.plan(past.task.model_copy(update={"agent": agent}))
    if verifier is not None:
        return orc.plan(plan.model_copy(update={"verifiers": (AgentUse(name=verifier),)}))
    try:
        return orc.plan(plan.model_copy(update={"verifiers": verifiers_of(orc.ledger, past)}))
    except AgentRouteError:  # who scored it then is not there now: it is scored by hand
        return plan


def _answer(orc: Orchestrator, q: Question, result: RunResult) -> Answer:
    said = [f.score for f in orc.ledger.feedback(result.run_id)]
    outcomes = [o for o in orc.ledger.outcomes(result.run_id) if o.agent == q.plan.tasks[0].agent]
    failed = bool(outcomes) and all(o.error is not None for o in outcomes)
    return Answer(q, result, float(np.mean(said)) if said else None, failed)
