"""What a text answers, in the form in which answers are compared. Plain rules, no model."""

from __future__ import annotations

import re

_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z_]-)[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?%?"
)
_WORDS = re.compile(r"[^\W_]+")


def numbers(text: str) -> list[float]:
    """Every number in a text, in order."""
    out = []
    for m in _NUMBER.finditer(text):
        bare = m.group().rstrip("%").replace(",", "").replace("−", "-")
        if any(c.isdigit() for c in bare):
            out.append(float(bare))
    return out


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
