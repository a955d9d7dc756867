"""Routers and policies by name, as users write them in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentroute.choosing.exploration import Epsilon, Exploration, Proportional
from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import Router
from agentroute.choosing.screening import Screening
from agentroute.config.plugins import PartKind
from agentroute.errors import ConfigError, did_you_mean
from agentroute.model.arrays import Embedder
from agentroute.model.plans import AgentUse, Spec

DEFAULT = "linucb"
GROUP = "agentroute.routers"
POLICY = {"screening": 0.0, "exploration": 0.05, "abstain_at": 0.5, "margin": 0.02}
FIELD = "router"
ROUTERS = PartKind("router", FIELD, GROUP)
LACKS = "score, update, state_dict or load_state_dict"


def known_routers() -> tuple[str, ...]:
    """Names that ``make_router`` takes: 'default', and what installed distributions name.

    Raises:
        ConfigError: two distributions name one router, or agentroute's own are not installed.
    """
    _check_installed()
    return ("default", *ROUTERS.names)


def make_router(
    spec: Spec = "default",
    *,
    embedder: Embedder | None = None,
    seed: int = 0,
    margin: float | None = None,
    trusted: bool = False,
) -> Router:
    """The router that ``spec`` names: a name, or a mapping with ``name`` and its parameters.

    A router's constructor takes keywords; ``embedder``, ``seed`` and the policy's ``margin`` are
    handed over where it has parameters of these names. ``module:Class`` imports code, so it is
    taken only where the spec is ``trusted``: the user's own configuration or Python, never a graph
    or card file.

    Raises:
        ConfigError: an unknown name or parameter, a bad value, or code from an untrusted spec.
        MissingExtraError: the router needs an extra that is not installed.
    """
    use = AgentUse.of(spec, field=FIELD)
    name, params = use.name, use.params
    known = known_routers()
    if name not in known and ":" not in name:
        raise ConfigError(f"unknown router '{name}'", field=FIELD, hint=did_you_mean(name, known))
    cls = ROUTERS.find(DEFAULT if name == "default" else name, trusted=trusted)
    offered: dict[str, Any] = {"embedder": embedder, "seed": seed}
    if margin is not None:
        offered["margin"] = margin
    return own_router(ROUTERS.make(name, cls, params, offered=offered, also=POLICY), name=name)


def own_router(router: object, *, name: str = "") -> Router:
    """An object that keeps the protocol of a router.

    Raises:
        ConfigError: it does not, or it is a class and no object.
    """
    hint = "agentroute.testing.routers.check_router says what a router must do"
    made: Router = ROUTERS.checked(router, Router, name=name, lacks=LACKS, hint=hint)
    return made


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
    router = make_router(
        {"name": name, **params}, embedder=embedder, seed=seed, margin=own.get("margin"),
        trusted=trusted,
    )  # fmt: skip
    return policy_of(router, own, name=name, exploration=exploration)


def policy_of(
    router: Router,
    own: Mapping[str, Any],
    *,
    name: str | None = None,
    exploration: float | None = None,
) -> Policy:
    """The policy of a router that is there; ``own`` are the policy's keys of ``make_policy``.

    Raises:
        ConfigError: a value that is not a number in its range.
    """
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


def _check_installed() -> None:
    """Agentroute's own routers come through the door of plug-ins, and must be there."""
    if DEFAULT not in ROUTERS.installed():
        raise ConfigError(
            "agentroute is installed without its routers", field=FIELD,
            hint="install it again, so that its entry points are known: pip install .",
        )  # fmt: skip


def _exploration(own: Mapping[str, Any]) -> Exploration:
    value = own.get("exploration", POLICY["exploration"])
    if isinstance(value, str) and value in ("proportional", "proportional_replace"):
        return Proportional(replace=value != "proportional")
    return Epsilon(_number("exploration", value))


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{key} must be a number, not {value!r}", field=f"{FIELD}.{key}")
    return float(value)
