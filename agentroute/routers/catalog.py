"""Routers and policies by name, as users write them in YAML."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from agentroute.errors import ConfigError, did_you_mean
from agentroute.features.text import Embedder
from agentroute.routers.base import Router
from agentroute.routers.exploration import Epsilon
from agentroute.routers.policy import Policy
from agentroute.routers.screening import Screening

DEFAULT = "linucb"
BUILT_IN: dict[str, str] = {
    "uniform": "agentroute.routers.baselines:Uniform",
    "round_robin": "agentroute.routers.baselines:RoundRobin",
    "fixed_best": "agentroute.routers.baselines:FixedBest",
    "cheapest": "agentroute.routers.baselines:Cheapest",
    "linucb": "agentroute.routers.linucb:LinUCB",
    "skill_match": "agentroute.routers.skill_match:SkillMatch",
    "knn": "agentroute.routers.knn:KNN",
    "linear": "agentroute.routers.linear:LinearRouter",
    "ensemble": "agentroute.routers.ensemble:Ensemble",
    "recruiting": "agentroute.routers.recruiting:Recruiting",
    "pheromone": "agentroute.routers.pheromone:PheromoneRouter",
    "gnn": "agentroute.routers.gnn:GNNRouter",
    "reasoning": "agentroute.routers.reasoning:ReasoningRouter",
}
POLICY_KEYS = ("screening", "exploration", "abstain_at", "margin")
Spec = str | Mapping[str, Any]


def known_routers() -> tuple[str, ...]:
    """Names that ``make_router`` takes, 'default' first."""
    return ("default", *BUILT_IN)


def make_router(
    spec: Spec = "default", *, embedder: Embedder | None = None, seed: int = 0
) -> Router:
    """The router that ``spec`` names: a name, or a mapping with ``name`` and its parameters.

    Raises:
        ConfigError: an unknown name or parameter.
    """
    name, params = _split(spec)
    cls = _resolve(name)
    accepted = inspect.signature(cls).parameters
    _check_params(name, params, accepted)
    offered = {"embedder": embedder, "seed": seed}
    given = {k: v for k, v in offered.items() if k in accepted and k not in params}
    router: Router = cls(**params, **given)
    return router


def make_policy(
    spec: Spec = "default",
    *,
    embedder: Embedder | None = None,
    seed: int = 0,
    exploration: float | None = None,
) -> Policy:
    """A router with its screening and exploration; ``exploration`` overrides the spec's epsilon.

    Raises:
        ConfigError: an unknown name or parameter.
    """
    name, params = _split(spec)
    own = {k: params.pop(k) for k in POLICY_KEYS if k in params}
    router = make_router({"name": name, **params}, embedder=embedder, seed=seed)
    keep = own.get("screening")
    eps = own.get("exploration", 0.05) if exploration is None else exploration
    return Policy(
        router,
        name=name,
        screening=Screening(int(keep)) if keep else None,
        exploration=Epsilon(float(eps)),
        abstain_at=float(own.get("abstain_at", 0.5)),
        margin=float(own.get("margin", 0.02)),
    )


def _split(spec: Spec) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    params = dict(spec)
    name = params.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError("a router needs a name", field="router", hint="router: {name: linucb}")
    return name, params


def _resolve(name: str) -> Any:
    target = BUILT_IN.get(DEFAULT if name == "default" else name)
    if target is None:
        raise ConfigError(
            f"unknown router '{name}'", field="router", hint=did_you_mean(name, known_routers())
        )
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _check_params(name: str, params: Mapping[str, Any], accepted: Mapping[str, Any]) -> None:
    for key in params:
        if key not in accepted:
            raise ConfigError(
                f"the router '{name}' has no parameter '{key}'",
                field="router",
                hint=did_you_mean(key, accepted),
            )
