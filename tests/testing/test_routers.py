import numpy as np
import pytest

from agentroute.model.scores import Scores
from agentroute.routers.baselines import Cheapest, FixedBest, RoundRobin, Uniform
from agentroute.routers.knn.router import KNN
from agentroute.routers.linucb.router import LinUCB
from agentroute.routers.skill_match import SkillMatch
from agentroute.testing.routers import RULES, check_router


@pytest.mark.parametrize(
    "factory",
    [
        Uniform,
        Cheapest,
        RoundRobin,
        FixedBest,
        lambda: FixedBest(agent="agent1"),
        SkillMatch,
        lambda: SkillMatch(floor=0.4),
        KNN,
        lambda: KNN(memory=8),
        LinUCB,
        lambda: LinUCB(mode="shared"),
        lambda: LinUCB(mode="hybrid"),
        lambda: LinUCB(gamma=0.98),
        lambda: LinUCB(mode="hybrid", gamma=0.98, width=8),
    ],
)
def test_every_router_here_conforms(factory):
    assert len(check_router(factory)) == len(RULES)


class OutOfRange(Uniform):
    async def score(self, request):
        mean = np.full(len(request.candidates), 1.5)
        return Scores(mean, np.zeros(len(mean)), {"x": mean})


class OrderMatters(Uniform):
    async def score(self, request):
        mean = np.arange(len(request.candidates)) / 1000
        return Scores(mean, np.zeros(len(mean)), {"x": mean})


class TermsDoNotAddUp(Uniform):
    async def score(self, request):
        mean = np.full(len(request.candidates), 0.5)
        return Scores(mean, np.zeros(len(mean)), {"x": mean / 2})


class LearnsFromScoring(RoundRobin):
    async def score(self, request):
        for name in request.candidates.names:
            self.calls.add(self.arms.add(name), 0.0)
        return await super().score(request)


class KeepsItsArrays(FixedBest):
    def state_dict(self):
        state = super().state_dict()
        state.arrays["sum"] = self.quality.sum[: len(self.arms)]
        return state


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (OutOfRange, "rule_shapes_and_ranges"),
        (OrderMatters, "rule_permutation_equivariant"),
        (TermsDoNotAddUp, "rule_terms_add_up"),
        (LearnsFromScoring, "rule_score_is_pure"),
        (KeepsItsArrays, "rule_saved_state_is_a_copy"),
    ],
)
def test_a_broken_router_is_told_which_rule(bad, rule):
    with pytest.raises(AssertionError, match=rule):
        check_router(bad)
