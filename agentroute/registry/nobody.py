"""What is said where nobody is called: who comes nearest, why that is not enough, what to do."""

from __future__ import annotations

import numpy as np

from agentroute.errors import did_you_mean
from agentroute.model.candidates import Request
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task
from agentroute.registry.eligibility import RESERVED, Eligible

NEAREST = 3
ADVICE = (
    "name a skill (agentroute agents ls), run a graph (agentroute graphs ls),"
    " or add an agent (agentroute agents add FILE)"
)


def nobody_fits(request: Request, who: Eligible) -> str:
    """The three nearest cards, each with the reason against it, and what to do."""
    cards, excluded = request.candidates.cards, who.excluded()
    cos = cards.embedding @ request.embedding
    order = [int(i) for i in np.argsort(-cos, kind="stable")]
    near = [i for i in order if _may_serve(cards.cards[i])][:NEAREST]
    said = (
        f"{cards.names[i]} ({excluded.get(str(cards.names[i]), 'its card speaks of other things')})"
        for i in near
    )
    return f"nobody's card speaks of this; nearest: {', '.join(said)}; {ADVICE}"


def _may_serve(card: CapabilityCard) -> bool:
    return card.status != "retired" and not card.skill_ids & RESERVED


def skill_hint(task: Task, cards: tuple[CapabilityCard, ...]) -> str:
    """Which skill was perhaps meant, where a task names one that no card has; else ''."""
    known = {s for c in cards for s in c.skill_ids}
    unknown = next((s for s in task.skills if s not in known), None)
    if unknown is None:
        return ""
    meant = did_you_mean(unknown, known) or "agentroute agents ls shows skills"
    return f"no agent has the skill '{unknown}': {meant}"
