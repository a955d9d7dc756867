"""Rounds as a depth policy: which sub-query comes next, whom it suits, and when to answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth.checks import share, whole
from agentroute.choosing.depth.protocol import Depth, has
from agentroute.choosing.depth.rounds.reward import expected
from agentroute.errors import ConfigError
from agentroute.model.candidates import Candidates
from agentroute.model.scores import Scores


@dataclass(frozen=True, slots=True)
class Turn:
    """What was routed and what came of it; ``information`` '' where nobody could say anything.

    ``about`` is the open question that it was for, by its place; None for one of a guide's own.
    """

    n: int
    think: str
    sub_query: str
    agent: str
    information: str
    about: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Ask ``agent`` (None: whom the router thinks best) this sub-query."""

    think: str
    sub_query: str
    agent: str | None = None
    about: int | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Answer now, with what the turns ``cites`` brought; ``text`` None: joined by rule.

    ``short`` says in words what is missing.
    """

    think: str
    cites: tuple[int, ...] = ()
    text: str | None = None
    short: str = ""


@runtime_checkable
class Turnwise(Depth, Protocol):
    """A depth policy that takes turns: it says each time what is asked, or that it is enough."""

    @property
    def max_turns(self) -> int:
        """The most sub-queries of one task."""

    @property
    def guide(self) -> str | None:
        """The agent that says what to ask; None for the rule."""

    def turn(self, questions: tuple[str, ...], turns: tuple[Turn, ...]) -> Route | Finish:
        """By rule: what to ask now, given what came so far."""


def is_turnwise(depth: Depth) -> TypeGuard[Turnwise]:
    """Whether it takes turns."""
    return has(depth, Turnwise)


@dataclass(frozen=True)
class Rounds:
    """Think, route, read, at most ``max_turns`` times, then answer (Router-R1, Zhang et al. 2025).

    By rule: the first open question of the task goes to the agent with the largest expected reward
    p ((1 - alpha) + alpha R_cost); one that nobody could answer is asked of somebody else while
    turns are left. It answers when no question is open. A task's questions are the items of
    ``params.questions``, else the steps of its words. With ``guide``, an agent says what to ask of
    whom and writes the answer; a turn of it that breaks a rule is taken by the rule instead. No
    weights are trained.
    """

    max_turns: int = 4
    alpha: float = 0.0
    guide: str | None = None
    name: str = field(default="rounds", init=False)

    def __post_init__(self) -> None:
        whole("max_turns", self.max_turns)
        share("alpha", self.alpha)
        if self.guide is not None and (not isinstance(self.guide, str) or not self.guide):
            raise ConfigError("must be an agent's name", field="depth.guide")

    def how_many(self, scores: Scores, choice: Choice) -> tuple[int, str]:
        """One at a time."""
        return 1, "rounds: one sub-query at a time"

    def ranked(self, scores: Scores, candidates: Candidates) -> Scores:
        """See ``Ranks``: by expected reward, optimistic as the router is; means untouched."""
        if not self.alpha:
            return scores
        p = np.maximum(np.nan_to_num(scores.mean), 0.0) + scores.bonus
        wanted = expected(p, candidates.cost_usd, self.alpha)
        return replace(scores, bonus=np.asarray(wanted - scores.mean))

    def turn(self, questions: tuple[str, ...], turns: tuple[Turn, ...]) -> Route | Finish:
        """The first open question, those asked least first; else the answer."""
        told = {t.about for t in turns if t.information}
        open_ = [i for i in range(len(questions)) if i not in told]
        m, cites = len(questions), tuple(t.n for t in turns if t.information)
        if not open_:
            return Finish(f"all {m} questions have an answer", cites)
        if len(turns) >= self.max_turns:
            why = f"{len(open_)} of {m} questions have no answer after {len(turns)} turns"
            return Finish(why, cites, short=why)
        asked = [sum(t.about == i for t in turns) for i in open_]
        i = open_[int(np.argmin(asked))]
        again = f", asked {min(asked) + 1} times" if min(asked) else ""
        return Route(f"question {i + 1} of {m} is open{again}", questions[i], about=i)
