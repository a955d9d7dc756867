"""The contract of a router: it scores, it learns, it can be saved. It never chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agentroute.choosing.state import StateDict
from agentroute.model.candidates import Examples, Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy


@runtime_checkable
class Router(Protocol):
    """Scores the candidates of a task, and learns from what came of the decision.

    Order of calls: ``score`` any number of times, from any task of one event loop; ``update`` for
    each observation, in ``seq`` order, never during a ``score``'s own arithmetic;
    ``state_dict`` / ``load_state_dict`` between the two.

    State depends on the observations folded and on nothing else: not on the clock, not on
    ``score``. Two routers built alike that folded the same rows are bit-equal on one machine.

    A router that learns nothing may have an attribute ``learns``, False: no row is folded for it.
    """

    name: str
    taxonomy: Taxonomy

    async def score(self, request: Request) -> Scores:
        """Row i of the result scores candidate i. Changes nothing that was learned.

        ``mean`` is finite and in [0, 1]; ``bonus`` is finite and not negative; ``terms`` add up to
        ``mean``. Works for any number n >= 1 of candidates, in any order (permutation
        equivariant), and for agents never seen before.

        Raises:
            RouterStateError: the request's embedding is not of the kind the state was learned on.
            NotFittedError: this router must be fitted first and was not.
        """

    def update(self, observation: Observation) -> None:
        """Learn from one row. An unknown agent is a new arm, not an error.

        What it raises is logged, and the row is skipped for good: raise before changing anything.
        """

    def state_dict(self) -> StateDict:
        """All that was learned, as arrays and JSON."""

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from saved state.

        Raises:
            RouterStateError: another kind, version, shape, vocabulary or embedder.
        """


@runtime_checkable
class BatchRouter(Router, Protocol):
    """A router that scores many requests in less time than one after the other."""

    async def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """As ``score`` of each, up to rounding: nobody's scores depend on the other requests."""


@runtime_checkable
class FittableRouter(Router, Protocol):
    """A router that can also be fitted on labelled outcomes (offline, all arms known or partly).

    One that cannot score before it was fitted has a property ``is_fitted`` besides; without one it
    is taken to be able to.
    """

    def fit(self, examples: Examples, *, seed: int = 0) -> None:
        """Fit on labels, from scratch. Deterministic for a seed; validates inside ``examples``."""
