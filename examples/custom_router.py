"""A router of your own in under 30 lines: it runs, it learns, and the conformance suite checks it.

python examples/custom_router.py
"""

import asyncio
import tempfile

import numpy as np

from agentroute import AgentCall, Orchestrator, Registry, Task
from agentroute.choosing.state import StateDict
from agentroute.errors import RouterStateError
from agentroute.model.candidates import Request
from agentroute.model.outcomes import Observation
from agentroute.model.scores import Scores, Taxonomy


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


async def main() -> None:
    registry = Registry()

    @registry.agent
    def rough(call: AgentCall) -> str:
        """Writes a first draft."""
        return "a draft"

    @registry.agent
    def careful(call: AgentCall) -> str:
        """Writes a draft and reads it again."""
        return "a careful draft"

    ledger = f"sqlite:///{tempfile.mkdtemp()}/agentroute.db"
    async with Orchestrator(registry, router=RunningMean(), ledger=ledger, exploration=0.2) as orc:
        for _ in range(12):
            run = await orc.run(Task(prompt="Write a letter"))
            await orc.feedback(run.run_id, score=0.9 if "careful" in run.answer else 0.2)
        found = await orc.route("Write a letter")
        print(found.policy, found.policy_version[:12], found.chosen)
        for agent in found.ranked:
            print(f"{agent.agent}: {agent.mean:.2f}")


if __name__ == "__main__":
    from agentroute.testing import check_router

    asyncio.run(main())
    for rule in check_router(RunningMean):
        print(f"ok  {rule}")
