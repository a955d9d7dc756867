"""Who served a key last, for each kind of task: learned from outcomes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentroute.model.ids import sha256
from agentroute.model.tasks import Task

MOST = 10_000  # bonds that are kept; the one that was served longest ago is dropped first


@dataclass(frozen=True, slots=True)
class Bond:
    """The agents of the last decision that served; several where a team did."""

    decision_id: str
    agents: tuple[str, ...]


class Bonds:
    """A bond for each key and kind of task, at most ``most`` of them.

    >>> bonds, task = Bonds(most=1), Task(prompt="x")
    >>> bonds.serve("anna", task, "d1", "a")
    >>> bonds.serve("bert", task, "d2", "b")
    >>> bonds.of("anna", task), bonds.of("bert", task)
    ((), ('b',))
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._of: dict[str, Bond] = {}  # served longest ago first

    def of(self, key: str, task: Task) -> tuple[str, ...]:
        """Who served the key last in tasks of that kind; () where nobody did."""
        bond = self._of.get(_place(key, task))
        return () if bond is None else bond.agents

    def serve(self, key: str, task: Task, decision_id: str, agent: str) -> None:
        """The agent served: alone, or beside those who served by the same decision."""
        place = _place(key, task)
        before = self._of.pop(place, None)
        beside: tuple[str, ...] = ()
        if before is not None and before.decision_id == decision_id:
            beside = tuple(a for a in before.agents if a != agent)
        self._of[place] = Bond(decision_id, (*beside, agent))
        while len(self._of) > self.most:
            del self._of[next(iter(self._of))]

    def release(self, key: str, task: Task, agent: str) -> None:
        """The agent is no longer kept; the others of its team are."""
        place = _place(key, task)
        bond = self._of.get(place)
        if bond is None or agent not in bond.agents:
            return
        rest = tuple(a for a in bond.agents if a != agent)
        if rest:
            self._of[place] = Bond(bond.decision_id, rest)
        else:
            del self._of[place]

    def meta(self) -> list[list[Any]]:
        """As JSON, the order kept."""
        return [[place, b.decision_id, list(b.agents)] for place, b in self._of.items()]

    def load(self, meta: list[list[Any]]) -> None:
        """Continue from ``meta``."""
        self._of = {place: Bond(d, tuple(agents)) for place, d, agents in meta}


def _place(key: str, task: Task) -> str:
    """Names a key and a kind of task, which its skills and features say; 32 hex digits."""
    kind = "\x1f".join([key, *sorted(task.skills), "", task.kind])
    return sha256(kind.encode("utf-8", "surrogatepass"))[:32]
