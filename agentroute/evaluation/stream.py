"""Rows of a table as requests and observations: what a router meets when it is evaluated."""

from __future__ import annotations

import numpy as np

from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.features.text import Embedder
from agentroute.model.arrays import F64, Ints
from agentroute.model.candidates import Candidates, Request
from agentroute.model.objective import Bounds, Objective
from agentroute.model.outcomes import Observation


def objective_bounds(table: OutcomeTable, rows: Ints, candidates: Candidates) -> Bounds:
    """5th and 95th percentile of log1p cost and latency: of the rows, else of the cards."""
    cost = _percentiles(table.cost_usd, rows, candidates.cost_usd)
    latency = _percentiles(table.latency_s, rows, candidates.latency_s)
    return Bounds(*cost, *latency)


def _percentiles(measured: F64 | None, rows: Ints, by_card: F64) -> tuple[float, float]:
    values = by_card if measured is None else measured[rows].ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        values = by_card[np.isfinite(by_card)]
    if not len(values):
        return 0.0, 0.0
    lo, hi = np.percentile(np.log1p(values), [5, 95])
    return float(lo), float(hi)


class Stream:
    """Row i of a table as a ``Request``, and its cell (i, j) as an ``Observation``.

    On a row of a partial table the candidates are those who could have been chosen.
    """

    def __init__(self, table: OutcomeTable, embedder: Embedder, objective: Objective) -> None:
        self.table, self.objective = table, objective
        self.candidates = Candidates.idle(table.cardset(embedder))
        self._embedding = table.embedding(embedder)

    def request(self, i: int) -> Request:
        """What is known of row i before the choice: no score, no cost, no abstain flag."""
        return Request(
            task=self.table.tasks[i],
            embedding=self._embedding[i],
            candidates=self._of_row(i),
            objective=self.objective,
        )

    def _of_row(self, i: int) -> Candidates:
        p = self.table.propensity
        return self.candidates if p is None else self.candidates.take(np.flatnonzero(p[i] > 0))

    def known(self, i: int) -> Ints:
        """The arms whose outcome on row i is known."""
        return np.flatnonzero(~np.isnan(self.table.scores[i]))

    def observation(
        self, request: Request, i: int, j: int, seq: int, propensity: float = 1.0
    ) -> Observation:
        """What came of giving row i to arm j; None where cost or latency was not measured."""
        return Observation(
            seq=seq,
            decision_id=f"{self.table.ids[i]}#{seq}",
            request=request,
            agent=str(self.candidates.names[j]),
            quality=float(self.table.scores[i, j]),
            cost_usd=_cell(self.table.cost_usd, i, j),
            latency_s=_cell(self.table.latency_s, i, j),
            propensity=propensity,
        )


def _cell(values: F64 | None, i: int, j: int) -> float | None:
    if values is None or np.isnan(values[i, j]):
        return None
    return float(values[i, j])
