"""Several replies as one: who said what is kept, and where they contradict each other is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentroute.model.calls import AgentReply, Usage
from agentroute.refining.extract import normal, numbers

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_FIGURE = re.compile(r"[-+−]?\d[\d.,]*(?:[eE][-+]?\d+)?%?")


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence and everyone who said it."""

    text: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing of which different values were said: value as written -> who said it."""

    about: str
    claims: dict[str, tuple[str, ...]]

    def __str__(self) -> str:
        said = "; ".join(f"{v} ({', '.join(by)})" for v, by in self.claims.items())
        return f"{self.about}: {said}"


@dataclass(frozen=True, slots=True)
class Merged:
    """Statements in the order of first mention, conflicts, and the replies' joined evidence."""

    statements: tuple[Statement, ...]
    conflicts: tuple[Conflict, ...]
    reply: AgentReply


def merge(replies: Mapping[str, AgentReply]) -> Merged:
    """Join replies by speaker. Nothing is dropped but repetition; nothing is decided.

    Two sentences conflict when they are equal but for their numbers and speakers differ. The
    joined reply holds statements with their speakers, the conflicts first, all artefacts and
    citations, and the least confidence that was stated.

    Raises:
        ValueError: no replies.
    """
    if not replies:
        raise ValueError("there is nothing to merge")
    statements = _statements(replies)
    conflicts = _conflicts(statements)
    confidences = [r.confidence for r in replies.values() if r.confidence is not None]
    data = {
        "statements": [{"text": s.text, "by": list(s.by)} for s in statements],
        "conflicts": [
            {"about": c.about, "claims": {v: list(by) for v, by in c.claims.items()}}
            for c in conflicts
        ],
    }
    reply = AgentReply(
        text=_text(statements, conflicts, several=len(replies) > 1),
        data=data,
        artifacts=tuple(a for r in replies.values() for a in r.artifacts),
        citations=tuple(dict.fromkeys(c for r in replies.values() for c in r.citations)),
        confidence=min(confidences, default=None),
        abstained=all(r.abstained for r in replies.values()),
        usage=Usage(),
    )
    return Merged(statements, conflicts, reply)


def _statements(replies: Mapping[str, AgentReply]) -> tuple[Statement, ...]:
    found: dict[str, tuple[str, list[str]]] = {}
    for speaker, reply in replies.items():
        for sentence in filter(None, map(str.strip, _SENTENCE.split(reply.text))):
            key = _key(sentence)
            _, by = found.setdefault(key, (sentence, []))
            if speaker not in by:
                by.append(speaker)
    return tuple(Statement(text, tuple(by)) for text, by in found.values())


def _key(sentence: str) -> str:
    """Equal for sentences that say the same: words, and numbers by value."""
    figures = " ".join(f"{x:.10g}" for x in numbers(sentence))
    return f"{normal(_FIGURE.sub(' ', sentence))}|{figures}" if figures else sentence.casefold()


def _conflicts(statements: tuple[Statement, ...]) -> tuple[Conflict, ...]:
    groups: dict[str, list[Statement]] = {}
    for s in statements:
        if _FIGURE.search(s.text):
            groups.setdefault(normal(_FIGURE.sub(" ", s.text)), []).append(s)
    out = []
    for frame, group in groups.items():
        speakers = {by for s in group for by in s.by}
        if len(group) > 1 and len(speakers) > 1 and frame:
            about = _FIGURE.sub("…", group[0].text).strip(" .")
            out.append(Conflict(about, {_figures(s.text): s.by for s in group}))
    return tuple(out)


def _figures(text: str) -> str:
    return ", ".join(m.group().rstrip(".,") for m in _FIGURE.finditer(text))


def _text(
    statements: tuple[Statement, ...], conflicts: tuple[Conflict, ...], *, several: bool
) -> str:
    lines = [f"Conflict: {c}" for c in conflicts]
    for s in statements:
        lines.append(f"{s.text} [{', '.join(s.by)}]" if several else s.text)
    return "\n".join(lines)
