"""Words of the simulated worlds: topics, prompts made of them, and cards that speak of them."""

from __future__ import annotations

import numpy as np

from agentroute.model.cards import CapabilityCard, Pricing, Skill

TOPICS: tuple[tuple[str, ...], ...] = (
    ("billing", "invoice", "refund", "payment", "charge", "receipt", "tax", "discount"),
    ("travel", "flight", "hotel", "airport", "luggage", "passport", "booking", "itinerary"),
    ("cooking", "recipe", "oven", "flour", "simmer", "spice", "dough", "kitchen"),
    ("gardening", "soil", "seed", "prune", "compost", "tulip", "lawn", "greenhouse"),
    ("music", "chord", "melody", "tempo", "guitar", "orchestra", "rhythm", "violin"),
    ("astronomy", "telescope", "orbit", "galaxy", "nebula", "comet", "planet", "eclipse"),
    ("carpentry", "plank", "chisel", "joint", "varnish", "saw", "hinge", "timber"),
    ("medicine", "dose", "symptom", "fever", "allergy", "bandage", "clinic", "vaccine"),
)
COMMON = ("please", "help", "with", "my", "question", "about", "the", "today", "need", "quickly")


def prompt(topic: int, rng: np.random.Generator, *, mixed: float = 0.0) -> str:
    """Eight words: five of the topic (each from any topic with chance ``mixed``), three common."""
    own = [
        TOPICS[int(rng.integers(len(TOPICS))) if rng.random() < mixed else topic][
            int(rng.integers(1, 8))
        ]
        for _ in range(5)
    ]
    return " ".join([*rng.choice(COMMON, 3), *own])


def card(number: int, topic: int, cost_usd: float) -> CapabilityCard:
    """The card of agent ``number``; topic -1 is an agent that says it does everything."""
    words = ("anything", "everything", "general") if topic < 0 else TOPICS[topic]
    return CapabilityCard(
        name=f"{words[0]}-{number}",
        description=f"Answers questions about {', '.join(words)}",
        skills=(Skill(id="answer"),),
        pricing=Pricing(call_usd=cost_usd, expected_usd=cost_usd),
    )
