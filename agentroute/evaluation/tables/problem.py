"""One cut as arrays, with inputs and labels kept apart: what is scored never reaches a learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentroute.evaluation.offpolicy.truth import truth_of
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.evaluation.tables.splits import Cut
from agentroute.features.text import Embedder
from agentroute.model.arrays import F32, F64, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What may be looked at before a choice: m texts, features and embeddings (m, e)."""

    prompts: tuple[str, ...]
    features: tuple[Mapping[str, str], ...]
    embedding: F32

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, rows: Ints) -> Inputs:
        """The inputs at these positions."""
        return Inputs(
            tuple(self.prompts[i] for i in rows),
            tuple(self.features[i] for i in rows),
            self.embedding[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What came of it: ``quality`` (m, n), NaN where an arm was not tried; ``abstain`` (m,).

    Of test rows NaN is an arm that could not have been chosen.
    """

    quality: F64
    abstain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.abstain)

    def take(self, rows: Ints) -> Labels:
        """The labels at these positions."""
        return Labels(self.quality[rows], self.abstain[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Train inputs and labels, test inputs, and the test labels that only the scorer reads.

    Columns of both ``quality`` arrays are the arms of the test table; an arm that the train table
    does not have is a column of NaN there.
    """

    cut: Cut
    train: Inputs
    known: Labels
    test: Inputs
    truth: Labels
    cost_usd: F64 | None

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the candidates."""
        return tuple(a.name for a in self.cut.test.arms)


def make_problem(cut: Cut, embedder: Embedder) -> Problem:
    """The arrays behind a cut."""
    train, test = cut.train, cut.test
    cost = None if test.cost_usd is None else test.cost_usd[cut.test_rows]
    known = Labels(_aligned(train, test)[cut.train_rows], train.abstain[cut.train_rows])
    truth = Labels(truth_of(test, cut.test_rows), test.abstain[cut.test_rows])
    return Problem(
        cut, _inputs(train, embedder).take(cut.train_rows), known,
        _inputs(test, embedder).take(cut.test_rows), truth, cost,
    )  # fmt: skip


def _inputs(table: OutcomeTable, embedder: Embedder) -> Inputs:
    return Inputs(table.prompts, table.features, table.embedding(embedder))


def _aligned(train: OutcomeTable, test: OutcomeTable) -> F64:
    """(m, n) scores of ``train`` in the column order of the arms of ``test``."""
    if train is test:
        return train.scores
    column = {a.name: j for j, a in enumerate(train.arms)}
    out = np.full((len(train), len(test.arms)), np.nan)
    for j, arm in enumerate(test.arms):
        if arm.name in column:
            out[:, j] = train.scores[:, column[arm.name]]
    return out
