"""Routers and policies by name, as users write them in YAML."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from agentroute.choosing.exploration import Epsilon, Exploration, Proportional
from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import Router
from agentroute.choosing.screening import Screening
from agentroute.errors import AgentRouteError, ConfigError, did_you_mean
from agentroute.model.arrays import Embedder
from agentroute.model.plans import AgentUse, Spec

DEFAULT = "linucb"
GROUP = "agentroute.routers"
POLICY = {"screening": 0.0, "exploration": 0.05, "abstain_at": 0.5, "margin": 0.02}
FIELD = "router"


def known_routers() -> tuple[str, ...]:
    """Names that ``make_router`` takes: 'default', and what installed distributions name.

    Raises:
        ConfigError: two distributions name one router, or agentroute's own are not installed.
    """
    return ("default", *sorted(_installed()))


def make_router(
    spec: Spec = "default",
    *,
    embedder: Embedder | None = None,
    seed: int = 0,
    trusted: bool = False,
) -> Router:
    """The router that ``spec`` names: a name, or a mapping with ``name`` and its parameters.

    A router's constructor takes keywords; ``embedder`` and ``seed`` are handed over where it has
    parameters of these names. ``module:Class`` imports code, so it is taken only where the spec
    is ``trusted``: the user's own configuration or Python, never a graph or card file.

    Raises:
        ConfigError: an unknown name or parameter, a bad value, or code from an untrusted spec.
        MissingExtraError: the router needs an extra that is not installed.
    """
    use = AgentUse.of(spec, field=FIELD)
    name, params = use.name, use.params
    cls = _resolve(name, trusted=trusted)
    accepted = _parameters(name, cls)
    _check_params(name, params, accepted)
    offered = {"embedder": embedder, "seed": seed}
    given = {k: v for k, v in offered.items() if k in accepted and k not in params}
    try:
        router = cls(**params, **given)
    except (TypeError, ValueError) as e:
        raise ConfigError(f"the router '{name}' refuses its parameters: {e}", field=FIELD) from e
    return _checked(name, router)


def make_policy(
    spec: Spec = "default",
    *,
    embedder: Embedder | None = None,
    seed: int = 0,
    exploration: float | None = None,
    trusted: bool = False,
) -> Policy:
    """A router with its screening and exploration.

    Beside the router's own parameters the mapping takes ``screening`` (keep the best L; none by
    default), ``exploration`` (epsilon, 0.05; or ``proportional`` to the scores, which
    ``proportional_replace`` draws with replacement), ``abstain_at`` (0.5), ``margin`` (0.02). The
    argument ``exploration`` overrides the mapping's.

    Raises:
        ConfigError, MissingExtraError: see ``make_router``.
    """
    use = AgentUse.of(spec, field=FIELD)
    name, params = use.name, dict(use.params)
    own = {k: params.pop(k) for k in tuple(POLICY) if k in params}
    router = make_router({"name": name, **params}, embedder=embedder, seed=seed, trusted=trusted)
    number = {k: _number(k, own.get(k, v)) for k, v in POLICY.items() if k != "exploration"}
    keep = number["screening"]
    return Policy(
        router,
        name=name,
        screening=Screening(int(keep)) if keep else None,
        exploration=_exploration(own if exploration is None else {"exploration": exploration}),
        abstain_at=number["abstain_at"],
        margin=number["margin"],
    )


def _resolve(name: str, *, trusted: bool) -> Any:
    point = _installed().get(DEFAULT if name == "default" else name)
    if point is not None:
        return _import(point.value)
    if ":" not in name:
        hint = did_you_mean(name, known_routers())
        raise ConfigError(f"unknown router '{name}'", field=FIELD, hint=hint)
    if not trusted:
        raise ConfigError(
            f"'{name}' names code, which only your own configuration may do",
            field=FIELD,
            hint="set it as router in agentroute.yaml, by --router, or as router= in Python",
        )
    return _import(name)


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AgentRouteError:
        raise
    except (ImportError, AttributeError, ValueError) as e:
        raise ConfigError(f"'{target}' cannot be imported: {e}", field=FIELD) from e


def _installed() -> dict[str, EntryPoint]:
    """Entry points of the group by name: agentroute's own routers come through this door too."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise ConfigError(
                f"two installed distributions name the router '{point.name}'", field=FIELD,
                hint=f"{other.value} and {point.value}: uninstall one of them",
            )  # fmt: skip
    if DEFAULT not in found:
        raise ConfigError(
            "agentroute is installed without its routers", field=FIELD,
            hint="install it again, so that its entry points are known: pip install .",
        )  # fmt: skip
    return found


def _check_params(name: str, params: Mapping[str, Any], accepted: Mapping[str, Any]) -> None:
    for key in params:
        if key not in accepted:
            raise ConfigError(
                f"the router '{name}' has no parameter '{key}'",
                field=FIELD,
                hint=did_you_mean(key, [*accepted, *POLICY]),
            )


def _parameters(name: str, cls: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(cls).parameters
    except (TypeError, ValueError):
        raise ConfigError(f"'{name}' is not a router class", field=FIELD) from None


def _checked(name: str, router: object) -> Router:
    if not isinstance(router, Router):
        raise ConfigError(
            f"'{name}' is not a router: it lacks score, update, state_dict or load_state_dict",
            field=FIELD,
            hint="agentroute.testing.routers.check_router says what a router must do",
        )
    return router


def _exploration(own: Mapping[str, Any]) -> Exploration:
    value = own.get("exploration", POLICY["exploration"])
    if isinstance(value, str) and value in ("proportional", "proportional_replace"):
        return Proportional(replace=value != "proportional")
    return Epsilon(_number("exploration", value))


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{key} must be a number, not {value!r}", field=f"{FIELD}.{key}")
    return float(value)
