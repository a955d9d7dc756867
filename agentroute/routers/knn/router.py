"""Nearest neighbours over stored outcomes: the honest baseline is also a product feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentroute.choosing.prior import CardPrior
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError
from agentroute.features.vectors import ContextVector
from agentroute.model.arrays import F64
from agentroute.model.candidates import Examples, Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.knn.memory import TaskMemory
from agentroute.routers.parts.binding import Space, check_kind
from agentroute.routers.parts.index import ArmIndex, ArmMeans
from agentroute.routers.parts.lessons import mean_label
from agentroute.routers.parts.terms import total


class KNN:
    """Expected quality = what the agent scored on the ``k`` most similar tasks, shrunken.

    With neighbour weights v_m = exp((s_m - s_1) / tau) and qualities q_ma where observed:
    q_a = (sum v q + strength mu_a) / (sum v + strength), where mu_a is the agent's mean over all
    rows, itself shrunken to its card's prior (Nadaraya-Watson with a prior). Bonus =
    alpha / sqrt(1 + sum v). Similarity is the dot product of context vectors. ``memory`` bounds
    the number of tasks kept; the oldest goes first.

    One neighbour, v = 1 and q = 1, so mu = (1 + 0.5) / 2 and q_a = (1 + mu) / 2:

    >>> from agentroute.testing.routers import World, score
    >>> world, router = World(agents=2), KNN()
    >>> request = Request(world.task(), np.zeros(64, np.float32), world.candidates())
    >>> router.update(Observation(1, "d1", request, "agent0", quality=1.0))
    >>> s = score(router, request)
    >>> s.mean.tolist(), s.bonus.round(3).tolist()  # 0.1 / sqrt(1 + v)
    ([0.875, 0.5], [0.071, 0.1])
    """

    name = "knn"
    taxonomy = Taxonomy("before", ("task", "outcomes"), "similarity")

    def __init__(
        self,
        *,
        k: int = 40,
        tau: float = 0.05,
        strength: float = 1.0,
        alpha: float = 0.1,
        memory: int = 16_384,
    ) -> None:
        if k < 1 or memory < 1 or tau <= 0 or strength <= 0 or alpha < 0:
            raise ConfigError(
                "knn needs k >= 1, memory >= 1, tau > 0, strength > 0, alpha >= 0", field="router"
            )
        self.k, self.tau, self.strength, self.alpha, self.memory = k, tau, strength, alpha, memory
        self.prior = CardPrior()
        self.space = Space()
        self.context = ContextVector(None)
        self._clear()

    def _clear(self) -> None:
        self.arms, self.means = ArmIndex(), ArmMeans()
        self.tasks: TaskMemory | None = None

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: average, neighbours, cost, latency."""
        self.space.check(request)
        c = request.candidates
        rows = self.arms.rows(c)
        mu = self.means.shrunk(rows, self.prior.mean(request), self.strength)
        near, support, oos = self._neighbours(request, rows)
        q = np.clip((near + self.strength * mu) / (support + self.strength), 0.0, 1.0)
        parts = request.objective.parts(q, c.cost_usd, c.latency_s)
        share = request.objective.quality_share
        terms = {"average": share * mu, "neighbours": share * (q - mu)}
        terms |= {name: part for name, part in parts.items() if name != "quality"}
        bonus = share * self.alpha / np.sqrt(1.0 + support + c.inflight)
        return Scores(total(parts), bonus, terms, out_of_scope=oos)

    def update(self, observation: Observation) -> None:
        """Store the quality beside the task of its decision, however late it comes."""
        request = observation.request
        self.space.check(request)
        if observation.quality is None:
            return
        self.space.bind(request)
        row = self.arms.add(observation.agent)
        self.means.add(row, observation.quality, observation.weight)
        self.context.observe(request.task)
        key = self.context.vector(request.task, request.embedding)
        tasks = self._tasks(len(key))
        place = tasks.place_of(observation.decision_id)
        if place is None:
            place = tasks.put(key, observation.decision_id)
        tasks.quality[place, row] = observation.quality

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """Store all labelled tasks; forgets what was there."""
        self._clear()
        self.context = ContextVector(None)
        self.space.bind_to(examples.cards.embedder_id, examples.embedding.shape[1])
        for task in examples.tasks:
            self.context.observe(task)
        pairs = zip(examples.tasks, examples.embedding, strict=True)
        keys = np.array([self.context.vector(t, e) for t, e in pairs], np.float32)
        self.arms = ArmIndex(examples.cards.names)
        quality = np.pad(
            examples.quality.astype(np.float32), [(0, 0), (1, 0)], constant_values=np.nan
        )
        quality[examples.abstain] = np.nan
        for j in range(len(examples.cards)):
            self.means.add(j + 1, *mean_label(examples, j))
        self._tasks(keys.shape[1]).fill(keys, quality, examples.abstain)

    def state_dict(self) -> StateDict:
        """The memory, the means and the vocabulary."""
        meta: dict[str, Any] = {
            "arms": self.arms.names,
            "space": self.space.meta(),
            "context": self.context.meta(),
        }
        arrays = {f"mean.{k}": v for k, v in self.means.arrays(len(self.arms)).items()}
        if self.tasks is None:
            return StateDict(self.name, 2, meta, arrays)
        t, s = self.tasks, self.tasks.size
        meta["next"] = t.next
        stored = {
            "keys": t.keys[:s].copy(), "quality": t.quality[:s, : len(self.arms)].copy(),
            "abstain": t.abstain[:s].copy(), "decisions": np.array(t.decisions, np.str_),
        }  # fmt: skip
        return StateDict(self.name, 2, meta, {**arrays, **stored})

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 2)
        self._clear()
        meta, arrays = state.meta, state.arrays
        self.context.load(meta["context"])
        self.space.load(meta["space"])
        self.arms = ArmIndex(meta["arms"])
        self.means.load({k: arrays[f"mean.{k}"] for k in ("sum", "weight")})
        if "keys" in arrays:
            tasks = self._tasks(arrays["keys"].shape[1])
            decisions = arrays["decisions"].tolist()
            tasks.fill(arrays["keys"], arrays["quality"], arrays["abstain"], decisions)
            tasks.next = meta["next"]

    def _tasks(self, d: int) -> TaskMemory:
        if self.tasks is None:
            self.tasks = TaskMemory(self.memory, d, len(self.arms))
        self.tasks.widen(d, len(self.arms))
        return self.tasks

    def _neighbours(self, request: Request, rows: Any) -> tuple[F64, F64, float]:
        """Weighted sum of qualities (n,), sum of weights (n,), share of abstentions."""
        n = len(rows)
        if self.tasks is None or not self.tasks.size:
            return np.zeros(n), np.zeros(n), 0.0
        key = self.context.vector(request.task, request.embedding)
        places, s = self.tasks.nearest(key, self.k)
        v = np.exp((s - s[0]) / self.tau)
        q = self.tasks.quality[places][:, rows].astype(np.float64)
        seen = ~np.isnan(q)
        oos = float(v @ self.tasks.abstain[places] / v.sum())
        return v @ np.where(seen, q, 0.0), v @ seen, oos
