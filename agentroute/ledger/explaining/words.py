"""Terms of scores in words that a user knows."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "prior": "what its card promises for this task",
    "card": "what its card promises for this task",
    "learned": "what was learned from results",
    "average": "how it did on all tasks so far",
    "neighbours": "how it did on tasks like this one",
    "similarity": "how near its card is to the task",
    "trail": "the trail that past tasks of this kind left",
    "desirability": "what its card, load and speed promise",
    "recruit": "its record on the skills that are needed",
    "expected": "what the trained model expects",
    "profile": "its profile in the trained model",
    "model": "what the language model said",
    "quality": "expected quality",
    "cost": "its price",
    "latency": "its speed",
    "stability": "that it serves this session or user",
    "clip": "kept between 0 and 1",
    "bonus": "how little is known of it",
}


def in_words(term: str) -> str:
    """A term for people; a router's own stands as it is."""
    return WORDS.get(term, term.replace("_", " "))
