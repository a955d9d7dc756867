"""A card from sample queries: by keyphrases offline, or in a model's words where one is given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal

from agentroute.config.stopwords import STOP
from agentroute.errors import AgentRouteError, CardError
from agentroute.model.cards import CapabilityCard, Skill

MAX_QUERIES, MAX_EXAMPLES, MAX_PHRASES = 200, 5, 8
MAX_DESCRIPTION = 512
TRIES = 3

Method = Literal["keyphrases", "model"]
Writer = Callable[[Sequence[str]], Awaitable[str]]

_RUN = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*", re.UNICODE)
_BREAK = re.compile(r"[.,;:!?()\[\]{}\"\n]")


def keyphrases(queries: Sequence[str], *, limit: int = MAX_PHRASES) -> list[str]:
    """The phrases (runs of one to three content words) that most queries share, best first.

    Score: queries that hold the phrase, times the square root of its words, so that a longer one
    wins where it is nearly as common. A phrase inside a chosen one is left out. Ties go by first
    appearance.
    """
    seen: Counter[str] = Counter()
    for query in queries:
        seen.update(list(dict.fromkeys(_phrases(query.lower()))))
    order = {phrase: i for i, phrase in enumerate(seen)}
    ranked = sorted(seen, key=lambda p: (-seen[p] * len(p.split()) ** 0.5, order[p]))
    chosen: list[str] = []
    for phrase in ranked:
        if not any(f" {phrase} " in f" {c} " for c in chosen):
            chosen.append(phrase)
        if len(chosen) == limit:
            break
    return chosen


def card_from_queries(name: str, queries: Iterable[str]) -> CapabilityCard:
    """A draft card for an agent that answers such queries, with no model; deterministic.

    One skill: its tags are the keyphrases, its examples the shortest queries. ``status`` is
    ``draft``: somebody reads it and gives it an entry point before it is called.

    Raises:
        CardError: no query with a word in it, or a name that cannot be used.
    """
    asked = _cleaned(queries)
    phrases = keyphrases(asked)
    if not phrases:
        raise CardError(
            "the sample queries hold no words to describe the agent by",
            field="queries",
            hint="give a few typical requests, one a line",
        )
    examples = tuple(sorted(dict.fromkeys(asked), key=len)[:MAX_EXAMPLES])
    skill = Skill(id=_slug(phrases[0]), name=phrases[0], tags=tuple(phrases), examples=examples)
    return _checked(name, f"Handles requests about {', '.join(phrases)}.", skill)


async def generate_card(
    name: str, queries: Iterable[str], *, writer: Writer | None = None
) -> tuple[CapabilityCard, Method]:
    """``card_from_queries``, with the description by ``writer`` where it gives a usable one.

    ``writer(queries)`` is asked up to three times; its text must be one block of at most 512
    characters. The skill, its tags and examples stay those of the queries. Returns which method
    the description comes from.
    """
    asked = _cleaned(queries)
    card = card_from_queries(name, asked)
    if writer is None:
        return card, "keyphrases"
    for _ in range(TRIES):
        try:
            words = " ".join((await writer(asked)).split())
        except AgentRouteError:
            continue
        if 0 < len(words) <= MAX_DESCRIPTION:
            return card.model_copy(update={"description": words}), "model"
    return card, "keyphrases"


def _cleaned(queries: Iterable[str]) -> list[str]:
    lines = [" ".join(q.split())[:300] for q in queries]
    return [q for q in lines if q][:MAX_QUERIES]


def _phrases(text: str) -> list[str]:
    out: list[str] = []
    for clause in _BREAK.split(text):
        run: list[str] = []
        for word in [*_RUN.findall(clause), ""]:
            if word and word not in STOP:
                run.append(word)
                continue
            out += [
                " ".join(run[i:j])
                for i in range(len(run))
                for j in range(i + 1, min(i + 3, len(run)) + 1)
            ]
            run = []
    return out


def _slug(phrase: str) -> str:
    return re.sub(r"\W+", "_", phrase).strip("_")[:120]


def _checked(name: str, description: str, skill: Skill) -> CapabilityCard:
    try:
        return CapabilityCard(
            name=name, description=description[:MAX_DESCRIPTION], skills=(skill,), status="draft"
        )
    except ValueError as e:
        raise CardError(f"'{name[:80]}' cannot be an agent's name", field="name") from e
