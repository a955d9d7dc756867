"""The parts that a session works with: each named by the settings, or an object of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentroute.adapters.client import endpoint_configured
from agentroute.adapters.kinds import adapter_of
from agentroute.choosing.catalog import own_router
from agentroute.choosing.depth import Depth, make_depth
from agentroute.choosing.protocol import Router
from agentroute.config.paths import Place
from agentroute.config.plugins import PartKind, is_object
from agentroute.config.settings import Settings
from agentroute.errors import AgentRouteError, ConfigError
from agentroute.features.text import embedder_of, make_embedder
from agentroute.model.arrays import Embedder
from agentroute.model.cards import NAME, CapabilityCard, Skill
from agentroute.model.plans import AgentUse, Plan, Spec
from agentroute.planning.feasible import problems, refiner_problem
from agentroute.planning.planner import Planner, make_planner
from agentroute.planning.planners.around import Around
from agentroute.refining.credit import Credit, make_credit
from agentroute.registry.registry import Registry

REFINERS = PartKind("refiner", "refine", "agentroute.refiners")


@dataclass(frozen=True)
class Parts:
    """What chooses, how many, who joins, leads, splits and sees text, how credit is given."""

    router: Spec | Router
    depth: Depth
    refine: AgentUse
    lead: AgentUse
    planner: Planner
    embedder: Embedder
    credit: Credit


def written(part: object) -> str | dict[str, Any]:
    """What the settings hold for a part: the spec, or the name of an object."""
    if isinstance(part, Mapping):
        return dict(part)
    if not is_object(part):
        return part  # type: ignore[return-value]  # whatever else it is, the settings refuse it
    for attribute in ("name", "id", "__name__"):
        if isinstance(found := getattr(part, attribute, None), str) and found:
            return found
    return type(part).__name__


def make_parts(
    settings: Settings,
    registry: Registry,
    objects: Mapping[str, object] | None = None,
    *,
    graphs: Callable[[], Sequence[Place]] = list,
) -> Parts:
    """The parts by the settings; ``objects``, by the settings' key, stand over what is named.

    ``graphs()`` are the folders of graphs of the moment, for a planner.
    A refiner that is a function becomes an agent of the registry, under its own name.

    Raises:
        ConfigError: an unknown name or parameter, or an object that does not keep its protocol.
        MissingExtraError: a part needs a library that is not installed.
    """
    own = dict(objects or {})
    embedder = _embedder(own.get("embedder"), settings)

    def fault(plan: Plan) -> AgentRouteError | None:
        return next(iter(problems(plan, registry, chat_ready=endpoint_configured())), None)

    around = Around(lambda: registry.cardset(embedder).cards, graphs, embedder, fault)
    router = own_router(own["router"]) if "router" in own else settings.router
    return Parts(
        router=router,
        depth=make_depth(own.get("depth", settings.depth), trusted=True),  # type: ignore[arg-type]
        refine=refiner_of(own.get("refine", settings.refine), registry),
        lead=AgentUse.of(settings.lead, field="lead"),
        planner=make_planner(own.get("planner", settings.planner), trusted=True, around=around),
        embedder=embedder,
        credit=make_credit(settings.credit),
    )


def _embedder(given: Any, settings: Settings) -> Embedder:
    return embedder_of(settings) if given is None else make_embedder(given)


def refiner_of(spec: object, registry: Registry) -> AgentUse:
    """The refiner of a spec, or of a function, which becomes an agent.

    Raises:
        ConfigError: a parameter that it does not have, or no function that can join.
    """
    if is_object(spec):
        return AgentUse(name=_joins(spec, written(spec), registry))
    use = AgentUse.of(spec, field="refine")
    if use.name in registry:
        if problem := refiner_problem(use, registry):
            raise problem
        return use
    if ":" in use.name or use.name in REFINERS.installed():
        found = REFINERS.find(use.name, trusted=True)
        found = found() if isinstance(found, type) else found
        return AgentUse(name=_joins(found, written(found), registry), params=use.params)
    return use  # an agent that may still come; where it does not, the run says so


def _joins(refiner: Any, name: object, registry: Registry) -> str:
    """Register a function as an agent that joins; its name."""
    if not isinstance(name, str) or not NAME.match(name):
        raise ConfigError(
            f"a refiner needs a name, and '{name}' is none", field="refine",
            hint="a function made with def, or the name of an agent",
        )  # fmt: skip
    adapter_of(refiner, name)
    if name in registry and registry[name].handler is refiner:
        return name
    about = inspect.getdoc(refiner) or f"Joins replies: {name}."
    card = CapabilityCard(name=name, description=about[:4_000], skills=(Skill(id="refine"),))
    registry.add(card, refiner)
    return name
