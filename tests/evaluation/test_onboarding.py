"""What a quiz teaches of a new agent, beside the same number of tasks drawn at random."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from agentroute import Orchestrator, Registry, Task
from agentroute.evaluation.onboarding.quiz import choose, hold
from agentroute.model.ids import keyed_rng

KINDS, SIZE, OLD = 24, 12, 4
NOUNS = [
    "harbour", "lantern", "meadow", "copper", "orchard", "violin", "glacier", "saddle", "pepper",
    "canyon", "ribbon", "thunder", "marble", "falcon", "cellar", "tunnel", "velvet", "anchor",
    "barley", "comet", "dragon", "ember", "forest", "garnet",
]  # fmt: skip


def world(seed):
    """Old agents that differ by kind on half of the kinds; the last row is the newcomer."""
    truth = keyed_rng(seed, "world").random((OLD + 1, KINDS))
    truth[:, KINDS // 2 :] = 0.5
    return truth


def task(kind, agent=None):
    prompt = f"tell me of the {NOUNS[kind]}"
    return Task(prompt=prompt, skills=("know",), features={"kind": str(kind)}, agent=agent)


async def error_after(path, truth, how, seed):
    """Mean error of what is expected of the newcomer, against its full history."""
    path.mkdir(exist_ok=True)
    registry = Registry()
    names = [f"old{i}" for i in range(OLD)] + ["new"]
    for name in names[:-1]:
        registry.agent(lambda call: "said", name=name, skills=["know"])
    rng = keyed_rng(seed, "tasks", how)
    async with Orchestrator(registry, ledger=f"sqlite:///{path}/{how}.db", state=path) as orc:

        async def judged(kind, agent, run=None):
            run = run or await orc.run(task(kind, agent))
            await orc.feedback(run.run_id, score=float(truth[names.index(agent), kind]))

        for kind in range(KINDS):
            for name in names[:-1]:
                await judged(kind, name)
        registry.agent(lambda call: "said", name="new", skills=["know"])
        every = await choose(orc, "new", KINDS)
        quiz = await choose(orc, "new", SIZE)
        if how == "random":
            picked = rng.permutation(KINDS)[:SIZE]
            quiz = replace(quiz, questions=tuple(every.questions[i] for i in picked))
        held = await hold(orc, quiz)
        for a in held.answers:
            await judged(int(a.question.past.task.features["kind"]), "new", a.result)
        tasks = [task(k) for k in range(KINDS)]
        after = (await orc.expected(tasks, ["new"]))[:, 0]
        for kind in range(KINDS):
            await judged(kind, "new")
        full = (await orc.expected(tasks, ["new"]))[:, 0]
    return float(np.abs(after - full).mean())


@pytest.mark.slow
@pytest.mark.checklist("LB5", simulated=True)
def test_a_quiz_through_the_front_door_beats_as_many_random_tasks(tmp_path):
    errors = {
        how: np.mean(
            [
                asyncio.run(error_after(tmp_path / f"{seed}", world(seed), how, seed))
                for seed in range(3)
            ]
        )
        for how in ("chosen", "random")
    }
    assert errors["chosen"] < 0.1
    assert errors["chosen"] < errors["random"], errors
