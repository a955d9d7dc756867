"""What a planner may look at: cards, graphs, an embedder, and whether a plan can be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentroute.config.paths import Place
from agentroute.errors import AgentRouteError
from agentroute.model.arrays import Embedder
from agentroute.model.cards import CapabilityCard
from agentroute.model.plans import Plan
from agentroute.planning.graphfile import GraphSpec
from agentroute.planning.library import all_graphs
from agentroute.registry.eligibility import RESERVED


def _no_fault(plan: Plan) -> AgentRouteError | None:
    return None


@dataclass(frozen=True)
class Around:
    """``cards()`` and ``places()`` are those of the moment: folders may change between runs.

    ``fault(plan)`` is what is known to go wrong with a plan; None where nothing is.
    """

    cards: Callable[[], Sequence[CapabilityCard]] = tuple
    places: Callable[[], Sequence[Place]] = tuple
    embedder: Embedder | None = None
    fault: Callable[[Plan], AgentRouteError | None] = _no_fault

    def able(self) -> list[CapabilityCard]:
        """The agents that may be chosen for a task that names no skill."""
        return [
            c
            for c in self.cards()
            if c.status in ("active", "canary") and not c.skill_ids & RESERVED
        ]

    def graphs(self) -> list[GraphSpec]:
        """Every graph of the catalogue that loads, by name."""
        good, _ = all_graphs(self.places())
        return sorted((spec for spec, _, _ in good), key=lambda s: s.name)
