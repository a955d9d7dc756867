"""Routing tests for CI: who must, may and must not get which task, and what the cards cover."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from agentroute.config.yaml import load_yaml, problem
from agentroute.errors import ConfigError, NoCandidateError, UnknownAgentError
from agentroute.execution.found import RouteFound
from agentroute.model.record import Part
from agentroute.model.tasks import Task
from agentroute.orchestrator import Orchestrator

Verdict = Literal["passed", "failed"]
NOBODY = "(nobody)"
ALIKE = 0.9


class RouteCase(Part):
    """One task, and who is to get it."""

    task: str = Field(min_length=1)
    """The words."""
    skills: tuple[str, ...] = ()
    """Skills that are required."""
    features: dict[str, str] = {}
    """Known attributes."""
    must: tuple[str, ...] = ()
    """One of these is first."""
    may: tuple[str, ...] = ()
    """Whoever is first is one of these."""
    must_not: tuple[str, ...] = ()
    """None of these is first."""
    abstain: bool = False
    """Nobody is asked."""

    @field_validator("skills", "must", "may", "must_not", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_something(self) -> RouteCase:
        says = bool(self.must or self.may or self.must_not)
        if says == self.abstain:
            raise ValueError("say must, may or must_not, or abstain: true, and not both")
        return self


class RouteTests(Part):
    """A file of cases."""

    version: int = Field(1, ge=1, le=1)
    """Layout of the file."""
    cases: tuple[RouteCase, ...] = Field(min_length=1)
    """In order."""


class Tested(Part):
    """What became of a case."""

    case: RouteCase
    """The case."""
    verdict: Verdict
    """Whether it holds."""
    first: str
    """The agent with the best score, or ``(nobody)``."""
    why: str
    """What is wrong; '' where it holds."""


class RouteReport(Part):
    """All cases, and what the cards cover."""

    tested: tuple[Tested, ...]
    """In the file's order."""
    confusion: dict[str, dict[str, int]]
    """Of cases with one ``must``: wanted to first to how often."""
    never_first: tuple[str, ...]
    """Agents that no case puts first."""
    alike: tuple[tuple[str, str, float], ...]
    """Pairs of cards that say nearly the same, with the cosine of their embeddings."""
    uncovered: tuple[str, ...]
    """Skills that a case asks for and no card has."""

    @property
    def failed(self) -> int:
        """How many cases do not hold."""
        return sum(t.verdict == "failed" for t in self.tested)


def load_cases(path: Path) -> RouteTests:
    """The cases of a YAML file: ``cases`` with ``task`` and must, may, must_not or abstain.

    Raises:
        ConfigError: with file, line and field.
    """
    doc = load_yaml(path)
    data = {"cases": doc.data} if isinstance(doc.data, list) else doc.data
    try:
        return RouteTests.model_validate(data)
    except ValidationError as e:
        raise problem(RouteTests, doc, e, ConfigError) from None


async def run_cases(tests: RouteTests, orc: Orchestrator) -> RouteReport:
    """Route every case, by score and without a draw; nobody is called, nothing is written.

    Raises:
        UnknownAgentError: a case names an agent that is not registered.
    """
    names = [str(n) for n in orc.registry.entries]
    for case in tests.cases:
        for agent in (*case.must, *case.may, *case.must_not):
            if agent not in orc.registry:
                raise UnknownAgentError(agent, names)
    tested: list[Tested] = []
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for case in tests.cases:
        first = await _first(case, orc)
        why = _wrong(case, first)
        tested.append(
            Tested(case=case, verdict="failed" if why else "passed", first=first, why=why)
        )
        wanted = NOBODY if case.abstain else case.must[0] if len(case.must) == 1 else ""
        if wanted:
            confusion[wanted][first] += 1
    won = {t.first for t in tested}
    return RouteReport(
        tested=tuple(tested),
        confusion={wanted: dict(found) for wanted, found in sorted(confusion.items())},
        never_first=tuple(sorted(set(_routable(orc)) - won)),
        alike=_alike(orc),
        uncovered=_uncovered(tests, orc),
    )


async def _first(case: RouteCase, orc: Orchestrator) -> str:
    task = Task(prompt=case.task, skills=case.skills, features=case.features)
    try:
        found: RouteFound = await orc.route(task)
    except NoCandidateError:
        return NOBODY
    if found.status == "abstained" or not found.ranked:
        return NOBODY
    return found.ranked[0].agent


def _wrong(case: RouteCase, first: str) -> str:
    if case.abstain:
        return "" if first == NOBODY else f"{first} would be asked, and nobody should"
    if case.must and first not in case.must:
        return f"{first} in place of {' or '.join(case.must)}"
    if case.may and first not in (*case.may, *case.must):
        return f"{first} is none of {', '.join(case.may)}"
    return f"{first} must not" if first in case.must_not else ""


def _routable(orc: Orchestrator) -> list[str]:
    """Agents that stand for choice: not verifiers and refiners, which are named."""
    special = {"verify", "refine"}
    return [
        e.card.name
        for e in orc.registry.entries.values()
        if not special & {s.id for s in e.card.skills} and e.card.status in ("active", "canary")
    ]


def _alike(orc: Orchestrator) -> tuple[tuple[str, str, float], ...]:
    names = _routable(orc)
    cards = orc.registry.cardset(orc.embedder)
    rows = [cards.index[n] for n in names if n in cards.index]
    x = np.asarray(cards.embedding, np.float64)[rows]
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    cosine = np.triu(x @ x.T, 1)
    pairs = [(names[i], names[j], round(float(cosine[i, j]), 3)) for i, j in _over(cosine)]
    return tuple(sorted(pairs, key=lambda p: -p[2]))


def _over(cosine: np.ndarray[Any, np.dtype[np.float64]]) -> list[tuple[int, int]]:
    i, j = np.nonzero(cosine >= ALIKE)
    return list(zip(i.tolist(), j.tolist(), strict=True))


def _uncovered(tests: RouteTests, orc: Orchestrator) -> tuple[str, ...]:
    there = {s.id for e in orc.registry.entries.values() for s in e.card.skills}
    wanted = {skill for case in tests.cases for skill in case.skills}
    return tuple(sorted(wanted - there))
