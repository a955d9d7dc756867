"""One self-contained HTML page: autoescaped template, inline style, no script."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from agentroute.errors import UsageError


@dataclass
class Section:
    """A heading, words, a chart, a table and notes; whatever is empty is left out.

    A column whose name starts with '>' holds numbers and is set to the right.
    """

    title: str
    text: str = ""
    chart: Markup = field(default_factory=Markup)
    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    marked: frozenset[int] = frozenset()
    notes: list[str] = field(default_factory=list)
    pre: str = ""


def render(title: str, sections: list[Section], *, lead: str = "", footer: str = "") -> str:
    """The page as text; every value is escaped, a chart is SVG of our own."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(autoescape=True, loader=PackageLoader("agentroute.inspector"))
    template = environment.get_template("page.html")
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
