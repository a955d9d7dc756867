"""An explanation as data: what a decision's row says, in words a user knows."""

from __future__ import annotations

from agentroute.model.decisions import Decision
from agentroute.model.record import Part


class Term(Part):
    """One part of a score: the chosen agent's beside the best rival's."""

    name: str
    """The router's word for it."""
    words: str
    """The same for people."""
    chosen: float
    """In units of utility."""
    rival: float
    """Of the best rival; 0 where there is none."""

    @property
    def difference(self) -> float:
        """How much it speaks for the chosen one."""
        return self.chosen - self.rival


class Standing(Part):
    """One candidate as the router saw it."""

    agent: str
    """Its name."""
    mean: float | None
    """Expected utility in [0, 1]; None where screening left it out."""
    bonus: float
    """What uncertainty added."""
    propensity: float
    """Probability to be drawn first."""
    calls: int
    """How often it had been called before, as the ledger knows."""
    judged: int
    """How often somebody had said how good it was."""
    terms: dict[str, float] = {}
    """They add up to the mean."""

    @property
    def total(self) -> float:
        """What the choice is made by."""
        return float("-inf") if self.mean is None else self.mean + self.bonus


class PastCase(Part):
    """A decision of before on a task of like meaning, with what came of it."""

    decision_id: str
    """Which one."""
    similarity: float
    """Cosine of the two tasks' embeddings."""
    prompt: str
    """The task."""
    chosen: tuple[str, ...]
    """Who did it."""
    score: float
    """Mean of what was said of it."""


class WhyNot(Part):
    """Why an agent was not the choice, and the least that would have made it so."""

    agent: str
    """Whom it is about."""
    sentence: str
    """Why."""
    changes: tuple[str, ...] = ()
    """What would each, alone, have flipped the choice; the smallest first."""


class Explanation(Part):
    """Why this agent and not that one."""

    decision: Decision
    """The choice."""
    task: str = ""
    """The task's words; '' where the kind has none."""
    headline: str
    """The reason in one sentence."""
    explored: bool = False
    """Whether the draw, and not the score, made the choice."""
    rival: str = ""
    """The best candidate that was not chosen."""
    out_of_scope: float = 0.0
    """How likely nobody fits, by the router."""
    terms: tuple[Term, ...] = ()
    """The chosen agent's score and the rival's, part by part."""
    candidates: tuple[Standing, ...] = ()
    """All candidates, best first."""
    excluded: dict[str, tuple[str, ...]] = {}
    """Reason to the agents that were no candidates for it."""
    came: tuple[str, ...] = ()
    """What came of it, in order: calls and words on it."""
    cases: tuple[PastCase, ...] = ()
    """The nearest decisions of before, the nearest first; none below the threshold."""
    cases_below: int = 0
    """How many judged decisions of before were not alike enough to be among them."""
    cases_at_least: float = 0.0
    """The threshold: the least cosine of the two tasks' embeddings."""
    why_not: WhyNot | None = None
    """Where one was asked about."""
