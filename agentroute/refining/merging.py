"""Several replies as one: who said what is kept, and where they contradict each other is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentroute.model.calls import AgentReply, Usage
from agentroute.refining.extract import normal, numbers
from agentroute.refining.picking import consistency_of

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_PAIR = re.compile(r"^[\W_]*([^:\n]{1,60}?)\s*:\s+(\S[^\n]*)$")  # "Colour: red"
_NOT = re.compile(r"(?i)\b(?:not|never|no longer)\b|n['’]t\b")
SHINGLE, ALIKE, MOST = 3, 0.8, 400  # words; share of them; statements that are compared for it
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

    Two sentences are one where they differ in a few words alone (at least 0.8 of their runs of
    three words in common), and in no number or denial; the first is kept. They conflict when
    speakers differ and they are equal but for their numbers, for a denial (*not*), or for the
    value after the same ``key:``. The joined reply holds statements with their speakers, the
    conflicts first, all artefacts and citations, and the least confidence that was stated.

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
        "consistency": round(consistency_of([r.text for r in replies.values()]), 4),
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
    return _without_repetition([Statement(text, tuple(by)) for text, by in found.values()])


def _without_repetition(found: list[Statement]) -> tuple[Statement, ...]:
    """Each statement with everybody who said it in nearly the same words."""
    if len(found) > MOST:
        return tuple(found)
    runs = [_runs(s.text) for s in found]
    kept: dict[int, tuple[str, ...]] = {}
    for i, s in enumerate(found):
        like = (j for j in kept if _alike(runs[j], runs[i]) and _hard(found[j]) == _hard(s))
        j = next(like, i)
        kept[j] = tuple(dict.fromkeys([*kept.get(j, ()), *s.by]))
    return tuple(Statement(found[j].text, by) for j, by in kept.items())


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = normal(text).split()
    return frozenset(tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1))


def _alike(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> bool:
    return bool(a) and bool(b) and len(a & b) >= ALIKE * len(a | b)


def _hard(s: Statement) -> tuple[object, ...]:
    """What may not differ between sentences that say the same: numbers, denials, pairs."""
    return (*numbers(s.text), len(_NOT.findall(s.text)), bool(_PAIR.match(s.text)) and s.text)


def _key(sentence: str) -> str:
    """Equal for sentences that say the same: words, and numbers by value."""
    figures = " ".join(f"{x:.10g}" for x in numbers(sentence))
    return f"{normal(_FIGURE.sub(' ', sentence))}|{figures}" if figures else sentence.casefold()


def _conflicts(statements: tuple[Statement, ...]) -> tuple[Conflict, ...]:
    """Statements in one frame with different values, by the frame's kind."""
    groups: dict[tuple[str, str], list[tuple[str, str, Statement]]] = {}
    for s in statements:
        for kind, frame, about, value in _claims(s.text):
            groups.setdefault((kind, frame), []).append((about, value, s))
    out = []
    for (_, frame), group in groups.items():
        values: dict[str, tuple[str, ...]] = {}
        for _, value, s in group:
            values[value] = tuple(dict.fromkeys([*values.get(value, ()), *s.by]))
        speakers = {by for _, _, s in group for by in s.by}
        if len({normal(v) or v for v in values}) > 1 and len(speakers) > 1 and frame:
            out.append(Conflict(group[0][0], values))
    return tuple(out)


def _claims(text: str) -> list[tuple[str, str, str, str]]:
    """What a sentence says of something: (kind, frame, the frame for people, value)."""
    if pair := _PAIR.match(text):
        return [("pair", normal(pair[1]), pair[1].strip(), pair[2].rstrip(" ."))]
    out = [("denial", normal(_NOT.sub(" ", text)), _NOT.sub(" ", text).strip(" ."),
            "no" if _NOT.search(text) else "yes")]  # fmt: skip
    if _FIGURE.search(text):
        about = _FIGURE.sub("…", text).strip(" .")
        out.append(("figures", normal(_FIGURE.sub(" ", text)), about, _figures(text)))
    return out


def _figures(text: str) -> str:
    return ", ".join(m.group().rstrip(".,") for m in _FIGURE.finditer(text))


def _text(
    statements: tuple[Statement, ...], conflicts: tuple[Conflict, ...], *, several: bool
) -> str:
    lines = [f"Conflict: {c}" for c in conflicts]
    for s in statements:
        lines.append(f"{s.text} [{', '.join(s.by)}]" if several else s.text)
    return "\n".join(lines)
