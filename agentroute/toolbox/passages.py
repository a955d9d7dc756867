"""Documents as passages that can be cited: paragraphs with their file, line and heading."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from agentroute.toolbox.caps import within

SUFFIXES = (".md", ".markdown", ".txt", ".rst", ".html", ".htm")
MAX_FILES, MAX_BYTES = 300, 2_000_000
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(A-Z0-9`])")
_RULE = re.compile(r"^([=\-~^\"'#*+.:_`|])\1{2,}$")
_FENCE = re.compile(r"^(`{3,}|~{3,})")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_INDENTED = re.compile(r"^(\t| {4})")
_LINK = re.compile(
    r"!?\[[^\[\]]*\]\([^()\s]*\)|\[!?\[[^\]]*\]\([^()]*\)\]\([^()]*\)|<[^<>]*>|https?://\S+"
)
_TITLE = re.compile(r"^(\*\*|__)[^*_]+\1:?$")
_TERM = re.compile(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*")

_STOP_WORDS = """
a about after all also am an and any are as at be been before but by can could did do does for from
had has have he her his how i if in into is it its just many may me more most much must my no not of
on one only or our out over she should so some such than that the their them then there these they
this those to up us was we were what when where which while who whom whose why will with would you
your
"""
STOP = frozenset(_STOP_WORDS.split())


class Passage(NamedTuple):
    """A paragraph: ``source`` relative to the folder, ``line`` counts from 1.

    ``prose`` says that it reads as text, and is no code, table, link or title.
    """

    source: str
    line: int
    heading: str
    text: str
    prose: bool = True


def document_files(root: Path) -> tuple[list[str], int]:
    """Documents below ``root`` (or the one file), relative; and how many the cap left out."""
    if root.is_file():
        return [root.name], 0
    found: list[tuple[str, int]] = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if not n.startswith(".") and n != "__pycache__")
        for path in (Path(folder, f) for f in sorted(files) if f.lower().endswith(SUFFIXES)):
            size = path.stat().st_size if path.is_file() else MAX_BYTES + 1
            found.append((path.relative_to(root).as_posix(), size))
    kept = within([f for f in found if f[1] <= MAX_BYTES], MAX_FILES, MAX_BYTES)
    return [name for name, _ in kept], len(found) - len(kept)


def passages_of(root: Path, files: Iterable[str]) -> tuple[Passage, ...]:
    """Every paragraph of the files; kept in memory while no file changes."""
    state = []
    for f in files:
        path = root / f
        state.append((str(path), f, path.stat().st_mtime_ns if path.is_file() else 0))
    return _passages(tuple(state))


@lru_cache(maxsize=8)
def _passages(state: tuple[tuple[str, str, int], ...]) -> tuple[Passage, ...]:
    out: list[Passage] = []
    for path, name, modified in state:
        if modified:
            out += split(name, read(Path(path)))
    return tuple(out)


def read(path: Path) -> str:
    """A document's text in any common encoding; tags of HTML are left out; '' for binary files."""
    raw = path.read_bytes()[:MAX_BYTES]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = raw.decode("utf-16", errors="replace")
    elif b"\x00" in raw[:8192]:
        return ""
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")
    return _Text.of(text) if path.suffix.lower() in (".html", ".htm") else text


def split(source: str, text: str) -> Iterator[Passage]:
    """Paragraphs (blank lines and list items part them) under the last heading above them.

    Code (fenced, indented, or of a reStructuredText directive), table rows, and lines of links or
    images alone are passages too, and ``prose`` is False of them; comments are left out.
    """
    heading, block, start, fence = "", list[str](), 1, ""
    for i, line in enumerate([*_bare(text).splitlines(), ""], 1):
        bare = line.strip()
        mark = _FENCE.match(bare)
        if fence or mark:
            if block and not fence:
                yield _passage(source, start, heading, block)
                block = []
            if not fence:
                fence, start = (mark[1] if mark else ""), i
            elif bare.startswith(fence) and not bare.strip(fence[0]):
                fence = ""
                if block:
                    yield _passage(source, start, heading, block, prose=False)
                block = []
            else:
                block.append(line)
            continue
        item = bare.startswith(("- ", "* ")) and bool(block)
        if bare.startswith("#") or not bare or item or _RULE.match(bare):
            if _RULE.match(bare) and len(block) == 1 and not bare.startswith("#"):
                heading, block = block[0].strip(), []
            if block:
                yield _passage(source, start, heading, block)
            block = [line] if item else []
            start = i
            if bare.startswith("#"):
                heading = bare.lstrip("# ").strip()
        else:
            if not block:
                start = i
            block.append(line)
    if block:
        yield _passage(source, start, heading, block, prose=not fence)


def _bare(text: str) -> str:
    """The text with comments blanked out, line for line."""
    return _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), text)


def _passage(
    source: str, line: int, heading: str, block: list[str], *, prose: bool = True
) -> Passage:
    words = " ".join(" ".join(block).split())
    if prose:
        first = block[0].lstrip()
        code = first.startswith((".. ", ">>> ", "$ ", ":")) or all(map(_INDENTED.match, block))
        table = all(b.strip().startswith("|") for b in block)
        linked = not re.search(r"[^\W\d_]{2}", _LINK.sub(" ", words))
        prose = not (code or table or linked or _TITLE.match(words))
    return Passage(source, line, heading, words, prose)


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph."""
    return [s.strip() for s in _SENTENCE.split(text) if s.strip()]


def terms(text: str) -> list[str]:
    """Words that carry meaning, lower case, without stop words; identifiers whole and in parts."""
    out = []
    for m in _TERM.finditer(text.lower()):
        word = m.group()
        if word in STOP:
            continue
        out.append(word)
        if "_" in word or "-" in word:
            out += [p for p in re.split(r"[_-]", word) if len(p) > 1 and p not in STOP]
    return out


class _Text(HTMLParser):
    """The visible text of HTML; block tags end a paragraph."""

    BLOCKS = frozenset({"p", "div", "li", "tr", "h1", "h2", "h3", "h4", "section", "pre", "td"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    @classmethod
    def of(cls, html: str) -> str:
        parser = cls()
        parser.feed(html)
        return "".join(parser.parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")
        if tag in self.BLOCKS:
            self.parts.append("\n\n" + "# " * (tag in ("h1", "h2", "h3", "h4")))

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in ("script", "style")))
        if tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)
