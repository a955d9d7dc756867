"""Contextual bandit with linear payoffs: exact LinUCB with a quality and a cost head."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import ConfigError, RouterStateError
from agentroute.features.vectors import ContextVector
from agentroute.model.decisions import Observation
from agentroute.model.scores import F64, Candidates, Request, Scores, StateDict, Taxonomy
from agentroute.routers.arms import ArmBank
from agentroute.routers.prior import CardPrior, cosines

Mode = Literal["disjoint", "shared", "hybrid"]
Z_NAMES = ("one", "similarity", "prior", "load", "latency", "success")


class LinUCB:
    """Scores = card prior + learned residual, bonus = alpha * width (Li et al. 2010).

    ``mode``: disjoint (parameters per arm), shared (one theta over agent features) or hybrid.
    ``alpha`` is a tuned constant. ``lam`` is the ridge, ``gamma`` < 1 discounts old rows.
    """

    name = "linucb"
    taxonomy = Taxonomy("before", ("task", "card", "outcomes"), "bandit")

    def __init__(
        self,
        *,
        mode: Mode = "disjoint",
        alpha: float = 0.4,
        lam: float = 0.5,
        gamma: float = 1.0,
        width: int | None = 48,
        prior: CardPrior | None = None,
        seed: int = 0,
    ) -> None:
        if mode not in ("disjoint", "shared", "hybrid"):
            raise ConfigError(f"unknown mode '{mode}'", hint="disjoint, shared or hybrid")
        self.mode, self.alpha, self.lam, self.gamma = mode, alpha, lam, gamma
        self.prior = prior or CardPrior()
        self.context = ContextVector(width, seed=seed)
        self.arms: dict[str, int] = {}
        self.embedder_id = ""
        self.e = 0
        self.quality: ArmBank | None = None
        self._slots: dict[str, NDArray[np.int64]] = {}

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: prior, learned, cost, latency, clip."""
        self._check(request)
        c = request.candidates
        x = self._x(request)
        prior = self.prior.mean(request)
        learned, w2 = self._predict(x, request)
        q = np.clip(prior + learned, 0.0, 1.0)
        objective = request.objective
        parts = objective.parts(q, c.cost_usd, c.latency_s)
        share = objective.quality / (objective.quality + objective.cost + objective.latency)
        terms = {"prior": share * prior, "learned": share * learned}
        terms["clip"] = share * (q - prior - learned)
        terms.update((name, part) for name, part in parts.items() if name != "quality")
        width = np.sqrt(w2 / (1.0 + c.inflight * w2))
        mean = np.clip(np.asarray(sum(parts.values())), 0.0, 1.0)
        return Scores(mean, share * self.alpha * width, terms)

    def update(self, observation: Observation) -> None:
        """See ``Router.update``."""
        request = observation.request
        self._check(request)
        self._bind(request)
        if observation.quality is None:
            return
        bank = self._bank(len(request.embedding))
        if self.context.observe(request.task):
            bank.widen(self._d(len(request.embedding)))
        row = self._row(observation.agent, bank)
        i = int(np.flatnonzero(request.candidates.names == observation.agent)[0])
        prior = float(self.prior.mean(request)[i])
        z = self._z(request)[i] if bank.k else None
        bank.update(
            row,
            self._x(request),
            observation.quality - prior,
            z=z,
            weight=observation.weight,
            gamma=self.gamma,
        )

    def state_dict(self) -> StateDict:
        """See ``Router.state_dict``."""
        meta: dict[str, Any] = {
            "mode": self.mode,
            "lam": self.lam,
            "embedder": self.embedder_id,
            "e": self.e,
            "arms": list(self.arms),
            "context": self.context.meta(),
        }
        arrays = (
            {f"quality.{k}": v for k, v in self.quality.arrays().items()} if self.quality else {}
        )
        return StateDict("linucb", 1, meta, arrays)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        meta = state.meta
        if (state.kind, state.version) != ("linucb", 1) or meta["mode"] != self.mode:
            raise RouterStateError("the state is not of this router")
        self.context.load(meta["context"])
        self.arms = {name: i + 1 for i, name in enumerate(meta["arms"])}
        self.embedder_id, self.e = meta["embedder"], meta["e"]
        self._slots.clear()
        if state.arrays:
            self.quality = self._new_bank(self.e)
            self.quality.load({k.removeprefix("quality."): v for k, v in state.arrays.items()})

    def _predict(self, x: F64, request: Request) -> tuple[F64, F64]:
        bank, n = self.quality, len(request.candidates)
        if bank is None:
            bank = self._new_bank(len(request.embedding))
            rows = np.zeros(n, np.int64)
        else:
            rows = self._rows(request.candidates)
        mean, w2 = bank.means(x, rows), bank.widths_squared(x, rows)
        if bank.k:
            m0, w0 = bank.shared(x, self._z(request), rows)
            mean, w2 = mean + m0, w2 + w0
        return mean, w2

    def _x(self, request: Request) -> F64:
        if self.mode == "shared":
            return np.zeros(0)
        return self.context.vector(request.task, request.embedding)

    def _z(self, request: Request) -> F64:
        c = request.candidates
        latency = np.nan_to_num(np.minimum(c.latency_s / 2.0, 1.0), nan=0.5)
        z = np.stack(
            [np.ones(len(c)), (cosines(request) + 1) / 2, c.prior, c.load, latency, c.success], 1
        )
        z = np.clip(z, 0.0, 1.0)
        length = np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1.0)
        return np.asarray(z / length)

    def _d(self, e: int) -> int:
        return 0 if self.mode == "shared" else self.context.dim(e)

    def _new_bank(self, e: int) -> ArmBank:
        return ArmBank(self._d(e), 0 if self.mode == "disjoint" else len(Z_NAMES), lam=self.lam)

    def _bank(self, e: int) -> ArmBank:
        if self.quality is None:
            self.quality = self._new_bank(e)
        return self.quality

    def _row(self, agent: str, bank: ArmBank) -> int:
        if agent not in self.arms:
            self.arms[agent] = bank.add()
            self._slots.clear()
        return self.arms[agent]

    def _rows(self, candidates: Candidates) -> NDArray[np.int64]:
        cards = candidates.cards
        slots = self._slots.get(cards.sha256)
        if slots is None:
            slots = np.array([self.arms.get(name, 0) for name in cards.names], np.int64)
            self._slots[cards.sha256] = slots
        return slots[candidates.rows]

    def _check(self, request: Request) -> None:
        seen = request.candidates.cards.embedder_id
        if self.embedder_id and (seen, len(request.embedding)) != (self.embedder_id, self.e):
            raise RouterStateError(
                f"the state was learned with the embedder '{self.embedder_id}', not '{seen}'",
                hint="use that embedder, or reset the state",
            )

    def _bind(self, request: Request) -> None:
        self.embedder_id = request.candidates.cards.embedder_id
        self.e = len(request.embedding)
