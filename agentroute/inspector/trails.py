"""The trails of the pheromone router, folded from a ledger up to a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentroute.config.settings import Settings
from agentroute.features.text import embedder_of
from agentroute.learning.base import start_policy
from agentroute.learning.fold import Learner
from agentroute.learning.state import StateStore
from agentroute.ledger import Ledger
from agentroute.model.plans import AgentUse


def trails(
    ledger: Ledger, settings: Settings, *, kind: str | None = None, upto: int | None = None
) -> dict[str, Any]:
    """What ``PheromoneRouter.show`` says after the rows up to ``upto`` (None: all) were folded.

    Raises:
        ConfigError: no trails of that kind.
    """
    named = AgentUse.of(settings.router, field="router").name == "pheromone"
    embedder = embedder_of(settings)
    spec = settings.router if named else "pheromone"  # what a run uses, where one does
    states = StateStore(Path(settings.state))
    policy, _ = start_policy(spec, embedder=embedder, states=states, seed=settings.seed)
    router: Any = policy.router
    weights = settings.feedback_weights.model_dump()
    Learner(router, ledger, weights=weights, quota=settings.feedback_quota, embedder=embedder).fold(
        upto
    )
    shown: dict[str, Any] = router.show(kind)
    return shown
