"""The shapes that a plan can be carried out in by the agents there are."""

from __future__ import annotations

from agentroute.model.cards import CapabilityCard
from agentroute.model.plans import Plan, Topology
from agentroute.model.tasks import MAX_PROMPT
from agentroute.planning.feasible import problems
from agentroute.registry.eligibility import RESERVED
from agentroute.registry.needs import required
from agentroute.registry.registry import Registry

PER_TASK = 200  # characters that numbering a task in one prompt may add


def possible_shapes(plan: Plan, registry: Registry, *, chat_ready: bool) -> tuple[Topology, ...]:
    """Algorithm 1's shape first, then each other in which nothing is known to go wrong.

    SINGLE needs one agent with every skill that the tasks ask for, and tasks that ask for nothing
    of their own (an agent, a depth, a budget).
    """
    first = plan.choice.topology
    return (first, *(
        t for t in Topology if t is not first and _fits(plan, t, registry, chat_ready=chat_ready)
    ))  # fmt: skip


def _fits(plan: Plan, shape: Topology, registry: Registry, *, chat_ready: bool) -> bool:
    if shape is Topology.SINGLE:
        return _alone(plan, registry, chat_ready=chat_ready)
    choice = plan.choice.model_copy(update={"topology": shape})
    changed = plan.model_copy(update={"choice": choice})
    return not problems(changed, registry, chat_ready=chat_ready)


def _alone(plan: Plan, registry: Registry, *, chat_ready: bool) -> bool:
    tasks = plan.tasks
    if len({t.agent for t in tasks}) > 1 or any(t.depth or t.budget_usd is not None for t in tasks):
        return False
    if sum(len(t.prompt) + PER_TASK for t in tasks) + len(plan.description) > MAX_PROMPT:
        return False
    skills, agent = {s for t in tasks for s in t.skills}, tasks[0].agent
    return any(
        _able(e.card, skills, chat_ready=chat_ready or e.handler is not None)
        for e in registry.entries.values()
        if agent in (None, e.card.name)
    )


def _able(card: CapabilityCard, skills: set[str], *, chat_ready: bool) -> bool:
    """Whether an agent may be asked for all of it, and gets the inputs that it must have."""
    return (
        card.status in ("active", "canary")
        and (chat_ready or card.entrypoint != "chat")
        and not card.skill_ids & RESERVED
        and card.skill_ids >= skills
        and not required(card) - {"tasks"}
    )
