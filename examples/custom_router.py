"""A router of your own in under 30 lines, checked by the shipped conformance suite.

python examples/custom_router.py
"""

import numpy as np

from agentroute.errors import RouterStateError
from agentroute.model.candidates import Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy
from agentroute.model.state import StateDict


class RunningMean:
    name = "running_mean"
    taxonomy = Taxonomy("before", ("history",), "rules")

    def __init__(self) -> None:
        self.total: dict[str, list[float]] = {}

    async def score(self, request: Request) -> Scores:
        pairs = (self.total.get(str(a), [0.0, 0.0]) for a in request.candidates.names)
        mean = np.array([(s + 0.5) / (n + 1) for s, n in pairs])  # one imaginary 0.5
        return Scores(mean, np.zeros(len(mean)), {"history": mean}, reason="the mean of its past")

    def update(self, o: Observation) -> None:
        if o.quality is not None:
            s, n = self.total.get(o.agent, [0.0, 0.0])
            self.total[o.agent] = [s + o.weight * o.quality, n + o.weight]

    def state_dict(self) -> StateDict:
        return StateDict(self.name, 1, {"total": {a: list(t) for a, t in self.total.items()}})

    def load_state_dict(self, state: StateDict) -> None:
        if (state.kind, state.version) != (self.name, 1):
            raise RouterStateError(f"this is state of '{state.kind}', not of {self.name}")
        self.total = {a: list(t) for a, t in state.meta["total"].items()}


if __name__ == "__main__":
    from agentroute.testing import check_router

    for rule in check_router(RunningMean):
        print(f"ok  {rule}")
