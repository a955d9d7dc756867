"""Fakes and conformance checks that users import too. Names are loaded when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentroute.evaluation.worlds.environments import Environment, make_environment
    from agentroute.evaluation.worlds.play import run_bandit
    from agentroute.testing.agents import check_agent
    from agentroute.testing.chat import Say, ScriptedChatServer
    from agentroute.testing.embedders import check_embedder
    from agentroute.testing.routers import check_router
    from agentroute.testing.shapes import check_shape
    from agentroute.testing.world import World

_HOME = {
    "Environment": "evaluation.worlds.environments",
    "Say": "testing.chat",
    "ScriptedChatServer": "testing.chat",
    "World": "testing.world",
    "check_agent": "testing.agents",
    "check_embedder": "testing.embedders",
    "check_router": "testing.routers",
    "check_shape": "testing.shapes",
    "make_environment": "evaluation.worlds.environments",
    "run_bandit": "evaluation.worlds.play",
}

__all__ = [
    "Environment",
    "Say",
    "ScriptedChatServer",
    "World",
    "check_agent",
    "check_embedder",
    "check_router",
    "check_shape",
    "make_environment",
    "run_bandit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'agentroute.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"agentroute.{_HOME[name]}"), name)
