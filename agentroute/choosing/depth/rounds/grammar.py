"""What a policy of rounds may write, and which rule it broke where it wrote something else.

Router-R1 (Zhang, Feng, You 2025), format reward: ``R_format`` is -1 for a transcript that breaks a
rule and 0 for one that keeps all. The words between tags are never split again, so a sub-query may
hold colons, newlines and signs of any kind; only the first colon ends the agent's name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

TAGS = ("think", "route", "information", "answer")
LONGEST = 8_000  # characters of a sub-query
_TAG = re.compile(r"<(/?)(think|route|information|answer)>")
_PLACEHOLDERS = frozenset({"sub-query", "subquery", "query", "your sub-query", "name:sub-query"})

RULES = (
    "has no tags",
    "tags are not balanced or are nested",
    "does not start with think",
    "does not end with answer",
    "has not exactly one answer",
    "a think is empty",
    "not as much information as routes",
    "a sub-query is empty, a placeholder or too long",
    "routes to an unknown agent",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One tag with its words."""

    tag: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of a policy: its thought, then an agent and a sub-query, or an answer."""

    think: str
    agent: str | None = None
    sub_query: str = ""
    answer: str | None = None


def pieces(text: str) -> list[Piece] | None:
    """The tags in order; None where they are not balanced, nested, or words stand between them."""
    found: list[Piece] = []
    at, opened = 0, ""
    for m in _TAG.finditer(text):
        between, closing, tag = text[at : m.start()], bool(m[1]), m[2]
        if closing != bool(opened) or (closing and tag != opened):
            return None
        if closing:
            found.append(Piece(tag, between.strip()))
        elif between.strip():
            return None
        at, opened = m.end(), "" if closing else tag
    if opened or text[at:].strip():
        return None
    return found


def routed(text: str) -> tuple[str, str]:
    """``Name: sub-query`` as its two parts; the name ends at the first colon and nowhere else."""
    name, colon, rest = text.partition(":")
    return (name.strip(), rest.strip()) if colon else ("", text.strip())


def broken_rules(text: str, agents: Collection[str]) -> tuple[str, ...]:
    """The rules of ``RULES`` that a whole transcript breaks, in their order; () where none."""
    if not _TAG.search(text):
        return (RULES[0],)
    found = pieces(text)
    if found is None:
        return (RULES[1],)
    tags = [p.tag for p in found]
    routes = [routed(p.text) for p in found if p.tag == "route"]
    broken = (
        tags[0] != "think",
        tags[-1] != "answer",
        tags.count("answer") != 1,
        any(p.tag == "think" and not p.text for p in found),
        not _informed(tags),
        any(_empty(q) for _, q in routes),
        any(a not in agents for a, _ in routes),
    )
    return tuple(rule for rule, yes in zip(RULES[2:], broken, strict=True) if yes)


def read_turn(text: str, agents: Collection[str], *, last: bool) -> tuple[Said | None, str]:
    """One turn of a policy, ``think`` then ``route`` or ``answer``; None and the broken rule.

    An unknown agent is no broken turn: it is left to the loop, which gives it no information.
    ``last``: only an answer is taken.
    """
    found = pieces(text)
    if not found:
        return None, RULES[0] if not _TAG.search(text) else RULES[1]
    if found[0].tag != "think":
        return None, RULES[2]
    if not found[0].text:
        return None, RULES[5]
    if len(found) != 2 or found[1].tag not in ("route", "answer"):
        return None, RULES[3]
    think, said = found[0].text, found[1]
    if said.tag == "answer":
        return (Said(think, answer=said.text), "") if said.text else (None, RULES[3])
    agent, query = routed(said.text)
    if last:
        return None, RULES[3]
    if not agent or _empty(query):
        return None, RULES[7]
    return Said(think, agent, query), ""


def written(think: str, said: Said, information: str | None = None) -> str:
    """A turn as it stands in the transcript; what came back has its tags taken out."""
    parts = [f"<think>{_plain(think)}</think>"]
    if said.answer is not None:
        return parts[0] + f"<answer>{_plain(said.answer)}</answer>"
    parts.append(f"<route>{said.agent}: {_plain(said.sub_query)}</route>")
    parts.append(f"<information>{_plain(information or '')}</information>")
    return "".join(parts)


def _plain(text: str) -> str:
    """Without our own tags: what an agent writes must not end its information."""
    return _TAG.sub("", text)


def _informed(tags: list[str]) -> bool:
    """Each route is followed by its information, and no information comes without one."""
    after = [b for a, b in zip(tags, [*tags[1:], ""], strict=True) if a == "route"]
    return all(t == "information" for t in after) and tags.count("information") == len(after)


def _empty(query: str) -> bool:
    bare = query.strip().strip("<>[]{}().").strip().lower()
    return not bare or bare in _PLACEHOLDERS or len(query) > LONGEST
