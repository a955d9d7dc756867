"""Python tokens from any text, also text that no Python parses: a third method for verifiers.

One regular expression, resynchronised at each line end, so that an error costs one line. Strings
and comments are recognised, which is what a line-by-line search cannot do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<string>[rRbBuUfF]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
  | (?P<comment>\#[^\n]*)
  | (?P<name>[^\W\d]\w*)
  | (?P<number>\d[\w.]*)
  | (?P<join>\\\r?\n)
  | (?P<newline>\n)
  | (?P<op>==|!=|<>|<=|>=|->|:=|\*\*|//|\.\.\.|[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token: ``kind`` is name, op, string, number or newline; ``line`` counts from 1."""

    kind: str
    text: str
    line: int
    depth: int


def tokens(source: str) -> Iterator[Token]:
    """Tokens without comments and joined lines; ``depth`` counts open brackets before the token.

    A newline inside brackets is no token. A line that starts with a statement's keyword at no
    indentation closes brackets that were never closed.
    """
    line, at, depth = 1, 0, 0
    for m in _TOKEN.finditer(source):
        line += source.count("\n", at, m.start())
        at, kind, text = m.start(), str(m.lastgroup), m.group()
        if depth and _starts_over(source, m.start(), text):
            depth = 0
        if kind in ("comment", "join") or (kind == "newline" and depth):
            continue
        if text in ")]}" and kind == "op":
            depth = max(0, depth - 1)
        yield Token(kind, text, line, depth)
        if text in "([{" and kind == "op":
            depth += 1


_STATEMENTS = frozenset({"def", "class", "import", "from", "return", "try", "while"})


def _starts_over(source: str, start: int, text: str) -> bool:
    return text in _STATEMENTS and (start == 0 or source[start - 1] == "\n")


def statements(source: str) -> Iterator[list[Token]]:
    """The tokens of one logical line at a time; ``;`` and a block's ``:`` also end one."""
    current: list[Token] = []
    for t in tokens(source):
        if t.kind == "newline" or (t.text == ";" and not t.depth):
            if current:
                yield current
            current = []
        else:
            current.append(t)
    if current:
        yield current


def imported(source: str) -> set[tuple[int, str]]:
    """``(line, top-level module)`` of every absolute import statement."""
    out = set()
    for s in statements(source):
        s = _after_block_opener(s)
        if s[0].text == "import":
            out |= {(s[0].line, name) for name in _import_names(s[1:])}
        elif _names_a_module(s):
            out.add((s[0].line, s[1].text))
    return out


def _names_a_module(s: list[Token]) -> bool:
    starts = len(s) > 3 and s[0].text == "from" and s[1].kind == "name"
    return starts and any(t.text == "import" for t in s[2:])


def _after_block_opener(s: list[Token]) -> list[Token]:
    for i, t in enumerate(s[:-1]):
        if (
            t.text == ":"
            and not t.depth
            and s[0].text in ("try", "else", "if", "finally", "except")
        ):
            return s[i + 1 :]
    return s


def _import_names(rest: list[Token]) -> Iterator[str]:
    fresh = True
    for t in rest:
        if fresh and t.kind == "name":
            yield t.text
        fresh = t.text == ","
