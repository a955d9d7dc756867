"""What a router sees and what it says: arrays over the candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CardSet:
    """An immutable set of cards with their embeddings, named by its SHA-256.

    Shapes: ``embedding`` (N, e) float32, rows L2-normalised or zero.

    ``index`` maps a name to its row.
    """

    cards: tuple[CapabilityCard, ...]
    names: NDArray[np.object_]
    embedding: F32
    sha256: str
    embedder_id: str
    index: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.cards)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The eligible agents, as a struct of arrays (n,); row i is ``cards.cards[rows[i]]``.

    ``prior`` expected quality by the card in [0, 1]; ``load`` calls in flight over the limit;
    ``latency_s``, ``cost_usd`` running averages, else the card's values (NaN where unknown);
    ``success`` share of calls without error; ``inflight`` decisions not yet settled;
    ``explorable`` False for agents that need approval or exceed the budget left;
    ``canary`` True for agents that may get at most a tenth of the choices.
    """

    cards: CardSet
    rows: NDArray[np.int64]
    names: NDArray[np.object_]
    embedding: F32
    prior: F64
    load: F64
    latency_s: F64
    cost_usd: F64
    success: F64
    inflight: F64
    explorable: NDArray[np.bool_]
    canary: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keep: NDArray[np.int64]) -> Candidates:
        """The candidates at positions ``keep``, in that order."""
        return Candidates(
            self.cards,
            *(
                getattr(self, f)[keep]
                for f in (
                    "rows",
                    "names",
                    "embedding",
                    "prior",
                    "load",
                    "latency_s",
                    "cost_usd",
                    "success",
                    "inflight",
                    "explorable",
                    "canary",
                )
            ),
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Clipping range of ``log1p`` cost and latency: 5th and 95th percentile of recent outcomes."""

    cost_lo: float = 0.0
    cost_hi: float = 0.0
    latency_lo: float = 0.0
    latency_hi: float = 0.0


NEUTRAL = 0.5


def _scaled(x: F64, lo: float, hi: float) -> F64:
    if hi <= lo:
        return np.full(np.shape(x), NEUTRAL)
    with np.errstate(invalid="ignore"):
        y = np.clip((np.log1p(x) - lo) / (hi - lo), 0.0, 1.0)
    return np.where(np.isnan(y), NEUTRAL, y)


@dataclass(frozen=True, slots=True)
class Objective:
    """Weights of quality, cost and latency, given at the call; no refit is needed to change them.

    Utility = (w_q q + w_c (1 - c') + w_l (1 - l')) / (w_q + w_c + w_l), where c' and l' are
    ``log1p`` of cost (USD) and latency (s), scaled by ``bounds`` and clipped to [0, 1].
    A missing value, or bounds without width, is neutral: 0.5.
    """

    quality: float = 1.0
    cost: float = 0.0
    latency: float = 0.0
    bounds: Bounds = Bounds()

    def __post_init__(self) -> None:
        w = (self.quality, self.cost, self.latency)
        if not all(np.isfinite(w)) or min(w) < 0 or sum(w) <= 0:
            raise ValueError("objective weights must be finite, not negative, and not all zero")

    def cost_term(self, cost_usd: F64) -> F64:
        """1 - c', shape of the input, in [0, 1]."""
        return 1.0 - _scaled(cost_usd, self.bounds.cost_lo, self.bounds.cost_hi)

    def latency_term(self, latency_s: F64) -> F64:
        """1 - l', shape of the input, in [0, 1]."""
        return 1.0 - _scaled(latency_s, self.bounds.latency_lo, self.bounds.latency_hi)

    @property
    def quality_share(self) -> float:
        """w_q over the sum of the weights: how much of a unit of quality is utility."""
        return self.quality / (self.quality + self.cost + self.latency)

    def parts(self, q: F64, cost_usd: F64, latency_s: F64) -> dict[str, F64]:
        """The weighted terms, which add up to the utility. Zero-weight terms are left out."""
        total = self.quality + self.cost + self.latency
        out = {"quality": self.quality / total * q}
        if self.cost:
            out["cost"] = self.cost / total * self.cost_term(cost_usd)
        if self.latency:
            out["latency"] = self.latency / total * self.latency_term(latency_s)
        return out

    def utility(self, q: F64, cost_usd: F64, latency_s: F64) -> F64:
        """Utility in [0, 1] for q in [0, 1]."""
        return np.asarray(sum(self.parts(q, cost_usd, latency_s).values()))


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """All that a router may look at for one choice.

    ``embedding`` (e,) float32 of the prompt; ``upstream`` the agents that made the direct inputs;
    ``stage`` the topological generation of the task; ``recorded`` a chat model's recorded reply
    that is to be used in place of a call (replay).
    """

    task: Task
    embedding: F32
    candidates: Candidates
    objective: Objective = Objective()
    upstream: tuple[str, ...] = ()
    stage: int = 0
    recorded: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A router's opinion: row i is candidate i.

    ``mean`` (n,) expected utility in [0, 1]; ``bonus`` (n,) exploration in the same unit;
    ``terms`` name -> (n,), adding up to ``mean`` (with a ``clip`` term where it was clipped);
    ``out_of_scope`` in [0, 1]; ``evidence`` bytes that a replay needs (a model's reply).
    """

    mean: F64
    bonus: F64
    terms: Mapping[str, F64] = field(default_factory=dict)
    reason: str = ""
    out_of_scope: float = 0.0
    evidence: bytes | None = None


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What kind of router this is (arXiv 2603.04445): when it decides, from what, and how."""

    when: Literal["before", "during", "after"]
    info: tuple[str, ...]
    compute: Literal["rules", "similarity", "supervised", "bandit", "generative", "ensemble"]


@dataclass(frozen=True, slots=True, eq=False)
class StateDict:
    """Learned state as data: JSON ``meta`` and named arrays; never code.

    ``kind`` names the router, ``version`` the layout of its state.
    """

    kind: str
    version: int
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled outcomes for routers that can be fitted: m tasks by N agents of ``cards``.

    Shapes: ``embedding`` (m, e) float32; ``quality`` (m, N) in [0, 1], NaN where not observed;
    ``cost_usd``, ``latency_s`` (m, N) or None; ``abstain`` (m,) True where nobody should be called.
    """

    tasks: tuple[Task, ...]
    embedding: F32
    cards: CardSet
    quality: F64
    cost_usd: F64 | None
    latency_s: F64 | None
    abstain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tasks)
