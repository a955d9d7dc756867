"""Recruiting by skill profiles that outcomes write: no gradient anywhere."""

from __future__ import annotations

import numpy as np

from agentroute.choosing.prior import CardPrior
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError
from agentroute.model.arrays import F64, Embedder
from agentroute.model.candidates import Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.parts.binding import check_kind
from agentroute.routers.parts.index import ArmIndex
from agentroute.routers.parts.terms import total
from agentroute.routers.recruiting.recruit import recruiting_weights, right_or_wrong
from agentroute.routers.recruiting.skills import SkillMatcher, skills_of


class Recruiting:
    """Score = recruiting weight of the agent's profile for the task's skills, over the largest.

    A profile counts +1 for each skill of a task answered right, -1 where wrong; ``decay`` < 1
    fades the old counts by that factor a row. Before any outcome the cards' similarity decides.
    Take ``decide`` with ``Proportional`` to sample in proportion to the weights, as the paper
    does; greedy decisions take the strongest.

    Two skills, the first one needed. G = (4, 2), so gamma = (16, 4) / 20; S = (3, 1):

    >>> w = recruiting_weights(np.array([[3.0, 1.0], [1.0, 1.0]]), np.array([1.0, 0.0]))
    >>> w.round(3).tolist(), (w / w.max()).round(3).tolist()
    ([2.4, 0.2], [1.0, 0.083])
    """

    name = "recruiting"
    taxonomy = Taxonomy("before", ("task", "skills", "outcomes"), "similarity")

    def __init__(self, *, decay: float = 1.0, embedder: Embedder | None = None) -> None:
        if not 0.0 < decay <= 1.0:
            raise ConfigError(f"decay is {decay}", field="router", hint="above 0, at most 1")
        self.decay = decay
        self.prior = CardPrior()
        self.matcher = SkillMatcher(embedder)
        self.arms = ArmIndex()
        self.skills: dict[str, int] = {}
        self.profiles: F64 = np.zeros((1, 0))

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: recruit (or card), cost, latency."""
        c = request.candidates
        profiles = self.profiles[self.arms.rows(c)]
        term, q = "card", self.prior.mean(request)
        if profiles.any():
            term, w = "recruit", recruiting_weights(profiles, self._match(request))
            q = w / w.max()
        parts = request.objective.parts(q, c.cost_usd, c.latency_s)
        parts[term] = parts.pop("quality")
        return Scores(total(parts), np.zeros(len(c)), parts, reason=self._reason(request, term))

    def update(self, observation: Observation) -> None:
        """Count the outcome for every skill of the task, in the profile of its agent alone."""
        o = observation
        if o.quality is None:
            return
        row = self.arms.add(o.agent)
        columns = [self._column(s) for s in self._needed(o.request)]
        self._reach(row)
        if self.decay < 1.0:
            self.profiles *= self.decay
        self.profiles[row, columns] += o.weight * right_or_wrong(o.quality)

    def profile(self, agent: str) -> dict[str, float]:
        """Skill -> count of an agent, the strongest first."""
        counts = self.profiles[self.arms.get(agent)]
        found = {s: float(counts[j]) for s, j in self.skills.items() if counts[j]}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def state_dict(self) -> StateDict:
        """The profiles as one array, agents and skills by name."""
        meta = {"arms": self.arms.names, "skills": list(self.skills), "decay": self.decay}
        return StateDict(self.name, 1, meta, {"profiles": self.profiles.copy()})

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)
        self.arms = ArmIndex(state.meta["arms"])
        self.skills = {s: j for j, s in enumerate(state.meta["skills"])}
        self.profiles = np.array(state.arrays["profiles"], np.float64)

    def _match(self, request: Request) -> F64:
        match = np.zeros(len(self.skills))
        match[[self.skills[s] for s in self._needed(request) if s in self.skills]] = 1.0
        return match

    def _needed(self, request: Request) -> list[str]:
        vocabulary = request.candidates.cards.derived("recruiting.skills", skills_of)
        return self.matcher.needed(request.task, vocabulary)

    def _reason(self, request: Request, term: str) -> str:
        if term == "card":
            return "no profile yet: similarity of the cards"
        return "skills: " + (", ".join(self._needed(request)[:8]) or "none matched")

    def _column(self, skill: str) -> int:
        return self.skills.setdefault(skill, len(self.skills))

    def _reach(self, row: int) -> None:
        rows, columns = self.profiles.shape
        pad = [(0, max(0, row + 1 - rows)), (0, len(self.skills) - columns)]
        self.profiles = np.pad(self.profiles, pad)
