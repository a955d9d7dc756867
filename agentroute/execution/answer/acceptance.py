"""Whether an answer is good enough, and the one more try that it gets where it is not.

Verified scores are held against ``accept_at``. The tasks that were scored below it go once to other
agents, whatever used their replies is done again, and the answer is joined and verified anew. The
better of the two answers is the run's; a low one says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentroute.execution.answer.refit import fitted
from agentroute.execution.answer.synthesis import Synthesis
from agentroute.execution.ending import Ending, Finisher
from agentroute.execution.progress import Run
from agentroute.execution.runner import Runner, as_one_task, told, used_by
from agentroute.execution.trying.attempts import Attempts
from agentroute.model.runs import Verdict
from agentroute.planning.lead import Order
from agentroute.registry.registry import Registry

SHOWN = 3  # tasks that a verdict names


@dataclass(frozen=True)
class Judged:
    """A joined answer with its verified scores, and what went wrong on the way to it, in words."""

    ending: Ending
    scores: tuple[dict[str, Any], ...] = ()
    verdict: Verdict | None = None
    said: tuple[str, ...] = ()


class Acceptance:
    """Ends a run: join, verify and, once, give what was scored low to others."""

    def __init__(
        self, runner: Runner, finisher: Finisher, registry: Registry, attempts: Attempts,
        synthesis: Synthesis,
    ) -> None:  # fmt: skip
        self._runner, self._finisher, self._registry = runner, finisher, registry
        self._attempts, self._synthesis = attempts, synthesis

    async def close(self, run: Run) -> Judged:
        """The answer that the run is to give; ``run.outcomes`` are those that it was made of."""
        first = await self._judge(run)
        orders = self._orders(run, first.verdict)
        if not orders:
            return first
        before = dict(run.outcomes)
        if await self._runner.again(run, orders, self._careful()):
            second = await self._judge(run)
            seen = {row["decision_id"] for row in first.scores}
            new = (row for row in second.scores if row["decision_id"] not in seen)
            scores = (*first.scores, *new)
            if _lowest(second) > _lowest(first):
                return replace(second, scores=scores)
            first = replace(first, scores=scores)
        else:  # what went wrong at the second try is no secret
            more = (w for o in run.in_order for w in o.said if w not in first.said)
            first = replace(first, said=(*first.said, *more))
        run.outcomes = before
        return first

    async def _judge(self, run: Run) -> Judged:
        run.said = told(run)
        ending = await self._synthesis.join(run)
        ending = await fitted(run, ending, self._attempts, self._registry)
        run.said += ending.said
        scores: tuple[dict[str, Any], ...] = ()
        if run.verify and ending.reply is not None:
            scores = await self._finisher.verify(run, ending.reply)
        return Judged(ending, scores, verdict_of(scores, run.accept_at), tuple(run.said))

    def _orders(self, run: Run, verdict: Verdict | None) -> dict[str, Order]:
        """Tasks to give to others: scored low, not pinned, and not made of others that were low.

        None where a human was asked for one of them or for what follows: nobody asks twice.
        """
        if verdict is None or verdict.accepted or run.left_s <= 0:
            return {}
        low = {v for v, s in verdict.tasks.items() if s < verdict.accept_at}
        first = sorted(v for v in low - set(used_by(run, low)) if not _pinned(run, v))
        careful = self._careful()
        redone = (run.outcomes[v] for v in (*first, *used_by(run, first)) if v in run.outcomes)
        if any(careful & set(o.agents) for o in redone):
            return {}
        return {
            v: Order(
                v,
                tuple(sorted({*run.outcomes[v].tried, *careful})),
                f"verified at {verdict.tasks[v]:.2f}, below {verdict.accept_at:.2f}: "
                "given once to somebody else",
            )
            for v in first
        }

    def _careful(self) -> frozenset[str]:
        """Agents that may not be called unless a human says so."""
        entries = self._registry.entries.values()
        return frozenset(e.card.name for e in entries if e.card.requires_approval)


def _pinned(run: Run, v: str) -> bool:
    task = run.graph[v] if v in run.graph else as_one_task(run.graph)
    return task.agent is not None


def _lowest(judged: Judged) -> float:
    return judged.verdict.score if judged.verdict is not None else -1.0


def verdict_of(scores: Sequence[Mapping[str, Any]], accept_at: float) -> Verdict | None:
    """What verified scores come to; None where there are none.

    A task's score is the lowest of its verifiers', and of a team the best member's: whoever joins
    chooses among them. The answer's score is the lowest of a task.
    """
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in scores:
        key = (row["task_id"], row["verifier"])
        if key not in best or row["score"] > best[key]["score"]:
            best[key] = row
    tasks: dict[str, Mapping[str, Any]] = {}
    for (task_id, _), row in best.items():
        if task_id not in tasks or row["score"] < tasks[task_id]["score"]:
            tasks[task_id] = row
    if not tasks:
        return None
    rows = sorted(tasks.values(), key=lambda r: (r["score"], r["task_id"]))
    accepted = rows[0]["score"] >= accept_at
    return Verdict(
        score=rows[0]["score"],
        accept_at=accept_at,
        accepted=accepted,
        tasks={v: float(row["score"]) for v, row in tasks.items()},
        words=_in_words(rows, accept_at),
    )


def _in_words(rows: Sequence[Mapping[str, Any]], accept_at: float) -> str:
    """One line for people: the lowest scores first, who gave them and how."""
    low = [r for r in rows if r["score"] < accept_at]
    shown = (low or rows)[:SHOWN]
    named = "; ".join(f"'{r['task_id']}' {_floor(r['score'])} by {_how(r)}" for r in shown)
    more = len(low or rows) - len(shown)
    named += f"; and {more} more" if more else ""
    if not low:
        return f"Verified, accepted from {accept_at:.2f}: {named}"
    part = f"{len(low)} of {len(rows)} verified tasks are" if len(rows) > 1 else "the answer is"
    return f"NOT ACCEPTED: {part} below {accept_at:.2f}: {named}"


def _floor(score: float) -> str:
    """Two digits, never rounded up to the limit."""
    return f"{math.floor(score * 100) / 100:.2f}"


def _how(row: Mapping[str, Any]) -> str:
    method = str(row.get("method", ""))[:120]
    return f"{row['verifier']} ({method})" if method else str(row["verifier"])
