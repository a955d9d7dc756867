"""Who leads a HIERARCHICAL run, sans-IO: reports in, orders out, nothing to issue means done.

A lead sees every report of every round. It keeps no state: what it says depends on the reports
alone, so a resumed run goes on as the first one would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agentroute.model.tasks import TaskGraph

RULE = "rule"  # what people write for the lead below, and what its rows call it
ReportStatus = Literal["ok", "failed", "abstained", "skipped"]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a task so far: ``agents`` that tried, how often it was ``issued``.

    ``score`` is the agent's own confidence in [0, 1], None where it states none; ``missing`` says
    in words what the answer lacks, or why there is none. ``stale``: what the task uses was done
    again after it.
    """

    task_id: str
    status: ReportStatus
    agents: tuple[str, ...] = ()
    issued: int = 1
    text: str = ""
    score: float | None = None
    missing: str = ""
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """Do this task (again), by somebody who is not in ``exclude``.

    ``reason`` is for the row; ``words`` are what a lead that is an agent says to whoever does it.
    """

    task_id: str
    exclude: tuple[str, ...] = ()
    reason: str = ""
    words: str = ""

    def written(self) -> dict[str, Any]:
        """As JSON, to be read by ``order_of``."""
        more = {"words": self.words} if self.words else {}
        return {"exclude": list(self.exclude), "reason": self.reason, **more}


def order_of(task_id: str, data: Mapping[str, Any]) -> Order:
    """The order that was ``written``; one of an older release has no ``words``."""
    return Order(task_id, tuple(data["exclude"]), data["reason"], data.get("words", ""))


@dataclass(frozen=True)
class RuleLead:
    """Issues every task whose inputs are settled; gives a failed one to others, ``again`` times.

    A task that nobody could do is settled after that, and its dependants go on without it.
    """

    graph: TaskGraph
    again: int = 2

    def next(self, reports: Mapping[str, Report]) -> tuple[Order, ...]:
        """Re-issues first, then the tasks that became ready, in topological order."""
        retry = [r for r in reports.values() if not self._settled(r)]
        return self.issue(
            reports,
            [
                Order(r.task_id, r.agents, f"issued again: {r.status} by {', '.join(r.agents)}")
                for r in retry
            ],
        )

    def issue(self, reports: Mapping[str, Report], again: Sequence[Order]) -> tuple[Order, ...]:
        """``again``, what used a reply that is a new one, then the tasks that became ready.

        A task waits for whatever it depends on that is to be done again, and is issued
        ``again`` + 1 times at most.
        """
        open_ids = {o.task_id for o in again}
        stale, ready = [], []
        for v in self.graph.order:
            if v in open_ids or any(p in open_ids for p in self.graph.parents(v)):
                continue
            r = reports.get(v)
            if r is None:
                if all(p in reports for p in self.graph.parents(v)):
                    ready.append(Order(v, reason="its inputs are settled"))
            elif r.stale and r.issued <= self.again:
                stale.append(Order(v, reason="what it uses was done again"))
                open_ids.add(v)
        return (*again, *stale, *ready)

    def repeatable(self, reports: Mapping[str, Report]) -> tuple[str, ...]:
        """Tasks that a lead may order again: somebody tried, and not too often; in plan order."""
        found = (reports[v] for v in self.graph.order if v in reports)
        return tuple(
            r.task_id
            for r in found
            if r.status != "skipped" and r.agents and r.issued <= self.again
        )

    def _settled(self, r: Report) -> bool:
        """Done, or issued often enough, or there is nobody to leave out (nobody was called)."""
        return r.status in ("ok", "skipped") or r.issued > self.again or not r.agents
