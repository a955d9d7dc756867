"""Whatever can be fitted can be kept: saved, loaded, and scoring to the bit as before."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from agentroute.choosing.catalog import make_router
from agentroute.learning import StateStore
from agentroute.learning.fitting import fit_base
from agentroute.model.candidates import Candidates, Request
from agentroute.testing import World

FITTABLE = {
    "linear": "linear",
    "knn": "knn",
    "fixed_best": "fixed_best",
    "ensemble": "ensemble",
    "gnn": {"name": "gnn", "config": {"hidden": 8, "epochs": 2, "folds": 2}},
}


def graded(world, m=300):
    """Outcomes that hang together with the words of the prompt: a model of the text earns trust."""
    examples = world.examples(m)
    rng = np.random.default_rng(0)
    seen = examples.embedding @ rng.normal(size=(examples.embedding.shape[1], 5))
    quality = np.clip(0.5 + 0.3 * seen + 0.02 * rng.normal(size=seen.shape), 0.0, 1.0)
    plain = tuple(t.model_copy(update={"features": {}}) for t in examples.tasks)
    return replace(examples, tasks=plain, quality=quality)


@pytest.mark.parametrize("kind", ["one agent a task", "graded by the text"])
@pytest.mark.parametrize("name", FITTABLE)
def test_a_fitted_state_survives_the_disk(tmp_path, name, kind):
    world = World(agents=5)
    examples = world.examples(150) if kind == "one agent a task" else graded(world)
    states = StateStore(tmp_path)
    saved = fit_base(
        FITTABLE[name], examples, embedder=world.embedder, states=states, name="s",
        source={"table": "world"}, seed=3,
    )  # fmt: skip
    assert saved.provenance["rows"] == len(examples) and saved.provenance["seed"] == 3
    made = [make_router(FITTABLE[name], embedder=world.embedder, seed=3) for _ in range(2)]
    one, two = made
    one.load_state_dict(saved.state)
    two.load_state_dict(states.load("s").state)
    everybody = Candidates.idle(examples.cards)
    for task, e in list(zip(examples.tasks, examples.embedding, strict=True))[:20]:
        request = Request(task, e, everybody)
        means = [asyncio.run(r.score(request)).mean for r in (one, two)]
        assert means[0].tobytes() == means[1].tobytes()
    if name == "linear" and kind == "graded by the text":
        assert one.head.texts, "the text should have earned trust here"
