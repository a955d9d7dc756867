"""What a task talks about, found without a model: the entity nodes of the knowledge graph.

AgentRouter (arXiv 2510.05445) takes named entities, dates and numbers from a language pipeline.
Here regular expressions and a vocabulary learned on training texts stand in for it, so that the
same text gives the same entities everywhere, with no download.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from agentroute.model.tasks import Task

MAX_CHARS = 4_000

KINDS = ("feature", "shape", "quote", "date", "number", "identifier", "name", "term")


class Mention(NamedTuple):
    """One entity of one sentence. ``key`` is ``kind:text`` and names the node."""

    key: str
    sentence: int


_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n{2,}|\n(?=[-*#])")
_SPANS = {
    "quote": re.compile(r"\"([^\"\n]{2,60})\"|`([^`\n]{2,60})`|“([^”\n]{2,60})”"),
    "date": re.compile(
        r"\b(\d{4}-\d{2}-\d{2}|(?:1[5-9]|20)\d{2}"
        r"|(?:January|February|March|April|May|June|July|August|September|October|November"
        r"|December)(?: \d{1,2}(?:, \d{4})?)?)\b"
    ),
    "identifier": re.compile(
        r"\b([a-z]+(?:[A-Z][a-z0-9]+)+|[A-Za-z]+(?:_[A-Za-z0-9]+)+|[A-Za-z_]\w+(?:\.[A-Za-z_]\w+)+"
        r"|[A-Za-z_]\w+(?=\(\)))|\\([a-z]{2,12})\b"
    ),
    "number": re.compile(r"(?<![\w.])(\d+(?:[.,]\d+)*%?)(?![\w])"),
    "name": re.compile(r"\b([A-Z][a-z]+(?: (?:of |the )?[A-Z][a-z]+){0,3}|[A-Z]{2,8})\b"),
}
_WORD = re.compile(r"[a-z][a-z'-]*[a-z]")
_SHAPES = {
    "code": re.compile(r"```|\bdef \w+\(|\bimport \w+|[;{}]\s*$|>>>", re.MULTILINE),
    "formula": re.compile(r"\$[^$\n]+\$|\\[a-z]{3,}|[=<>^]\s*\d"),
    "list": re.compile(r"^\s*(?:[-*]|\d+[.)])\s+\S", re.MULTILINE),
    "question": re.compile(r"\?\s*$"),
    "error": re.compile(r"Traceback|\b[A-Z]\w*(?:Error|Exception)\b"),
    "link": re.compile(r"https?://"),
}
_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below
between both but by can cannot could did do does doing done down during each either else etc
ever few find for from further get give given go had has have having he her here hers him his
how if in into is it its itself just let like make many may me might more most much must my no
nor not now of off on once one only or other our out over own per please put same say see she
should show so some such take tell than that the their them then there these they this those
through to too two under until up us use used using very want was we were what when where which
while who whom why will with would yes yet you your
"""
_STOP = frozenset(_STOP_WORDS.split())


def _terms(sentence: str) -> list[str]:
    """Noun-like words and pairs of neighbours: no stop word, no adverb."""
    words = [
        "" if w in _STOP or len(w) < 3 or w.endswith("ly") else w
        for w in _WORD.findall(sentence.lower())
    ]
    pairs = [f"{a} {b}" for a, b in pairwise(words) if a and b]
    return [w for w in words if w] + pairs


def _spans(sentence: str) -> list[str]:
    """Keys of everything that a pattern finds; what a date covers is not a number again."""
    keys, rest = [], sentence
    for kind, pattern in _SPANS.items():
        for m in pattern.finditer(rest):
            text = next(g for g in m.groups() if g)
            if kind == "name" and text.lower() in _STOP:
                continue
            keys.append(f"{kind}:{text if kind in ('identifier', 'name') else text.lower()}")
        if kind == "date":
            rest = pattern.sub(" ", rest)
    return keys


def shape_of(text: str) -> tuple[str, ...]:
    """Entities that say what kind of text it is: its length (a power of two) and its marks."""
    marks = [f"shape:{name}" for name, pattern in _SHAPES.items() if pattern.search(text)]
    return (f"shape:length 2^{len(text).bit_length()}", *marks)


def feature_keys(features: Mapping[str, str]) -> tuple[str, ...]:
    """Entities of a task's known attributes, in the order of their names."""
    return tuple(f"feature:{k}={features[k]}" for k in sorted(features))


def find_mentions(task: Task) -> tuple[Mention, ...]:
    """Every entity of a task in order of appearance, once a sentence.

    Features and the shape of the text belong to sentence -1, which co-occurs with nothing.
    Reads the prompt's first ``MAX_CHARS`` characters. Never reads a label.
    """
    text = task.prompt[:MAX_CHARS]
    found = [Mention(k, -1) for k in (*feature_keys(task.features), *shape_of(text))]
    for i, sentence in enumerate(_SENTENCE.split(text)):
        keys = [*_spans(sentence), *(f"term:{t}" for t in _terms(sentence))]
        found += [Mention(k, i) for k in dict.fromkeys(keys)]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The entities that are nodes; ``keys`` sorted by training frequency, then by name."""

    keys: tuple[str, ...]
    index: Mapping[str, int]

    @classmethod
    def of(cls, keys: Iterable[str]) -> Vocabulary:
        """A vocabulary of these keys, in this order."""
        ordered = tuple(keys)
        return cls(ordered, {k: i for i, k in enumerate(ordered)})

    @classmethod
    def learn(
        cls,
        mentions: Sequence[Sequence[Mention]],
        *,
        min_tasks: int = 5,
        max_share: float = 0.5,
        size: int = 2_000,
    ) -> Vocabulary:
        """Entities held by at least ``min_tasks`` tasks and by at most ``max_share`` of them.

        Known attributes are always kept. At most ``size`` entities: the most frequent ones.
        """
        df = Counter(k for m in mentions for k in dict.fromkeys(x.key for x in m))
        most = max_share * len(mentions)
        keep = [k for k, n in df.items() if k.startswith("feature:") or min_tasks <= n <= most]
        return cls.of(sorted(keep, key=lambda k: (not k.startswith("feature:"), -df[k], k))[:size])

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, mentions: Sequence[Mention], limit: int = 64) -> list[int]:
        """Rows of a task's known entities, each once, by first appearance, at most ``limit``."""
        seen = dict.fromkeys(self.index[m.key] for m in mentions if m.key in self.index)
        return list(seen)[:limit]


def text_of(key: str) -> str:
    """The words of an entity, for an embedder; its kind is part of them (as in NG-Router)."""
    kind, _, text = key.partition(":")
    return text.replace("=", " ").replace("_", " ") if kind != "term" else text
