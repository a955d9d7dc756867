"""What a router sees: cards, the eligible agents as arrays, one request, labelled examples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentroute.model.arrays import F32, F64, or_nan
from agentroute.model.cards import CapabilityCard
from agentroute.model.objective import QUALITY_ONLY, Objective
from agentroute.model.tasks import Task

T = TypeVar("T")
MOST_DERIVED = 32


class Derived:
    """What was derived from one immutable object: at most 32 values, the oldest dropped.

    May be used from several threads; a value is made once, and read without a lock. A copied or
    pickled object starts with nothing derived.
    """

    __slots__ = ("_lock", "_made")

    def __init__(self) -> None:
        self._lock, self._made = RLock(), dict[Hashable, tuple[Any]]()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under ``key``, by ``make`` where there is none."""
        found = self._made.get(key)
        if found is None:
            with self._lock:
                found = self._made.get(key)
                if found is None:
                    found = (make(),)
                    while len(self._made) >= MOST_DERIVED:
                        del self._made[next(iter(self._made))]
                    self._made[key] = found
        value: T = found[0]
        return value

    def __reduce__(self) -> tuple[type[Derived], tuple[()]]:
        return Derived, ()


@dataclass(frozen=True, slots=True, eq=False)
class CardSet:
    """An immutable set of N cards with their embeddings, named by its SHA-256."""

    cards: tuple[CapabilityCard, ...]
    """In row order."""
    names: NDArray[np.object_]
    """(N,) their names."""
    embedding: F32
    """(N, e), rows L2-normalised or zero."""
    sha256: str
    """Of cards and embeddings."""
    embedder_id: str
    """The space of the embeddings."""
    index: Mapping[str, int]
    """Name to row."""
    _derived: Derived = field(default_factory=Derived, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.cards)

    def derived(self, key: Hashable, make: Callable[[CardSet], T]) -> T:
        """What ``make`` says of this set, made once for a ``key``.

        For values that depend on the set and on fixed parameters alone: the key names the value
        and holds the parameters.
        """
        return self._derived.get(key, lambda: make(self))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The eligible agents, as a struct of arrays (n,); row i is ``cards.cards[rows[i]]``."""

    cards: CardSet
    """The set that they are of."""
    rows: NDArray[np.int64]
    """Their rows in it."""
    names: NDArray[np.object_]
    """Their names."""
    embedding: F32
    """(n, e) of their cards."""
    prior: F64
    """Expected quality by the card, in [0, 1]."""
    load: F64
    """Calls in flight over the limit."""
    latency_s: F64
    """Running average, else the card's; NaN where unknown."""
    cost_usd: F64
    """Running average, else the card's; NaN where unknown."""
    success: F64
    """Share of calls without error."""
    inflight: F64
    """Decisions not yet settled."""
    explorable: NDArray[np.bool_]
    """False for agents that need approval or exceed the budget left."""
    canary: NDArray[np.bool_]
    """True for agents that get at most a tenth of the choices."""

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def idle(cls, cards: CardSet, rows: NDArray[np.int64] | None = None) -> Candidates:
        """The agents at ``rows`` (all of them), idle, with what their cards say.

        Everybody is eligible and nobody has been called yet; ``latency_s`` and ``cost_usd`` are
        NaN where the card says nothing.
        """
        chosen = cards.cards if rows is None else [cards.cards[i] for i in rows]
        n = len(chosen)
        return cls(
            cards=cards,
            rows=np.arange(n) if rows is None else rows,
            names=cards.names if rows is None else cards.names[rows],
            embedding=cards.embedding if rows is None else cards.embedding[rows],
            prior=np.array([c.prior_quality for c in chosen], np.float64),
            load=np.zeros(n),
            latency_s=or_nan([c.latency_s for c in chosen]),
            cost_usd=or_nan([c.pricing.expected_usd for c in chosen]),
            success=np.ones(n),
            inflight=np.zeros(n),
            explorable=np.ones(n, np.bool_),
            canary=np.zeros(n, np.bool_),
        )

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


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """All that a router may look at for one choice."""

    task: Task
    """What to do."""
    embedding: F32
    """(e,) of the prompt."""
    candidates: Candidates
    """Who may be chosen."""
    objective: Objective = QUALITY_ONLY
    """What is wanted of the result."""
    upstream: tuple[str, ...] = ()
    """Agents that made the direct inputs."""
    stage: int = 0
    """Topological generation of the task."""
    recorded: bytes | None = None
    """A chat model's recorded reply, used in place of a call (replay)."""
    patience_s: float | None = None
    """Seconds that are left of the run, which a router's own call must not use up."""
    budget_usd: float | None = None
    """Money that is left of the run for a router's own call."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Of the run's labels ``session`` and ``user``, those that were given: hashes (``Labels``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled outcomes for routers that can be fitted: m tasks by N agents of ``cards``."""

    tasks: tuple[Task, ...]
    """m of them."""
    embedding: F32
    """(m, e) of their prompts."""
    cards: CardSet
    """N of them."""
    quality: F64
    """(m, N) in [0, 1]; NaN where not observed."""
    cost_usd: F64 | None
    """(m, N), or None."""
    latency_s: F64 | None
    """(m, N), or None."""
    abstain: NDArray[np.bool_]
    """(m,) True where nobody should be called."""
    weight: F64 | None = None
    """(m, N) how much each label counts, mean 1 for each agent; 0 where not observed. None: all 1.
    Given where only what was chosen is known: 1 / propensity."""

    def __len__(self) -> int:
        return len(self.tasks)

    def sha256(self) -> str:
        """Names the data: tasks, cards, embeddings and labels."""
        digest = hashlib.sha256(self.cards.sha256.encode())
        for task in self.tasks:
            digest.update(task.model_dump_json().encode() + b"\0")
        arrays = [self.embedding, self.quality, self.abstain]
        for array in arrays if self.weight is None else [*arrays, self.weight]:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
