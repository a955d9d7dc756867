"""Tiny requests for router tests."""

from dataclasses import replace

import numpy as np

from agentroute.model.candidates import Candidates, CardSet, Request
from agentroute.model.cards import CapabilityCard
from agentroute.model.objective import Objective
from agentroute.model.outcomes import Observation
from agentroute.model.tasks import Task

E = 32


def unit(rng, *shape):
    x = rng.standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def cardset(n, seed=0, names=None, embedding=None, descriptions=None):
    names = np.array(names or [f"a{i}" for i in range(n)], object)
    embedding = unit(np.random.default_rng(seed), n, E) if embedding is None else embedding
    texts = descriptions or ["does it"] * n
    cards = tuple(CapabilityCard(name=m, description=d) for m, d in zip(names, texts, strict=True))
    return CardSet(
        cards,
        names,
        embedding,
        f"{seed}{'|'.join(names)}",
        "test",
        dict(zip(names, range(n), strict=True)),
    )


def candidates(cards, **fields):
    return replace(Candidates.idle(cards), **fields)


def request(c, embedding=None, features=None, objective=None, prompt="x"):
    embedding = np.zeros(E, np.float32) if embedding is None else embedding
    task = Task(prompt=prompt, features=features or {})
    return Request(task, embedding, c, objective or Objective())


def observe(seq, r, agent, quality=None, **fields):
    return Observation(seq, f"d{seq}", r, agent, quality, **fields)


def run(coro):
    """Drive a coroutine that never waits; a loop for each of thousands of calls is slow."""
    try:
        coro.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def score(router, r):
    return run(router.score(r))
