"""Contextual bandit with linear payoffs: exact LinUCB with a quality and a cost head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentroute.choosing.prior import CardPrior, cosines, unit_interval
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError, RouterStateError
from agentroute.features.threads import one_thread
from agentroute.features.vectors import AGENT, ContextVector, agent_vectors
from agentroute.model.arrays import F64, Embedder, Ints
from agentroute.model.candidates import CardSet, Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.linucb.arms import ArmBank
from agentroute.routers.linucb.batch import Block, Products, blocks, products
from agentroute.routers.linucb.contenders import contending
from agentroute.routers.linucb.costs import CostHead
from agentroute.routers.linucb.drift import PageHinkley
from agentroute.routers.linucb.kin import Kinship, family
from agentroute.routers.linucb.noise import Noise
from agentroute.routers.linucb.priors.prototypes import Prototypes
from agentroute.routers.linucb.single import only
from agentroute.routers.parts.binding import Space, check_kind
from agentroute.routers.parts.index import ArmIndex

Sharing = Literal["disjoint", "shared", "hybrid"]
LEAST_KINSHIP, KIN = 0.75, 4
BIAS = 0.02
TEXT, ALONE = 0.05, 0.6
WIDE = 4_000_000  # numbers (16 MB) beyond which widths are computed only where they can matter


class LinUCB:
    """Utility = card prior + learned residual; bonus = alpha times the width (Li et al. 2010).

    ``mode``: *disjoint*, parameters for each arm over the task's x (their Algorithm 1); *shared*,
    one theta over agent features z (it cannot tell two agents with equal features apart);
    *hybrid*, both (their Algorithm 2). The bonus is ``alpha`` (a tuned constant) times the
    noise's standard deviation times the width, whose square is x' A^-1 x plus the doubt in the
    arm's prototype, where the task has text and the prior learns; ``radius`` True takes the
    theory's beta_t in place of the noise (Abbasi-Yadkori et al. 2011), which over-explores.
    ``lam`` is the ridge.
    ``gamma`` < 1 discounts old rows (Russac et al. 2019); ``drift`` is the threshold of a
    change-point test for each arm, which resets it, or None. ``width`` is the number of columns
    the embedding is projected to, None for all: memory and update time grow with its square, so
    48 suits thousands of agents. ``text`` is the embedding's share of x where a task has features
    too: small, since its hundreds of columns fit noise first, and text has the prior besides.
    ``slope`` and ``centre`` state the card prior, which moves with what agents did well (see
    ``Prototypes``) unless ``learn_prior`` is False.

    Where all widths read more than ``WIDE`` numbers (see ``Widths``) the disjoint mode computes
    exact ones only for arms that can come first: those whose mean plus alpha times the largest
    possible width, sqrt(x'x / lam + doubt), is within ``SLACK`` of the best exact value. The
    others cannot win; their bonus is 0, so the tail of a team is taken by the mean.

    Widths shrink by 1 / sqrt(1 + m w^2) for m decisions in flight, as if they had been folded
    already, so parallel picks spread. Cost and latency have heads of their own, so another
    objective needs no refit. An agent never seen takes over the parameters of near-twins.

    One row with x = 1 and residual 1 under lam = 2, so A = 3 and b = 1: theta and squared width.

    >>> bank, x = ArmBank(1, lam=2.0), np.ones(1)
    >>> bank.update(bank.add(), x, 1.0)
    >>> p = bank.predict(x, None, np.array([1]))
    >>> round(float(p.own[1]), 3), round(float(p.w2[0]), 3)
    (0.333, 0.333)
    """

    name = "linucb"
    taxonomy = Taxonomy("before", ("task", "card", "outcomes"), "bandit")

    def __init__(
        self,
        *,
        mode: Sharing = "disjoint",
        alpha: float = 2.5,
        radius: bool = False,
        lam: float = 2.0,
        gamma: float = 1.0,
        drift: float | None = 6.0,
        width: int | None = None,
        text: float = TEXT,
        slope: float = 1.5,
        centre: float = 0.5,
        learn_prior: bool = True,
        inherit: bool = True,
        seed: int = 0,
        embedder: Embedder | None = None,
    ) -> None:
        _check_numbers(mode, alpha, lam, gamma)
        self.mode, self.alpha, self.radius = mode, alpha, radius
        self.lam, self.gamma, self.inherit = lam, gamma, inherit and mode != "shared"
        self.prior = Prototypes(CardPrior(slope, centre), fixed=not learn_prior, embedder=embedder)
        self.context = ContextVector(width, seed=seed, bias=BIAS, fill=True, text=text, alone=ALONE)
        self.drift, self.noise = PageHinkley(drift), Noise()
        self.space, self.arms, self.folded = Space(), ArmIndex(), 0
        self.quality: ArmBank | None = None
        self.costs: CostHead | None = None

    # -- scoring -----------------------------------------------------------------------------

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: prior, learned, clip, and cost, latency where weighed."""
        self.space.check(request)
        with one_thread():
            return self._score(request)

    async def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """As ``score`` of each, up to float32's rounding: the arms are read once for 32 tasks."""
        out: dict[int, Scores] = {}
        if self.mode == "disjoint" and self.quality is not None:
            for block in blocks(requests):
                self.space.check(block.requests[0])
                out |= zip(block.places, self._score_block(self.quality, block), strict=True)
        return [out[i] if i in out else await self.score(r) for i, r in enumerate(requests)]

    def _score_block(self, bank: ArmBank, block: Block) -> list[Scores]:
        matrix = self.prior.serving(block.requests[0].candidates.cards, self.arms)
        with one_thread():
            given = products(bank, matrix, [self._x(r) for r in block.requests], block)
            return [self._score(r, g) for r, g in zip(block.requests, given, strict=True)]

    def _score(self, request: Request, given: Products | None = None) -> Scores:
        objective, c = request.objective, request.candidates
        x, rows = given.x if given else self._x(request), self.arms.rows(c)
        read = self.prior.read(request, self.arms, given.cosines if given else None)
        bank = self.quality or self._new_bank(len(request.embedding))
        wide = self.mode == "disjoint" and bank.entries(len(c)) > WIDE
        learned, w2 = self._predict(bank, x, rows, request, widths=not wide, given=given)
        raw = read.mean + learned
        q = unit_interval(raw)
        share, mean = objective.quality_share, q
        terms = {"prior": read.mean, "learned": learned, "clip": q - raw}
        if objective.cost or objective.latency:
            more = self._charges(request, x, rows)
            terms = {name: share * term for name, term in terms.items()} | more
            mean = unit_interval(share * q + sum(more.values()))
        factor, doubt = share * self.alpha_t(len(x)), self.prior.doubt(request, rows)
        if wide:
            limit = factor * np.sqrt(x @ x / self.lam + doubt)
            w2 = contending(mean, limit, doubt, lambda at: _widths(bank, x, rows[at], given))
        else:
            w2 = w2 + doubt
        busy = np.count_nonzero(c.inflight)
        bonus = factor * np.sqrt(w2 / (1.0 + c.inflight * w2) if busy else w2)
        oos = self.prior.out_of_scope(request, read, rows, q)
        return Scores(mean, bonus, terms, "prior + learned", out_of_scope=oos)

    def alpha_t(self, d: int) -> float:
        """The factor of the width: ``alpha`` times the noise, or times beta_t with ``radius``.

        beta_t = sqrt(d ln(1 + t / lam) + 2 ln(1 / delta)) + sqrt(lam) S with delta 0.05, S = 1.
        """
        if not self.radius:
            return self.alpha * self.noise.sigma
        log = d * np.log1p(self.folded / self.lam) + 2.0 * np.log(1.0 / 0.05)
        return float(self.alpha * (np.sqrt(log) + np.sqrt(self.lam)))

    def _predict(
        self, bank: ArmBank, x: F64, rows: Ints, request: Request, *, widths: bool,
        given: Products | None,
    ) -> tuple[F64, F64]:  # fmt: skip
        """Learned residual and squared width (n,); without ``widths`` these are zeros."""
        if given:
            arm_means, shared = given.means, None
            w2 = given.w2.take(rows) if widths else np.zeros(len(rows))
        elif widths:
            p = bank.predict(x, self._z(request), rows)
            arm_means, shared, w2 = p.own, p.shared, p.w2
        else:
            arm_means, shared, w2 = bank.means(x), None, np.zeros(len(rows))
        own = arm_means.take(rows)
        kin = self._kinship(request.candidates.cards)
        if kin is not None and not rows.all():
            cold = np.flatnonzero(rows == 0)
            slots = self.arms.slots(request.candidates.cards)
            shares, arms = kin.shares(request.candidates.rows[cold], slots)
            own[cold] = (shares * arm_means[arms]).sum(axis=1)
        return (own if shared is None else own + shared), w2

    def _charges(self, request: Request, x: F64, rows: Ints) -> dict[str, F64]:
        objective, c = request.objective, request.candidates
        cost, latency = c.cost_usd, c.latency_s
        if self.costs is not None:
            cost = self.costs.costs(x, rows, c) if objective.cost else cost
            latency = self.costs.latencies(rows, c) if objective.latency else latency
        parts = objective.parts(np.zeros(len(c)), cost, latency)
        return {name: part for name, part in parts.items() if name != "quality"}

    # -- learning ----------------------------------------------------------------------------

    def update(self, observation: Observation) -> None:
        """See ``Router.update``. O(d^2), whatever the number of arms."""
        o, request = observation, observation.request
        self.space.check(request)
        self.space.bind(request)
        self.folded += 1
        bank = self._grown_bank(request)
        x, one = self._x(request), only(request, o.agent)
        row = self._row(bank, o.agent, request.candidates.cards)
        if o.quality is not None:
            self._learn_quality(bank, row, x, one, o)
        if o.cost_usd is not None or o.latency_s is not None:
            self._learn_cost(row, x, float(one.candidates.cost_usd[0]), o)

    def _learn_quality(self, bank: ArmBank, row: int, x: F64, one: Request, o: Observation) -> None:
        assert o.quality is not None
        told = self.prior.own(one, row)
        z = None if (zs := self._z(one)) is None else zs[0]
        r = o.quality - float(told.mean[0])
        e = r - bank.mean(x, z, row)
        self.noise.add(e, o.weight)
        if dropped := self.drift.dropped(row, e):
            bank.reset(row)
            self.prior.reset(row)
        bank.update(row, x, r, z=z, weight=o.weight, gamma=self.gamma)
        self.prior.fold(one, row, o.quality, o.weight, None if dropped else told.seen)

    def _learn_cost(self, row: int, x: F64, card_usd: float, o: Observation) -> None:
        if self.costs is None:
            self.costs = CostHead(len(x), lam=self.lam)
        self.costs.update(
            row, x, cost_usd=o.cost_usd, latency_s=o.latency_s, card_usd=card_usd,
            weight=o.weight, gamma=self.gamma,
        )  # fmt: skip

    def _grown_bank(self, request: Request) -> ArmBank:
        """The quality bank, as wide as the vocabulary with this request's features in it."""
        e = len(request.embedding)
        longer = self.mode != "shared" and self.context.observe(request.task)
        if self.quality is None:
            self.quality = self._new_bank(e)
        elif longer:
            self.quality.widen(self._d(e))
        if longer and self.costs is not None:
            self.costs.bank.widen(self._d(e))
        return self.quality

    def _row(self, bank: ArmBank, agent: str, cards: CardSet) -> int:
        """The arm of ``agent``; a new one starts with what it inherits."""
        if agent not in self.arms:
            kin, theta = self._kinship(cards), None
            if kin is not None and agent in cards.index:
                shares, arms = kin.shares(np.array([cards.index[agent]]), self.arms.slots(cards))
                theta = shares[0] @ bank.own_theta(arms[0])
            bank.add(theta)
        return self.arms.add(agent)

    def _kinship(self, cards: CardSet) -> Kinship | None:
        if not self.inherit or len(self.arms) < 2:
            return None
        return family(cards, least=LEAST_KINSHIP, m=KIN)

    # -- shapes ------------------------------------------------------------------------------

    def _x(self, request: Request) -> F64:
        if self.mode == "shared":
            return np.zeros(0)
        return self.context.vector(request.task, request.embedding)

    def _z(self, request: Request) -> F64 | None:
        if self.mode == "disjoint":
            return None
        return agent_vectors(request.candidates, cosines(request))

    def _d(self, e: int) -> int:
        return 0 if self.mode == "shared" else self.context.dim(e)

    def _new_bank(self, e: int) -> ArmBank:
        return ArmBank(self._d(e), 0 if self.mode == "disjoint" else len(AGENT), lam=self.lam)

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """See ``Router.state_dict``."""
        meta = {
            "settings": self._settings(),
            "space": self.space.meta(),
            "context": self.context.meta(),
            "arms": self.arms.names,
            "folded": self.folded,
            "alarms": self.drift.alarms,
            "noise": [self.noise.total, self.noise.rows],
        }
        parts: dict[str, Mapping[str, Any]] = {
            "drift": self.drift.arrays(len(self.arms)),
            "prior": self.prior.arrays(),
        }
        if self.quality is not None:
            parts["quality"] = self.quality.arrays()
        if self.costs is not None:
            parts["costs"] = self.costs.arrays(len(self.arms))
        arrays = {f"{p}.{k}": v for p, part in parts.items() for k, v in part.items()}
        return StateDict(self.name, 7, meta, arrays)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, 7)  # before it words were summed, not counted
        meta = state.meta
        if meta["settings"] != self._settings():
            raise RouterStateError(
                f"the state was learned with {meta['settings']}, this router has"
                f" {self._settings()}",
                hint="use those settings, or reset the state: agentroute state reset",
            )
        self.context.load(meta["context"])
        self.space.load(meta["space"])
        self.arms, self.folded = ArmIndex(meta["arms"]), meta["folded"]
        self.drift.load(_part(state, "drift"))
        self.prior.load(_part(state, "prior"))
        self.drift.alarms, self.noise = meta["alarms"], Noise(*meta["noise"])
        self.quality = self.costs = None
        e = self.space.e
        if quality := _part(state, "quality"):
            self.quality = self._new_bank(e)
            self.quality.load(quality)
        if costs := _part(state, "costs"):
            self.costs = CostHead(self._d(e), lam=self.lam)
            self.costs.load(costs)

    def _settings(self) -> dict[str, Any]:
        """What the arrays depend on; alpha is free to change."""
        return {
            "mode": self.mode, "lam": self.lam, "gamma": self.gamma, "text": self.context.text,
            "drift": self.drift.threshold, "slope": self.prior.prior.slope,
            "centre": self.prior.prior.centre, "learn_prior": not self.prior.fixed,
            "inherit": self.inherit,
        }  # fmt: skip


def _check_numbers(mode: str, alpha: float, lam: float, gamma: float) -> None:
    if mode not in ("disjoint", "shared", "hybrid"):
        raise ConfigError(f"unknown mode '{mode}'", hint="disjoint, shared or hybrid")
    if not (alpha >= 0 and lam > 0 and 0 < gamma <= 1):
        raise ConfigError("linucb needs alpha >= 0, lam > 0 and 0 < gamma <= 1", field="router")


def _widths(bank: ArmBank, x: F64, rows: Ints, given: Products | None) -> F64:
    return given.w2.take(rows) if given else bank.w2(x.astype(np.float32), rows)


def _part(state: StateDict, prefix: str) -> dict[str, NDArray[Any]]:
    cut = len(prefix) + 1
    return {k[cut:]: v for k, v in state.arrays.items() if k.startswith(prefix + ".")}
