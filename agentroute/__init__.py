"""agentroute: who does what, how many, in what order, and why. Names are loaded when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentroute.choosing.protocol import FittableRouter, Router
    from agentroute.choosing.state import StateDict
    from agentroute.errors import AgentRouteError
    from agentroute.execution.found import RouteFound
    from agentroute.ledger import Ledger
    from agentroute.model.calls import AgentCall, AgentReply, Artifact, Citation, Usage
    from agentroute.model.candidates import Request
    from agentroute.model.cards import CapabilityCard, Limits, Pricing, Skill
    from agentroute.model.decisions import Decision
    from agentroute.model.events import Event
    from agentroute.model.objective import Objective
    from agentroute.model.outcomes import Feedback, Observation, Outcome
    from agentroute.model.plans import Plan, Topology
    from agentroute.model.runs import RunResult
    from agentroute.model.scores import Scores, Taxonomy
    from agentroute.model.tasks import Message, Task, TaskGraph
    from agentroute.orchestrator import Orchestrator
    from agentroute.registry.registry import Registry

_HOME = {
    "AgentCall": "model.calls",
    "AgentReply": "model.calls",
    "AgentRouteError": "errors",
    "Artifact": "model.calls",
    "CapabilityCard": "model.cards",
    "Citation": "model.calls",
    "Decision": "model.decisions",
    "Event": "model.events",
    "Feedback": "model.outcomes",
    "FittableRouter": "choosing.protocol",
    "Ledger": "ledger",
    "Limits": "model.cards",
    "Message": "model.tasks",
    "Objective": "model.objective",
    "Observation": "model.outcomes",
    "Orchestrator": "orchestrator",
    "Outcome": "model.outcomes",
    "Plan": "model.plans",
    "Pricing": "model.cards",
    "Registry": "registry.registry",
    "Request": "model.candidates",
    "RouteFound": "execution.found",
    "Router": "choosing.protocol",
    "RunResult": "model.runs",
    "Scores": "model.scores",
    "Skill": "model.cards",
    "StateDict": "choosing.state",
    "Task": "model.tasks",
    "TaskGraph": "model.tasks",
    "Taxonomy": "model.scores",
    "Topology": "model.plans",
    "Usage": "model.calls",
}

__version__ = "0.1.0"
__all__ = [
    "AgentCall",
    "AgentReply",
    "AgentRouteError",
    "Artifact",
    "CapabilityCard",
    "Citation",
    "Decision",
    "Event",
    "Feedback",
    "FittableRouter",
    "Ledger",
    "Limits",
    "Message",
    "Objective",
    "Observation",
    "Orchestrator",
    "Outcome",
    "Plan",
    "Pricing",
    "Registry",
    "Request",
    "RouteFound",
    "Router",
    "RunResult",
    "Scores",
    "Skill",
    "StateDict",
    "Task",
    "TaskGraph",
    "Taxonomy",
    "Topology",
    "Usage",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'agentroute' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"agentroute.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
