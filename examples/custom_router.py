"""A router of your own, checked by the shipped conformance suite, then used by its import path.

python examples/custom_router.py
"""

import numpy as np

from agentroute.model.decisions import Observation
from agentroute.model.scores import Request, Scores, StateDict, Taxonomy


class RunningMean:
    """Scores an agent by the mean of its qualities so far, shrunk to one half."""

    name = "running_mean"
    taxonomy = Taxonomy("before", ("history",), "rules")

    def __init__(self) -> None:
        self.total: dict[str, list[float]] = {}

    async def score(self, request: Request) -> Scores:
        """Mean with one imaginary observation of 0.5."""
        sums = (self.total.get(str(a), [0.0, 0.0]) for a in request.candidates.names)
        mean = np.array([(s + 0.5) / (n + 1) for s, n in sums])
        return Scores(mean, np.zeros(len(mean)), {"history": mean}, reason="mean of its past")

    def update(self, o: Observation) -> None:
        """One more quality."""
        if o.quality is not None:
            s, n = self.total.get(o.agent, [0.0, 0.0])
            self.total[o.agent] = [s + o.weight * o.quality, n + o.weight]

    def state_dict(self) -> StateDict:
        """Everything learned."""
        return StateDict(self.name, 1, {"total": self.total})

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from it."""
        self.total = dict(state.meta["total"])


if __name__ == "__main__":
    from agentroute.testing import check_router

    for rule in check_router(RunningMean):
        print(f"ok  {rule}")
