"""Seeded examples in which an entity, not the embedding alone, says who is good."""

import numpy as np

from agentroute.features.text import HashingEncoder
from agentroute.model.candidates import Candidates, Examples, Request
from agentroute.model.cards import CapabilityCard, Skill
from agentroute.model.tasks import Task
from agentroute.registry.cardset import build_cardset

EMBEDDER = HashingEncoder(64)
TOPICS = ("invoice", "molecule", "galaxy", "contract")
NOISE = ("please look at it today", "in short words", "for the board meeting", "with a table")


def card(topic, name=None):
    return CapabilityCard(
        name=name or f"{topic} agent",
        description=f"answers questions about every {topic}",
        skills=(Skill(id=topic),),
    )


def cardset(topics=TOPICS, extra=()):
    return build_cardset([*(card(t) for t in topics), *extra], EMBEDDER)


def examples(m=200, seed=0, *, noise=0.1, cards=None, quality=None):
    """m tasks, each about one topic; its agent scores 0.9, the others 0.2, give or take noise."""
    rng = np.random.default_rng(seed)
    about = rng.integers(len(TOPICS), size=m)
    tasks = tuple(
        Task(
            id=f"t{seed}-{i}",
            prompt=f"Explain the {TOPICS[k]} of Acme Corp {NOISE[rng.integers(4)]}. Case {i}.",
            features={"desk": str(rng.integers(3))},
        )
        for i, k in enumerate(about)
    )
    f = 0.2 + 0.7 * np.eye(len(TOPICS))[about]
    f = np.clip(f + noise * rng.standard_normal(f.shape), 0, 1) if quality is None else quality
    x = EMBEDDER.encode([t.prompt for t in tasks])
    return Examples(tasks, x, cards or cardset(), f, None, None, np.zeros(m, np.bool_))


def candidates(cards, rows=None):
    return Candidates.idle(cards, None if rows is None else np.asarray(rows))


def request(task, cards, rows=None):
    return Request(task, EMBEDDER.encode([task.prompt])[0], candidates(cards, rows))
