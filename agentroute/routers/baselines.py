"""Routers that learn little or nothing: what every other router is measured against."""

from __future__ import annotations

import numpy as np

from agentroute.errors import RouterStateError
from agentroute.model.decisions import Observation
from agentroute.model.scores import F64, Request, Scores, StateDict, Taxonomy


class Uniform:
    """Every candidate scores 0.5, so that ``decide`` breaks the tie evenly."""

    name = "uniform"
    taxonomy = Taxonomy("before", (), "rules")

    async def score(self, request: Request) -> Scores:
        """See ``Router.score``."""
        return _plain(np.full(len(request.candidates), 0.5), "uniform")

    def update(self, observation: Observation) -> None:
        """Learns nothing."""

    def state_dict(self) -> StateDict:
        """Empty."""
        return StateDict("uniform", 1)

    def load_state_dict(self, state: StateDict) -> None:
        """See ``Router.load_state_dict``."""
        check_kind(state, "uniform", 1)


def _plain(mean: F64, term: str) -> Scores:
    return Scores(mean, np.zeros(len(mean)), {term: mean})


def check_kind(state: StateDict, kind: str, version: int) -> None:
    """Refuse the state of another router.

    Raises:
        RouterStateError: ``kind`` or ``version`` differ.
    """
    if (state.kind, state.version) != (kind, version):
        raise RouterStateError(
            f"the state is of '{state.kind}' version {state.version}, not '{kind}' {version}",
            hint="agentroute state ls shows what there is",
        )
