"""A table given alone: which of its own splits is scored, or that a share of it is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentroute.evaluation.tables.outcomes import SPLITS, OutcomeTable
from agentroute.evaluation.tables.splits import DEFAULT_TEST

HELD_OUT = 0.3
_SCORED = (DEFAULT_TEST, ("val",))  # the first that there is, beside others, is scored


@dataclass(frozen=True, slots=True)
class Alone:
    """The splits that are scored, or of which a share is held out; ``words`` says which."""

    splits: tuple[str, ...]
    holdout: float | None
    words: str


def parts_of(table: OutcomeTable, test_split: Sequence[str] = ()) -> Alone:
    """What is scored: the splits asked for, else its test rows, else its val rows, else a share.

    Every other row but test rows may be learned from. Only names of splits are looked at.
    """
    have = {s for s in SPLITS if len(table.rows([s]))}
    for split in [tuple(test_split)] if test_split else _SCORED:
        if test_split or (set(split) & have and have - set(split) - set(DEFAULT_TEST)):
            return Alone(split, None, f"its rows of split {' and '.join(split)} are scored")
    share = f"{100 * HELD_OUT:.0f} %"
    return Alone(
        tuple(sorted(have)), HELD_OUT, f"it has no split of its own to score: {share} is held out"
    )
