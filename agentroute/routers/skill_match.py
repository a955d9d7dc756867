"""Routing by what the cards say: no learning, no labels."""

from __future__ import annotations

import numpy as np

from agentroute.choosing.prior import CardPrior, cosines
from agentroute.choosing.state import StateDict
from agentroute.model.candidates import Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.parts.binding import check_kind
from agentroute.routers.parts.terms import total


class SkillMatch:
    """Expected quality by the card: its prior, and the cosine of prompt and skills.

    ``floor`` > 0 turns it into a refuser: ``out_of_scope`` = 1 - max cos / (2 floor), so that it
    passes 0.5 where nobody's card comes nearer than ``floor``.

    >>> from agentroute.testing.routers import World, score
    >>> world = World(agents=1)
    >>> request = Request(world.task(), world.cardset.embedding[0], world.candidates())
    >>> score(SkillMatch(), request).mean.round(3).tolist()  # 0.5 + 0.5 (cos - 0.3), cos = 1
    [0.85]
    """

    name = "skill_match"
    taxonomy = Taxonomy("before", ("task", "card"), "similarity")
    learns = False

    def __init__(self, *, slope: float = 0.5, centre: float = 0.3, floor: float = 0.0) -> None:
        self.prior, self.floor = CardPrior(slope, centre), floor

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: prior, similarity, cost, latency, clip."""
        c = request.candidates
        q = self.prior.mean(request)
        parts = request.objective.parts(q, c.cost_usd, c.latency_s)
        share = request.objective.quality_share
        similar = self.prior.shift(request)
        terms = {"prior": share * c.prior, "similarity": share * similar}
        terms["clip"] = share * (q - c.prior - similar)
        terms |= {name: part for name, part in parts.items() if name != "quality"}
        oos = self._out_of_scope(request)
        return Scores(total(parts), np.zeros(len(c)), terms, out_of_scope=oos)

    def update(self, observation: Observation) -> None:
        """Learns nothing."""

    def state_dict(self) -> StateDict:
        """Empty."""
        return StateDict(self.name, 1)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)

    def _out_of_scope(self, request: Request) -> float:
        if self.floor <= 0.0 or not request.embedding.any():
            return 0.0
        return float(np.clip(1.0 - cosines(request).max() / (2.0 * self.floor), 0.0, 1.0))
