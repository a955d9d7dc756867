"""What a text answers: a number, one of several choices, a JSON value. Plain rules, no model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z_]-)[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?%?"
)
_STATED = re.compile(
    r"(?is)(?:final answer|answer|result|total|therefore|so)\b[^\n]{0,40}?(?:is|:|=)"
)
_LETTER = re.compile(r"(?<![A-Za-z])\(?([A-Z])\)?(?![A-Za-z'])")
_WORDS = re.compile(r"[^\W_]+")


def number(text: str) -> float | None:
    """The number that a text answers: the first after 'answer is', '=' or the like, else the last.

    ``1,234.5`` is one number; ``12 %`` and ``12%`` are 12. None where there is no number.
    """
    stated = [m.end() for m in _STATED.finditer(text)]
    for start in reversed(stated):
        if found := numbers(text[start:]):
            return found[0]
    found = numbers(text)
    return found[-1] if found else None


def numbers(text: str) -> list[float]:
    """Every number in a text, in order."""
    out = []
    for m in _NUMBER.finditer(text):
        bare = m.group().rstrip("%").replace(",", "").replace("−", "-")
        if any(c.isdigit() for c in bare):
            out.append(float(bare))
    return out


def choice(text: str, options: Sequence[str]) -> str | None:
    """The option that a text chooses: stated, else named alone, else the last letter in brackets.

    An option counts as named when its words stand in the text. None where no single one does.
    """
    stated = [m.end() for m in _STATED.finditer(text)]
    parts = [text[start:].split("\n")[0] for start in reversed(stated)]
    for part in [*parts, text]:
        named = [o for o in options if _names(part, o)]
        longest = [o for o in named if not any(o != p and _names(p, o) for p in named)]
        if len(longest) == 1:
            return longest[0]
        letters = [m.group(1) for m in _LETTER.finditer(part)]
        for letter in reversed(letters):
            if "(" + letter + ")" in part or len(part.strip()) <= 3:
                at = ord(letter) - ord("A")
                if at < len(options):
                    return options[at]
    return None


def _names(text: str, option: str) -> bool:
    return f" {normal(option)} " in f" {normal(text)} " and bool(normal(option))


def json_value(text: str) -> Any:
    """The first JSON object or array in a text, also inside a code fence.

    Raises:
        ValueError: there is none.
    """
    decoder = json.JSONDecoder()
    for m in re.finditer(r"[{\[]", text):
        try:
            return decoder.raw_decode(text, m.start())[0]
        except (json.JSONDecodeError, RecursionError):
            continue
    raise ValueError("the text holds no JSON object or array")


def normal(text: str) -> str:
    """A text in the form in which answers are compared: lower case, words only."""
    return " ".join(_WORDS.findall(text.lower()))


def canonical(text: str) -> str:
    """The class of an answer: its number where it is little else, else its normal form."""
    found = numbers(text)
    words = [w for w in normal(re.sub(r"[\d.,%+-]+", " ", text)).split() if len(w) > 2]
    if len(found) == 1 and len(words) <= 4:
        return f"{found[0]:.10g}"
    return normal(text)
