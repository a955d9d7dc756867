"""What the commands of ``state`` show and do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentroute.cli.parts.common import settings_of
from agentroute.config.settings import Settings
from agentroute.errors import RouterStateError, UsageError, did_you_mean
from agentroute.learning.base import KEY, embedder_of
from agentroute.learning.state import Snapshot, StateStore
from agentroute.model.plans import AgentUse
from agentroute.registry.registry import Registry

SHOWN = 3  # names of agents in a remark
SNAPSHOTS = "snapshots"  # the folder of what learners keep between openings


def store_of(config: Path | None, name: str = "") -> tuple[StateStore, str]:
    """The folder of states in force, and the state's name in it.

    ``snapshots/NAME`` is a snapshot of a learner, in a folder of its own.
    """
    folder = Path(settings_of(config).state)
    place, slash, own = name.rpartition("/")
    if slash and place == SNAPSHOTS:
        return StateStore(folder / SNAPSHOTS), own
    return StateStore(folder), name


def shown(snapshot: Snapshot) -> dict[str, Any]:
    """A state as people and tools look at it: everything but the values of its arrays."""
    made = snapshot.provenance
    return {
        "name": snapshot.name,
        "version": snapshot.number,
        "kind": snapshot.state.kind,
        "sha256": snapshot.sha256,
        "embedder": embedder_of(snapshot),
        "rows": made.get("rows"),
        "agents": made.get("agents", []),
        "base": snapshot.base,
        "folded": snapshot.folded,
        "bytes": sum(a.nbytes for a in snapshot.state.arrays.values()),
        "provenance": made,
    }


def strangers(settings: Settings, registry: Registry) -> str:
    """What to say of a state that the settings' router names, fitted on other agents alone.

    '' where there is none, or some of them are in the catalogue.
    """
    wanted = AgentUse.of(settings.router, field="router").written().get(KEY)
    store = StateStore(Path(settings.state))
    if not isinstance(wanted, str) or wanted not in store.names():
        return ""
    try:
        made = store.manifest(wanted, store.current(wanted)).get("provenance", {})
    except RouterStateError:  # damaged: whoever loads it says so, and goes back a version
        return ""
    agents = [str(a) for a in made.get("agents", ())]
    if not agents or any(a in registry for a in agents):
        return ""
    some = ", ".join(agents[:SHOWN]) + (", ..." if len(agents) > SHOWN else "")
    return (
        f"the state '{wanted}' was fitted on {some}: no agent here has one of these names, "
        "it knows them by their cards at most"
    )


def listed(config: Path | None) -> list[dict[str, Any]]:
    """One entry a state, its current version; ``problem`` says why one cannot be read."""
    fitted, kept = store_of(config)[0], store_of(config, f"{SNAPSHOTS}/")[0]
    return [
        *(_entry(fitted, name, name) for name in fitted.names()),
        *(_entry(kept, name, f"{SNAPSHOTS}/{name}") for name in kept.names()),
    ]


def _entry(store: StateStore, name: str, called: str) -> dict[str, Any]:
    try:
        found = store.load(name)
    except RouterStateError as e:
        empty = dict.fromkeys(("version", "kind", "embedder", "rows", "folded"))
        return {"name": called, **empty, "agents": [], "problem": str(e)}
    damaged = f"damaged: {', '.join(found.skipped)}" if found.skipped else ""
    about = {k: v for k, v in shown(found).items() if k != "provenance"}
    return {**about, "name": called, "versions": store.versions(name), "problem": damaged}


def described(store: StateStore, name: str, version: int | None) -> dict[str, Any]:
    """One version of a state.

    Raises:
        UsageError: no state or version of that name.
        RouterStateError: it is damaged.
    """
    _known(store, name, version)
    return {**shown(store.load(name, version)), "versions": store.versions(name)}


def rolled_back(store: StateStore, name: str, version: int | None) -> int:
    """Go back to ``version``, or to the one before the current one; its number.

    Raises:
        UsageError: there is no such version.
        RouterStateError: it is damaged.
    """
    _known(store, name, version)
    earlier = [v for v in store.versions(name) if v < store.current(name)]
    if version is None and not earlier:
        raise UsageError(
            f"version {store.current(name)} of '{name}' has none before it",
            hint=f"agentroute state show {name}",
        )
    return store.rollback(name, version or earlier[-1]).number


def _known(store: StateStore, name: str, version: int | None) -> None:
    versions = store.versions(name)
    if not versions:
        near = did_you_mean(name, store.names())
        raise UsageError(f"no state is called '{name}' in {store.folder}", hint=near)
    if version is not None and version not in versions:
        raise UsageError(
            f"'{name}' has no version {version}", hint=f"it has {', '.join(map(str, versions))}"
        )
