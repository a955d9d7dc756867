"""What a depth policy is shown and what it says. Sans-IO: it calls nobody and keeps no state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeGuard, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.model.candidates import Candidates
from agentroute.model.scores import Scores


@runtime_checkable
class Depth(Protocol):
    """A depth policy. It keeps no state: what it says depends on what it is shown alone."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """How many agents are asked first, at least 1, and the reason ('' where there is none)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One agent's answer as a depth policy sees it."""

    agent: str
    """Who gave it."""
    key: str
    """Its class: answers that say the same have the same key."""
    expected: float
    """What the router expected of the agent, in [0, 1]."""
    confidence: float | None = None
    """The agent's own, in [0, 1]; None where it states none."""
    verified: float | None = None
    """A verifier's score, in [0, 1]; None where nobody verified it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of a task after some agents were asked."""

    answers: tuple[Answer, ...]
    """In the order in which they came; agents that failed or abstained gave none."""
    sigma: float
    """Their disagreement in [0, 1]: 0 all alike, 1 all different; 0 without answers."""
    asked: int
    """How many agents were asked, those that failed too."""
    left: int
    """How many candidates nobody has asked."""

    @property
    def groups(self) -> list[list[Answer]]:
        """The answers by class, most answers first, then the most expected of, then the first."""
        by: dict[str, list[Answer]] = {}
        for a in self.answers:
            by.setdefault(a.key, []).append(a)
        return sorted(by.values(), key=lambda g: (-len(g), -max(a.expected for a in g)))


@dataclass(frozen=True, slots=True)
class AskMore:
    """Ask ``k`` agents more, none of those asked before."""

    k: int
    reason: str
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Accept:
    """The answers of these agents stand; of several the joined one. None: of all.

    ``short`` says in words what is missing where the answer is not as good as was asked for.
    """

    agents: tuple[str, ...] | None
    reason: str
    propensity: float = 1.0
    short: str = ""


@dataclass(frozen=True, slots=True)
class Escalate:
    """The answers do not settle it: whoever joins (the refiner) judges all of them."""

    reason: str
    propensity: float = 1.0


Step = AskMore | Accept | Escalate


@runtime_checkable
class Stepwise(Depth, Protocol):
    """A depth policy that looks at answers: after each round it is asked what to do next."""

    def next(self, seen: Seen, rng: np.random.Generator) -> Step:
        """What to do now. ``rng`` is the step's own; a step that was drawn says its propensity."""

    @property
    def k_max(self) -> int:
        """The most agents that it ever asks for one task."""


@runtime_checkable
class Ranks(Protocol):
    """A depth policy with an order of its own: who is asked first, and who next."""

    def ranked(self, scores: Scores, candidates: Candidates) -> Scores:
        """The scores with a ``bonus`` that puts the candidates in that order; means untouched."""


@runtime_checkable
class Verifies(Protocol):
    """A depth policy that wants each answer scored before it is asked."""

    @property
    def verifier(self) -> str | None:
        """The agent that scores; None for nobody."""


_KNOWN: WeakKeyDictionary[type, dict[type, bool]] = WeakKeyDictionary()


def has(depth: Depth, protocol: Any) -> bool:
    """``isinstance``, asked once a class: each task asks four times, 40 us a time."""
    known = _KNOWN.setdefault(type(depth), {})
    found = known.get(protocol)
    if found is None:
        found = known[protocol] = isinstance(depth, protocol)
    return found


def is_stepwise(depth: Depth) -> TypeGuard[Stepwise]:
    """Whether it looks at answers."""
    return has(depth, Stepwise)


def is_ranks(depth: Depth) -> TypeGuard[Ranks]:
    """Whether it has an order of its own."""
    return has(depth, Ranks)


def bounded(step: Step, depth: Stepwise, seen: Seen) -> Step:
    """The step within the policy's own bound and who is there."""
    if not isinstance(step, AskMore):
        return step
    k = min(step.k, depth.k_max - seen.asked, seen.left)
    if k < 1:
        why = f"{step.reason}; but {seen.asked} were asked and {seen.left} are left"
        return Escalate(why, step.propensity)
    return replace(step, k=k)


def majority(seen: Seen, reason: str) -> Accept | Escalate | None:
    """Accept the class with more than half of the answers; None where there is none."""
    groups = seen.groups
    if groups and 2 * len(groups[0]) > len(seen.answers):
        return Accept(tuple(a.agent for a in groups[0]), reason)
    return None


def best_expected(seen: Seen) -> tuple[str, ...]:
    """Who answered and is expected to be right most, alone; nobody where nobody answered."""
    best = max(seen.answers, key=lambda a: a.expected, default=None)
    return () if best is None else (best.agent,)
