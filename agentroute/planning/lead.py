"""Who leads a HIERARCHICAL run, sans-IO: reports in, orders out, nothing to issue means done.

A lead sees every report of every round. It keeps no state: what it says depends on the reports
alone, so a resumed run goes on as the first one would have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from agentroute.model.tasks import TaskGraph

ReportStatus = Literal["ok", "failed", "abstained", "skipped"]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a task so far: ``agents`` that tried, how often it was ``issued``."""

    task_id: str
    status: ReportStatus
    agents: tuple[str, ...] = ()
    issued: int = 1
    text: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Do this task (again), by somebody who is not in ``exclude``."""

    task_id: str
    exclude: tuple[str, ...] = ()
    reason: str = ""


class Lead(Protocol):
    """Decides what to issue next."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""

    def next(self, reports: Mapping[str, Report]) -> tuple[Order, ...]:
        """The tasks of the next round; empty when the work is done."""


@dataclass(frozen=True)
class RuleLead:
    """Issues every task whose inputs are settled; gives a failed one to others, ``again`` times.

    A task that nobody could do is settled after that, and its dependants go on without it.
    """

    graph: TaskGraph
    again: int = 2
    name: str = "rule_lead"

    def next(self, reports: Mapping[str, Report]) -> tuple[Order, ...]:
        """Re-issues first, then the tasks that became ready, in topological order."""
        retry = [r for r in reports.values() if not self._settled(r)]
        orders = [
            Order(r.task_id, r.agents, f"issued again: {r.status} by {', '.join(r.agents)}")
            for r in retry
        ]
        open_ids = {r.task_id for r in retry}
        for v in self.graph.order:
            parents = self.graph.parents(v)
            if v not in reports and all(p in reports and p not in open_ids for p in parents):
                orders.append(Order(v, reason="its inputs are settled"))
        return tuple(orders)

    def _settled(self, r: Report) -> bool:
        """Done, or issued often enough, or there is nobody to leave out (nobody was called)."""
        return r.status in ("ok", "skipped") or r.issued > self.again or not r.agents
