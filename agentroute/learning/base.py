"""Base states: what a fitted router starts from, before it learns online.

A base is a named state in the folder of learned state, written by ``train``. A router spec names
it, ``{name: linear, state: S}``; a name is not code, so a graph may name one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentroute.choosing.catalog import FIELD, make_policy
from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import Router
from agentroute.errors import ConfigError, RouterStateError, did_you_mean
from agentroute.learning.state import Snapshot, StateStore
from agentroute.model.arrays import Embedder
from agentroute.model.plans import AgentUse, Spec

KEY = "state"  # of a router's mapping


def start_policy(
    spec: Spec,
    *,
    embedder: Embedder,
    states: StateStore | None = None,
    seed: int = 0,
    trusted: bool = False,
) -> tuple[Policy, str]:
    """The policy of a spec as it is before the first row, and its base's SHA-256 ('' for none).

    Raises:
        ConfigError, MissingExtraError: see ``make_policy`` and ``take_base``.
        RouterStateError: see ``take_base``.
    """
    written = AgentUse.of(spec, field=FIELD).written()
    made = {k: v for k, v in written.items() if k != KEY}
    policy = make_policy(made, embedder=embedder, seed=seed, trusted=trusted)
    return policy, take_base(policy.router, written["name"], written, states, embedder.id)


def take_base(
    router: Router, name: str, spec: Mapping[str, Any], states: StateStore | None, embedder_id: str
) -> str:
    """Load the base that ``spec`` names into a new ``router``; its SHA-256, '' where none is named.

    ``name`` is the router's in the spec. The SHA-256 is of the state's manifest, which holds that
    of its arrays.

    Raises:
        ConfigError: ``state`` is no name, or the router cannot score before it was fitted and no
            base is named.
        RouterStateError: no such state, a damaged one, of another router, or of another embedder.
    """
    wanted = spec.get(KEY)
    if wanted is None:
        if not is_fitted(router):
            raise ConfigError(
                f"the router '{name}' scores nothing before it was fitted, and no state is named",
                field=FIELD,
                hint=f"{trained_by(name)}, then router: {{name: {name}, state: NAME}}",
            )
        return ""
    if not isinstance(wanted, str):
        raise ConfigError(f"{wanted!r} is not the name of a state", field=f"{FIELD}.{KEY}")
    found = _found(states, wanted, name)
    _fits(found, name, embedder_id)
    router.load_state_dict(found.state)
    return found.sha256


def is_fitted(router: Router) -> bool:
    """Whether it can score now; a router that does not say so can."""
    return bool(getattr(router, "is_fitted", True))


def trained_by(name: str, state: str = "NAME") -> str:
    """The command that fits a router, for hints."""
    return f"agentroute train {name} TABLE --name {state}"


def embedder_of(found: Snapshot) -> str:
    """The id of the embedder that a state was learned with, '' where it does not say."""
    meta = found.state.meta
    homes = (found.provenance, meta, meta.get("space"), meta.get("fitted"))
    ids = (home.get("embedder") for home in homes if isinstance(home, Mapping))
    return next((i for i in ids if isinstance(i, str) and i), "")


def _found(states: StateStore | None, wanted: str, name: str) -> Snapshot:
    there = [] if states is None else states.names()
    if states is None or not states.versions(wanted):
        where = "no folder of states" if states is None else states.folder
        raise RouterStateError(
            f"no state is called '{wanted}' in {where}",
            hint=f"{did_you_mean(wanted, there) or 'there is none'}; {trained_by(name, wanted)}",
        )
    return states.load(wanted)


def _fits(found: Snapshot, name: str, embedder_id: str) -> None:
    if found.folded:
        raise RouterStateError(
            f"the state '{found.name}' has folded {found.folded} rows of a ledger: it is no base",
            hint=trained_by(name),
        )
    learned_with = embedder_of(found)
    if learned_with not in ("", embedder_id):
        raise RouterStateError(
            f"the state '{found.name}' was learned with the embedder '{learned_with}', "
            f"this is '{embedder_id}'",
            hint=f"use that embedder, or train anew: {trained_by(name, found.name)}",
        )
