"""Whether a plan can be carried out by the agents there are, before anybody is called."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from agentroute.choosing.catalog import known_routers
from agentroute.choosing.depth import make_depth
from agentroute.config.paths import bundled
from agentroute.errors import (
    AgentRouteError,
    ConfigError,
    PlanError,
    UnknownAgentError,
    did_you_mean,
)
from agentroute.model.calls import INPUTS
from agentroute.model.cards import CapabilityCard
from agentroute.model.plans import AgentUse, Plan
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.chatlead import lead_of
from agentroute.planning.graphfile import GraphSpec, topology_named
from agentroute.planning.inputs import references
from agentroute.planning.shapes import shape_of
from agentroute.planning.topology import choose_topology
from agentroute.refining.naming import WORDS, rules_problem
from agentroute.registry.eligibility import RESERVED
from agentroute.registry.needs import required
from agentroute.registry.registry import Registry


def as_written(spec: GraphSpec) -> Plan:
    """A graph's tasks as they stand in its file, no input filled in: enough to check it by."""
    choice = choose_topology(TaskGraph(spec.tasks), override=topology_named(spec))
    return Plan(
        name=spec.name, tasks=spec.tasks, choice=choice, router=spec.router, depth=spec.depth,
        refine=spec.refine, verifiers=spec.verifier, lead=spec.lead,
    )  # fmt: skip


def problems(plan: Plan, registry: Registry, *, chat_ready: bool) -> list[AgentRouteError]:
    """Everything that is known to go wrong: unknown names, and tasks that nobody gets inputs for.

    What an agent hands over is known where its card says what it ``provides``; where one that may
    be asked does not say, what depends on it is let pass.
    """
    return [
        *_unknown_parts(plan),
        *_unknown_agents(plan, registry),
        *_without_inputs(plan, registry, chat_ready=chat_ready),
    ]


def _unknown_parts(plan: Plan) -> Iterator[AgentRouteError]:
    if plan.router is not None and plan.router.name not in known_routers():
        name = plan.router.name
        said, hint = f"unknown router '{name}'", did_you_mean(name, known_routers())
        if ":" in name:
            said = f"'{name}' names code, which only your own configuration may do"
            hint = "set router: in agentroute.yaml, or router= in Python"
        yield ConfigError(said, field="router", hint=hint)
    own = [t.depth for t in plan.tasks if t.depth is not None]
    for depth in (*([plan.depth.written()] if plan.depth else ()), *own):
        try:
            make_depth(depth)
        except ConfigError as e:
            yield e


def _unknown_agents(plan: Plan, registry: Registry) -> Iterator[AgentRouteError]:
    pinned = [t.agent for t in plan.tasks if t.agent and not any(references(t.agent))]
    lead = lead_of(plan.lead)
    leads = [lead.name] if lead is not None else []
    for name in dict.fromkeys([*pinned, *(u.name for u in plan.verifiers), *leads]):
        if name not in registry:
            yield UnknownAgentError(name, registry.entries)
    if plan.refine is not None and (problem := refiner_problem(plan.refine, registry)):
        yield problem


def refiner_problem(use: AgentUse, registry: Registry) -> AgentRouteError | None:
    """What is wrong with who is to join: nobody of that name, or rules that are not there."""
    if use.name not in registry:
        known = use.name in WORDS
        return None if known else UnknownAgentError(use.name, [*registry.entries, *WORDS])
    path = registry[use.name].path
    shipped = path is not None and path.parent.resolve() == bundled("agents").resolve()
    return rules_problem(use.params) if shipped and use.name == "refiner" else None


def _without_inputs(
    plan: Plan, registry: Registry, *, chat_ready: bool
) -> Iterator[AgentRouteError]:
    graph, shape = plan.graph(), shape_of(plan.topology)
    if shape.whole and len(graph) > 1:
        return
    cards = [e.card for e in registry.entries.values() if e.card.status in ("active", "canary")]
    cards = [c for c in cards if c.entrypoint and (chat_ready or c.entrypoint != "chat")]
    if not any(map(required, cards)):
        return
    kinds = {(t.agent, t.skills) for t in plan.tasks}
    able = {kind: [c for c in cards if _may_do(c, *kind)] for kind in kinds}
    may = {t.id: able[t.agent, t.skills] for t in plan.tasks}
    for task in plan.tasks:
        there = _handed(shape.sees(graph, task.id), may)
        if there is not None and (found := _stranded(task, may[task.id], there)):
            yield found
    everything = _handed([t.id for t in plan.tasks], may)
    for use in plan.verifiers:
        if everything is not None and use.name in registry:
            missing = required(registry.card(use.name)) - everything - set(use.params)
            if missing:
                yield _nobody(f"verifier '{use.name}'", [registry.card(use.name)], missing)


def _may_do(card: CapabilityCard, agent: str | None, skills: tuple[str, ...]) -> bool:
    if agent:
        return card.name == agent
    return card.skill_ids.issuperset(skills) and not card.skill_ids & RESERVED


def _handed(before: Collection[str], may: dict[str, list[CapabilityCard]]) -> frozenset[str] | None:
    """The keys that the tasks ``before`` may hand over; None where that is not known."""
    makers = [c for u in before for c in may[u]]
    if any(not c.provides for c in makers):
        return None
    return frozenset(k for c in makers for k in c.provides) | ({INPUTS} if before else frozenset())


def _stranded(
    task: Task, cards: list[CapabilityCard], there: frozenset[str]
) -> AgentRouteError | None:
    """What is wrong where there is somebody for a task and nobody gets what he needs."""
    gaps = [(c, required(c) - there - set(task.params)) for c in cards]
    if not gaps or not all(missing for _, missing in gaps):
        return None
    return _nobody(f"task '{task.id}'", [c for c, _ in gaps], min((m for _, m in gaps), key=len))


def _nobody(who: str, cards: list[CapabilityCard], missing: Collection[str]) -> PlanError:
    names = ", ".join(c.name for c in cards[:3]) + (" and others" if len(cards) > 3 else "")
    keys = ", ".join(sorted(missing))
    return PlanError(
        f"{who}: nobody could get what he needs ({names}: {keys})",
        hint=f"let it depend on a task that provides {keys}, or give them as params",
    )
