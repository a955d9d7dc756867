"""One self-contained HTML page: autoescaped template, inline style, no script."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from agentroute.errors import UsageError


@dataclass(frozen=True, slots=True)
class Cell:
    """Words of a table or a note that are more than words: a link, a part of a tree, a verdict."""

    text: str
    """What is read; always escaped."""
    href: str = ""
    """An address of our own, its parts quoted."""
    depth: int = 0
    """How far in it stands, 0 to 2."""
    tone: str = ""
    """'ok', 'bad', 'note' or nothing."""
    mono: bool = False
    """An id: never broken over two lines."""


@dataclass
class Section:
    """A heading, words, a chart, a table and notes; whatever is empty is left out.

    A column whose name starts with '>' holds numbers and is set to the right; with '=' sentences,
    and is given room.
    """

    title: str
    text: str = ""
    chart: Markup = field(default_factory=Markup)
    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    marked: frozenset[int] = frozenset()
    notes: list[str | Cell] = field(default_factory=list)
    pre: str = ""
    anchor: str = ""


@cache
def templates() -> Environment:
    """The templates: everything is escaped, and a name that is not given is an error."""
    environment = Environment(
        autoescape=True, loader=PackageLoader("agentroute.inspector"), undefined=StrictUndefined
    )
    environment.tests["cell"] = lambda v: isinstance(v, Cell)
    return environment


def render(title: str, sections: list[Section], *, lead: str = "", footer: str = "") -> str:
    """The page as text, with the time at its foot; all is escaped, a chart is SVG of our own."""
    template = templates().get_template("page.html")
    footer = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. {footer}"
    return template.render(title=title, lead=lead, sections=sections, footer=footer)


def write(path: Path, html: str) -> Path:
    """Write a page, by rename; the folder is made.

    Raises:
        UsageError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(html, encoding="utf-8")
        part.replace(path)
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}", hint="choose another --out") from None
    return path.resolve()
