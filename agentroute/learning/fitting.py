"""Fitting a router on labelled outcomes, and keeping it as a base state that says where it is from.

The same examples, seed and parameters give the same bytes, so a base's SHA-256 names what it
learned and not when.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from agentroute.choosing.catalog import FIELD, make_router
from agentroute.choosing.protocol import FittableRouter
from agentroute.errors import ConfigError
from agentroute.learning.state import Snapshot, StateStore
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import Examples
from agentroute.model.plans import AgentUse, Spec

Progress = Callable[[Any], None]


def fit_base(
    spec: Spec,
    examples: Examples,
    *,
    embedder: Embedder,
    states: StateStore,
    name: str,
    source: Mapping[str, Any],
    seed: int = 0,
    progress: Progress | None = None,
) -> Snapshot:
    """Fit the router of ``spec`` and save it in ``states`` as a new version of ``name``.

    ``source`` says where the examples come from. The snapshot's ``provenance`` has it, with
    router, parameters, embedder, seed, rows, agents, the data's SHA-256 and, where the router has
    a ``fit_report``, what that says. ``progress`` is handed to a ``fit`` that takes it.

    Raises:
        ConfigError: an unknown router or parameter, or a router that learns online alone.
        MissingExtraError: fitting needs an extra that is not installed.
        NotFittedError: too few rows.
    """
    states.versions(name)  # a name that cannot be one is refused before the work
    use = AgentUse.of(spec, field=FIELD)
    router = make_router(spec, embedder=embedder, seed=seed, trusted=True)
    if not isinstance(router, FittableRouter):
        raise ConfigError(
            f"the router '{use.name}' learns online alone: there is nothing to fit",
            field=FIELD,
            hint=f"router: {use.name} is enough; linear, knn, gnn and ensemble can be fitted",
        )
    told = {} if progress is None or not _tells(router) else {"progress": progress}
    router.fit(examples, seed=seed, **told)
    provenance = {
        "router": use.written(), **source, "rows": len(examples),
        "agents": [str(a) for a in examples.cards.names], "embedder": embedder.id,
        "seed": seed, "data_sha256": examples.sha256(), **_report(router),
    }  # fmt: skip
    return states.save(name, router.state_dict(), provenance=provenance)


def _tells(router: FittableRouter) -> bool:
    return "progress" in inspect.signature(router.fit).parameters


def _report(router: FittableRouter) -> dict[str, Any]:
    report = getattr(router, "fit_report", None)
    return {} if report is None else dict(report())
