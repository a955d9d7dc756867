"""Whether answers are enough: the depth policy is asked after each round, each step is a row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from agentroute.choosing.depth import Depth, make_depth
from agentroute.choosing.depth.protocol import (
    Accept,
    Answer,
    AskMore,
    Escalate,
    Seen,
    Step,
    Stepwise,
    bounded,
    is_stepwise,
)
from agentroute.execution.answer.teams import with_team
from agentroute.execution.decider import Decider
from agentroute.execution.langgraph.modes import mode_structure
from agentroute.execution.progress import Assignment, Run
from agentroute.execution.results import TaskOutcome, speaking
from agentroute.execution.ruling import Ruling
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import Decision
from agentroute.model.ids import keyed_rng, uuid7
from agentroute.model.outcomes import Feedback
from agentroute.model.tasks import Task
from agentroute.refining.agreement import modal_share, sigma
from agentroute.refining.answerkey import answer_key

Carry = Callable[[Run, Assignment], Awaitable[Any]]


@dataclass
class Gathered:
    """What the rounds of one task brought so far; ``depth`` None where nobody looks at it.

    ``first`` is how many were asked at once at first.
    """

    depth: Stepwise | None = None
    last: Decision | None = None
    replies: dict[str, AgentReply] = field(default_factory=dict)
    expected: dict[str, float] = field(default_factory=dict)
    verified: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    left: int = 0
    steps: int = 0
    first: int = 1

    def add(self, ruling: Ruling, good: Mapping[str, AgentReply]) -> None:
        """A round: who was asked, what was expected of them, what they said."""
        chosen, record = ruling.decision.chosen, ruling.record
        self.last = ruling.decision
        self.asked += [a for a in chosen if a not in self.asked]
        self.replies |= good
        if record is None or record.request is None or record.scores is None:
            return  # a retry or a fallback: nobody was chosen among others
        names = [str(n) for n in record.request.candidates.names]
        self.left = len(names) - len(set(chosen))
        mean = record.scores.mean
        self.expected |= {a: _probability(mean[names.index(a)]) for a in chosen if a in names}

    def closed(self) -> Gathered:
        """Itself, with nobody left to ask."""
        self.left = 0
        return self

    def kept(self, step: Step) -> tuple[AgentReply | None, tuple[str, ...]]:
        """The reply that stands as it is, None where all are to be joined; whose it is."""
        heard = speaking(self.replies)
        agents = (step.agents if isinstance(step, Accept) else None) or ()
        alike = [a for a in agents if a in heard]
        if not alike:
            return None, tuple(self.replies)
        best = max(alike, key=lambda a: self.expected.get(a, 0.5))
        others = heard if len(heard) > 1 else {}
        return (with_team(heard[best], others) if others else heard[best]), tuple(alike)

    def seen(self) -> Seen:
        """As the depth policy sees it; answers are compared by kind."""
        heard = speaking(self.replies)
        answers = tuple(
            Answer(
                a, answer_key(r.text or str(r.data)), self.expected.get(a, 0.5), r.confidence,
                self.verified.get(a),
            )
            for a, r in heard.items()
        )  # fmt: skip
        keys = [a.key for a in answers]
        disagreement = sigma(keys, key=str) if keys else 0.0
        return Seen(answers, disagreement, len(self.asked), self.left)


def depth_of(task: Task, depth: Depth) -> Depth:
    """The task's own depth policy, else ``depth``."""
    return depth if task.depth is None else make_depth(task.depth)


def stepwise(run: Run, work: Assignment) -> Stepwise | None:
    """The task's depth policy where it looks at answers, and who does it is chosen freely."""
    depth = depth_of(work.task, run.rules.depth)
    free = work.kind == "route" and work.agent is None
    return depth if free and is_stepwise(depth) else None


async def next_step(
    carry: Carry, decider: Decider, run: Run, work: Assignment, g: Gathered
) -> tuple[Step, tuple[str, ...]]:
    """What the policy does now, committed as a row of kind ``depth``; what went wrong in words.

    A row of an earlier life is followed, not decided again. Whatever the policy says, nobody is
    asked beyond its ``k_max`` or when there is nobody left.
    """
    depth = g.depth
    assert depth is not None
    g.steps += 1
    known = run.history.decision(work.task.id, "depth", g.steps)
    said = await _verify(carry, decider, run, work, g)
    seen = g.seen()
    rng = keyed_rng(run.rules.seed, run.run_id, work.task.id, "depth", g.steps)
    step = bounded(depth.next(seen, rng), depth, seen) if known is None else _of_row(known)
    if known is None:
        context = {**_context(depth, seen, step), "plan": mode_structure(g.first)}
        await decider.record(
            run.history, "depth", step_words(step), task_id=work.task.id, attempt=g.steps,
            policy=depth.name, reason=step.reason, context=context,
            propensity=step.propensity, seed=run.rules.seed,
        )  # fmt: skip
    return step, said


def step_words(step: Step) -> tuple[str, ...]:
    """The step as ``chosen`` of its row: a word, and whose answers stand or how many more."""
    if isinstance(step, AskMore):
        return ("ask", str(step.k))
    if isinstance(step, Accept):
        short = ("short",) if step.short else ()
        return ("accept", *(step.agents or ()), *short)
    return ("escalate",)


def _of_row(row: Decision) -> Step:
    """The inverse of ``step_words``."""
    word, *rest = row.chosen
    if word == "ask":
        return AskMore(int(rest[0]), row.reason, row.propensity)
    if word == "escalate":
        return Escalate(row.reason, row.propensity)
    short = row.reason if rest[-1:] == ["short"] else ""
    agents = tuple(rest[:-1] if short else rest)
    return Accept(agents or None, row.reason, row.propensity, short)


def _context(depth: Stepwise, seen: Seen, step: Step) -> dict[str, Any]:
    """All that the step rests on: from it and the row's seed it can be taken again."""
    keys = [a.key for a in seen.answers]
    group = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    params: dict[str, Any] = (
        asdict(depth) if is_dataclass(depth) and not isinstance(depth, type) else {}
    )
    return {
        "params": {k: v for k, v in params.items() if k != "name"},
        "sigma": seen.sigma,
        "modal_share": modal_share(keys, key=str) if keys else None,
        "asked": seen.asked,
        "left": seen.left,
        "answers": [
            {"agent": a.agent, "group": group[a.key], "expected": a.expected,
             "confidence": a.confidence, "verified": a.verified}
            for a in seen.answers
        ],
        "step": type(step).__name__,
    }  # fmt: skip


async def _verify(
    carry: Carry, decider: Decider, run: Run, work: Assignment, g: Gathered
) -> tuple[str, ...]:
    """Scores of the answers that nobody scored yet, where the policy names who scores."""
    name, decision = getattr(g.depth, "verifier", None), g.last
    said: list[str] = []
    if not name or decision is None:
        return ()
    for agent, reply in speaking(g.replies).items():
        if agent in g.verified or agent not in decision.chosen:
            continue
        task = work.task
        out = await carry(
            run,
            Assignment(
                task=Task(
                    id=f"{task.id}.verify"[:200], prompt=task.prompt,
                    params={"tasks": [task.id], "expected": task.params.get("expected")},
                ),
                inputs={task.id: reply}, kind="verify", agent=name, about=task.id,
                attempt=_attempt(run, task.id, agent), reason=f"scores the answer of {agent}",
            ),
        )  # fmt: skip
        score = _score(out)
        if score is None:
            said.append(f"task '{task.id}': '{name}' gave no score for the answer of {agent}")
            continue
        g.verified[agent] = score
        key = f"{decision.id}:{name}:{agent}"
        decider.ledger.append(
            Feedback(
                id=uuid7(), target="decision", target_id=decision.id, agent=agent, score=score,
                source=f"verifier:{name}", method="depth", derived_from=out.decision_id,
                idempotency_key=key,
            )
        )  # fmt: skip
    return tuple(said)


def _attempt(run: Run, task_id: str, agent: str) -> int:
    rows = [d for d in run.history.decisions if (d.task_id, d.kind) == (task_id, "verify")]
    known = (d.attempt for d in rows if d.reason == f"scores the answer of {agent}")
    return next(known, None) or max((d.attempt for d in rows), default=0) + 1


def _score(out: Any) -> float | None:
    """A verifier's score, from ``data.scores`` or ``data.score``; None where it is not one."""
    if not isinstance(out, TaskOutcome) or out.reply is None:
        return None
    data = out.reply.data if isinstance(out.reply.data, dict) else {}
    rows = data.get("scores")
    value = rows[0].get("score") if isinstance(rows, list) and rows and isinstance(
        rows[0], dict
    ) else data.get("score")  # fmt: skip
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def _probability(x: Any) -> float:
    return float(x) if x == x else 0.0
