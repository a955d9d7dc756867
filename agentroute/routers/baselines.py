"""Routers that learn little or nothing: what every other router is measured against."""

from __future__ import annotations

import numpy as np

from agentroute.choosing.state import StateDict
from agentroute.model.candidates import Examples, Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.parts.binding import check_kind
from agentroute.routers.parts.index import ArmIndex, ArmMeans
from agentroute.routers.parts.lessons import mean_label
from agentroute.routers.parts.terms import plain, total


class Uniform:
    """Every candidate scores 0.5, so that ``decide`` breaks the tie evenly.

    >>> from agentroute.testing.routers import World, score
    >>> score(Uniform(), World(agents=3).request()).mean.tolist()
    [0.5, 0.5, 0.5]
    """

    name = "uniform"
    taxonomy = Taxonomy("before", (), "rules")
    learns = False

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``."""
        return plain(np.full(len(request.candidates), 0.5), "uniform")

    def update(self, observation: Observation) -> None:
        """Learns nothing."""

    def state_dict(self) -> StateDict:
        """Empty."""
        return StateDict(self.name, 1)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)


class Cheapest:
    """The lower the expected cost, the higher the score: 1 for the cheapest, by rank.

    Reads the candidates' running averages (the card's price at first); an unknown cost is 0.5.

    >>> from agentroute.testing.routers import World, score
    >>> score(Cheapest(), World(agents=3).request()).mean.tolist()  # 0.001, 0.002, 0.003 USD
    [1.0, 0.5, 0.0]
    """

    name = "cheapest"
    taxonomy = Taxonomy("before", ("cost",), "rules")
    learns = False

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``."""
        cost = request.candidates.cost_usd
        known = ~np.isnan(cost)
        mean = np.full(len(cost), 0.5)
        levels, rank = np.unique(cost[known], return_inverse=True)
        mean[known] = 1.0 - rank / max(1, len(levels) - 1)
        return plain(mean, "cost rank")

    def update(self, observation: Observation) -> None:
        """Learns nothing of its own: the candidates carry the averages."""

    def state_dict(self) -> StateDict:
        """Empty."""
        return StateDict(self.name, 1)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)


class RoundRobin:
    """The least used candidate first; calls in flight count. Ties are broken by ``decide``.

    >>> from agentroute.testing.routers import World, score
    >>> world, router = World(agents=2), RoundRobin()
    >>> router.update(Observation(1, "d1", world.request(), "agent0"))
    >>> score(router, world.request()).mean.tolist()  # 1 - (used - 0) / (1 - 0 + 1), used 1 and 0
    [0.5, 1.0]
    """

    name = "round_robin"
    taxonomy = Taxonomy("before", ("counts",), "rules")

    def __init__(self) -> None:
        self.arms, self.calls = ArmIndex(), ArmMeans()
        self._last: dict[str, str] = {}

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``."""
        _, used = self.calls.take(self.arms.rows(request.candidates))
        used = used + request.candidates.inflight
        low, high = used.min(), used.max()
        return plain(1.0 - (used - low) / (high - low + 1.0), "turn")

    def update(self, observation: Observation) -> None:
        """Count a call once, however many rows tell of it."""
        if self._last.get(observation.agent) == observation.decision_id:
            return
        self._last[observation.agent] = observation.decision_id
        self.calls.add(self.arms.add(observation.agent), 0.0)

    def state_dict(self) -> StateDict:
        """The counts, and the last decision of each agent."""
        meta = {"arms": self.arms.names, "last": dict(self._last)}
        return StateDict(self.name, 1, meta, dict(self.calls.arrays(len(self.arms))))

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)
        self.arms, self._last = ArmIndex(state.meta["arms"]), dict(state.meta["last"])
        self.calls.load(state.arrays)


class FixedBest:
    """The best single agent: highest mean quality so far, whatever the task; or ``agent``.

    The card's prior quality counts as one observation. Cost and latency enter by the objective.

    >>> from agentroute.testing.routers import World, score
    >>> world, router = World(agents=2), FixedBest()
    >>> router.update(Observation(1, "d1", world.request(), "agent0", quality=1.0))
    >>> request = Request(world.task(), np.zeros(64, np.float32), world.candidates())
    >>> score(router, request).mean.tolist()  # (1 + 0.5) / (1 + 1), and the prior
    [0.75, 0.5]
    """

    name = "fixed_best"
    taxonomy = Taxonomy("before", ("outcomes",), "rules")

    def __init__(self, *, agent: str | None = None) -> None:
        self.agent = agent
        self.arms, self.quality = ArmIndex(), ArmMeans()

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``."""
        c = request.candidates
        if self.agent is not None:
            return plain((c.names == self.agent).astype(np.float64), "fixed")
        q = self.quality.shrunk(self.arms.rows(c), c.prior, 1.0)
        parts = request.objective.parts(q, c.cost_usd, c.latency_s)
        return Scores(total(parts), np.zeros(len(c)), parts)

    def update(self, observation: Observation) -> None:
        """Fold a quality into the agent's mean."""
        if observation.quality is not None:
            row = self.arms.add(observation.agent)
            self.quality.add(row, observation.quality, observation.weight)

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """Means over all labelled rows that somebody should answer."""
        self.arms, self.quality = ArmIndex(examples.cards.names), ArmMeans()
        for j in range(len(examples.cards)):
            self.quality.add(j + 1, *mean_label(examples, j))

    def state_dict(self) -> StateDict:
        """Sums and weights of the arms."""
        arrays = self.quality.arrays(len(self.arms))
        return StateDict(self.name, 1, {"arms": self.arms.names, "agent": self.agent}, dict(arrays))

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 1)
        self.arms = ArmIndex(state.meta["arms"])
        self.quality.load(state.arrays)
