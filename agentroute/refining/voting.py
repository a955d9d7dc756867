"""A weighted vote over answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentroute.refining.extract import canonical


@dataclass(frozen=True, slots=True)
class Vote:
    """``winner`` is an answer as given by its heaviest supporter; ``share`` its part of the weight.

    ``supporters`` gave it; ``tally`` maps each class of answers to its weight, heaviest first.
    """

    winner: str
    share: float
    supporters: tuple[str, ...]
    tally: dict[str, float]

    @property
    def unanimous(self) -> bool:
        """Whether all answers fall into one class."""
        return len(self.tally) == 1


def weighted_vote(
    answers: Mapping[str, str],
    weights: Mapping[str, float] | None = None,
    *,
    key: Callable[[str], str] = canonical,
) -> Vote:
    """The answer class with the most weight: argmax over classes a of sum_i w_i [key(x_i) = a].

    ``answers`` maps a voter to its text; a voter without a weight has 1. Equal weights go to the
    class with more voters, then to the one that comes first in ``answers``: never to chance.

    Raises:
        ValueError: no answers, or a negative weight.
    """
    w = {v: float((weights or {}).get(v, 1.0)) for v in answers}
    if not answers or min(w.values()) < 0:
        raise ValueError("a vote needs answers and weights that are not negative")
    groups: dict[str, list[str]] = defaultdict(list)
    for voter, text in answers.items():
        groups[key(text)].append(voter)
    order = sorted(groups, key=lambda g: (-sum(w[v] for v in groups[g]), -len(groups[g])))
    best = groups[order[0]]
    total = sum(w.values())
    share = sum(w[v] for v in best) / total if total else len(best) / len(answers)
    spokesman = max(best, key=lambda v: w[v])
    tally = {g: sum(w[v] for v in groups[g]) for g in order}
    return Vote(answers[spokesman], share, tuple(best), tally)
