"""Ant-colony routing: specialists of trails for each kind of task, fused by what the task is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from agentroute.choosing.prior import CardPrior
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError
from agentroute.model.arrays import F64
from agentroute.model.candidates import Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.routers.parts.binding import Space, check_kind
from agentroute.routers.parts.index import ArmIndex
from agentroute.routers.parts.terms import total
from agentroute.routers.pheromone.colony import (
    ALPHA,
    BETA,
    desirability,
    proportional,
    stagnation,
    top_paths,
)
from agentroute.routers.pheromone.intent import GENERAL, Intent
from agentroute.routers.pheromone.trails import Trails

ANY = "*"
GENERAL_VISITS = 2.0  # what holds for all kinds never outweighs what the card says of this task


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What a decision rests on: ``tau``, ``eta``, ``p`` (n,), the intent ``w``, rows ``folded``."""

    tau: F64
    eta: F64
    p: F64
    w: dict[str, float]
    folded: int


class PheromoneRouter:
    """AMRO-S (arXiv 2603.12933) as a router; the values of its parameters are ours.

    Layered graph: a decision at stage s walks an edge from each agent i that made an input ('' at
    the start) to the chosen j. Specialists: tau^t_ij for each kind of task t (``Trails``); a task
    is a mixture w over kinds (``Intent``), and tau_ij = sum_t w_t tau^t_ij. An edge that no row
    ever showed reads as the trails into j from anywhere.

    ``mean``: a trail with v visits estimates quality, the desirability eta says what is expected
    before: (v tau + kappa eta) / (v + kappa), under the objective. ``bonus`` = curiosity /
    sqrt(1 + v + in flight). ``Scores.evidence`` holds tau, eta and w (``read_trace``); p is
    tau^alpha eta^beta normalised, mixed with a uniform ``floor``: the rule for who prefers
    sampling to ``decide``.

    A result below ``gate`` never adds pheromone. State is folded rows alone: a judge
    beside the runs writes feedback rows, it never touches a trail.

    One walk with q = 1: tau = 0.5 + (1 - 0.5) / 2. With v = 1, kappa = 2: (tau + 2 eta) / 3.

    >>> from agentroute.testing.routers import World, score
    >>> world, router = World(agents=1), PheromoneRouter()
    >>> request = Request(world.task(), np.zeros(64, np.float32), world.candidates())
    >>> router.update(Observation(1, "d1", request, "agent0", quality=1.0))
    >>> s = score(router, request)  # eta = 0.7 x 0.5 + 0.2 / 1 + 0.1 / 2 = 0.6
    >>> router.trace(s.evidence).tau.tolist(), s.mean.round(3).tolist()
    ([0.75], [0.65])
    """

    name = "pheromone"
    taxonomy = Taxonomy("during", ("task", "card", "load", "outcomes"), "bandit")
    VERSION = 1

    def __init__(
        self,
        *,
        alpha: float = ALPHA,
        beta: float = BETA,
        rho: float = 0.001,
        eta: float = 0.01,
        tau_min: float = 0.02,
        gate: float = 0.2,
        floor: float = 0.05,
        kappa: float = 2.0,
        curiosity: float = 0.4,
        max_kinds: int = 64,
        slope: float = 0.5,
        centre: float = 0.3,
    ) -> None:
        for name, value in (
            ("rho", rho),
            ("eta", eta),
            ("tau_min", tau_min),
            ("gate", gate),
            ("floor", floor),
        ):
            if not 0.0 <= value < 1.0:
                raise ConfigError(f"{name} is {value}", field="router", hint="0 to below 1")
        self.alpha, self.beta, self.gate = alpha, beta, gate
        self.kappa, self.curiosity, self.floor = kappa, curiosity, floor
        self.prior = CardPrior(slope, centre)
        self.trails = Trails(rho=rho, eta=eta, tau_min=tau_min)
        self.intent = Intent(max_kinds=max_kinds)
        self.index, self.space = ArmIndex(), Space()
        self.folded = 0

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``. Terms: trail, desirability, cost, latency."""
        self.space.check(request)
        c, goal = request.candidates, request.objective
        w = self.intent.mixture(request.task, request.embedding)
        tau, visits = self.fuse(w, sources(request), self.index.rows(c))
        eta = desirability(request, self.prior)
        share = visits / (visits + self.kappa)
        trail, wish = share * tau, (1.0 - share) * eta
        parts = goal.parts(trail + wish, c.cost_usd, c.latency_s)
        terms = {"trail": goal.quality_share * trail, "desirability": goal.quality_share * wish}
        terms |= {name: part for name, part in parts.items() if name != "quality"}
        bonus = goal.quality_share * self.curiosity / np.sqrt(1.0 + visits + c.inflight)
        return Scores(
            total(parts), bonus, terms, _reason(w), evidence=_pack(tau, eta, w, self.folded)
        )

    def trace(self, evidence: bytes) -> Trace:
        """What ``Scores.evidence`` holds, with p by this router's alpha and beta.

        Raises:
            ConfigError: not written by this router.
        """
        tau, eta, head = _unpack(evidence)
        p = proportional(tau, eta, alpha=self.alpha, beta=self.beta, floor=self.floor)
        return Trace(tau, eta, p, head["w"], head["folded"])

    def fuse(
        self, w: dict[str, float], edges_from: list[str], slots: NDArray[np.int64]
    ) -> tuple[F64, F64]:
        """Tau (n,) = sum_t w_t tau^t over the kinds, mean over the sources; visits likewise."""
        rows = [
            (weight / len(edges_from), r, GENERAL_VISITS if kind == GENERAL else np.inf)
            for kind, weight in w.items()
            if weight > 0.0
            for source in edges_from
            if (r := self._row(kind, source)) is not None
        ]
        tau, visits, known = np.zeros(len(slots)), np.zeros(len(slots)), 0.0
        for weight, r, most in rows:  # at most kinds x inputs, never agents
            t, v = self.trails.read(r, slots)
            tau += weight * t
            visits += weight * np.minimum(v, most)
            known += weight
        return tau + max(0.0, 1.0 - known) * 0.5, visits

    def update(self, observation: Observation) -> None:
        """See ``Router.update``: evaporate the task's specialists, deposit on the edge walked."""
        o = observation
        self.folded = max(self.folded, o.seq)
        if o.quality is None:
            return
        self.space.check(o.request)
        self.space.bind(o.request)
        slot = self.index.add(o.agent)
        w = self.intent.learn(o.request.task, o.request.embedding)
        for kind, weight in {**w, GENERAL: 1.0}.items():
            self._walk(kind, sources(o.request), slot, o.quality, weight * o.weight)

    def state_dict(self) -> StateDict:
        """See ``Router.state_dict``."""
        meta = {
            "agents": self.index.names,
            "intents": list(self.intent.index),
            "folded": self.folded,
            **self.trails.meta(),
            **self.space.meta(),
        }
        arrays = self.trails.arrays(len(self.index)) | self.intent.arrays()
        return StateDict(self.name, self.VERSION, meta, arrays)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, self.name, self.VERSION)
        self.index = ArmIndex(state.meta["agents"])
        self.folded = state.meta["folded"]
        self.space.load(state.meta)
        self.intent.load(state.meta["intents"], state.arrays)
        self.trails.load(state.meta, state.arrays)

    def show(self, kind: str | None = None, *, top: int = 10) -> dict[str, Any]:
        """The trails of one kind (of every kind without a name) as JSON, for people.

        ``code`` names ``lang=code`` or ``skill:code`` where only one kind ends so.
        For each kind: ``sources``, ``agents``, the matrix ``tau`` (sources by agents), ``visits``,
        ``p`` (trails alone, since eta belongs to a task), ``stagnation`` of each row, the ``top``
        edges and the most probable ``paths`` from the first stage to the last, by p.

        Raises:
            ConfigError: no such kind.
        """
        kinds = list(self.trails.kinds)
        shown = kinds if kind is None else [self._named(kind)]
        return {"folded": self.folded, "kinds": {k: self._shown(k, top) for k in shown}}

    # -- inside ------------------------------------------------------------------------------

    def _row(self, kind: str, source: str) -> int | None:
        r = self.trails.row(kind, source)
        return self.trails.row(kind, ANY) if r is None else r

    def _walk(self, kind: str, edges: list[str], slot: int, quality: float, weight: float) -> None:
        self.trails.evaporate(kind, weight)
        good = quality >= self.gate
        for source in (ANY, *edges):
            part = weight if source == ANY else weight / len(edges)
            self.trails.deposit(self.trails.open_row(kind, source), slot, quality, part, gate=good)

    def _named(self, word: str) -> str:
        kinds = list(self.trails.kinds)
        ends = [k for k in kinds if k.endswith((f"={word}", f":{word}"))]
        found = [word] if word in kinds else ends
        if len(found) != 1:
            raise ConfigError(f"no trails of kind '{word}'", hint=f"known: {', '.join(kinds)}")
        return found[0]

    def _shown(self, kind: str, top: int) -> dict[str, Any]:
        agents = self.index.names
        slots = np.arange(1, len(agents) + 1)
        rows = {s: r for (k, s), r in self.trails.rows.items() if k == kind}
        read = {s: self.trails.read(r, slots) for s, r in rows.items()}
        p = {s: proportional(tau, tau, alpha=self.alpha, beta=0.0) for s, (tau, _) in read.items()}
        edges = [(s, a, float(x)) for s in p for a, x in zip(agents, p[s], strict=True)]
        depth = 1 + max((int(s.partition("|")[0]) for s in rows if s != ANY), default=0)
        paths = top_paths([agents] * depth, lambda s, i: p.get(f"{s}|{i}", p[ANY]), k=top)
        return {
            "agents": agents,
            "sources": list(rows),
            "tau": [tau.round(4).tolist() for tau, _ in read.values()],
            "visits": [v.tolist() for _, v in read.values()],
            "p": [x.round(4).tolist() for x in p.values()],
            "stagnation": [round(stagnation(x), 4) for x in p.values()],
            "top": sorted(edges, key=lambda e: -e[2])[:top],
            "paths": [{"agents": list(path), "p": round(x, 6)} for path, x in paths],
        }


def sources(request: Request) -> list[str]:
    """Names of the edges' beginnings: ``stage|agent`` for each input, ``stage|`` at the start."""
    return [f"{request.stage}|{a}" for a in request.upstream or ("",)]


def _reason(w: dict[str, float]) -> str:
    parts = sorted(w.items(), key=lambda kv: -kv[1])[:3]
    return "kinds: " + ", ".join(f"{k} {v:.2f}" for k, v in parts if v > 0.005)


def _pack(tau: F64, eta: F64, w: dict[str, float], folded: int) -> bytes:
    """One line of JSON, then tau and eta as little-endian float32."""
    head = orjson.dumps({"v": 1, "n": len(tau), "w": w, "folded": folded})
    arrays = np.concatenate([tau, eta]).astype("<f4").tobytes()
    return head + b"\n" + arrays


def _unpack(evidence: bytes) -> tuple[F64, F64, dict[str, Any]]:
    head, _, body = evidence.partition(b"\n")
    try:
        meta = orjson.loads(head)
        both = np.frombuffer(body, "<f4").astype(np.float64)
        n = meta["n"]
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError("the recorded evidence is not of the pheromone router") from e
    return both[:n], both[n:], meta
