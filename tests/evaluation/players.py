"""Tiny routers for tests of the evaluation: they record what they were shown."""

import numpy as np

from agentroute.choosing.state import StateDict
from agentroute.model.scores import Scores, Taxonomy


class Recorder:
    """Scores by the mean quality seen for (kind, agent); keeps every observation and request."""

    name = "recorder"
    taxonomy = Taxonomy("before", ("outcomes",), "rules")

    def __init__(self, *, refuse=()):
        self.shown, self.asked, self.refuse = [], [], refuse
        self.sums, self.counts = {}, {}

    async def score(self, request):
        self.asked.append(request)
        kind = request.task.features.get("kind", "")
        keys = [(kind, a) for a in request.candidates.names]
        mean = np.array([(self.sums.get(k, 0.0) + 0.5) / (self.counts.get(k, 0) + 1) for k in keys])
        bonus = np.array([0.3 / (1 + self.counts.get(k, 0)) for k in keys])
        return Scores(mean, bonus, out_of_scope=float(kind in self.refuse))

    def update(self, observation):
        self.shown.append(observation)
        key = (observation.request.task.features.get("kind", ""), observation.agent)
        self.sums[key] = self.sums.get(key, 0.0) + observation.quality
        self.counts[key] = self.counts.get(key, 0) + 1

    def state_dict(self):
        seen = [[*key, total, self.counts[key]] for key, total in sorted(self.sums.items())]
        return StateDict("recorder", 1, {"seen": seen})

    def load_state_dict(self, state):
        self.sums = {(kind, agent): total for kind, agent, total, _ in state.meta["seen"]}
        self.counts = {(kind, agent): count for kind, agent, _, count in state.meta["seen"]}


class Fitted(Recorder):
    """As ``Recorder``, by ``fit``."""

    name = "fitted"

    def fit(self, examples, *, seed=0):
        self.examples, self.seed = examples, seed
        for task, row in zip(examples.tasks, examples.quality, strict=True):
            for agent, q in zip(examples.cards.names, row, strict=True):
                key = (task.features["kind"], agent)
                self.sums[key] = self.sums.get(key, 0.0) + q
                self.counts[key] = self.counts.get(key, 0) + 1
