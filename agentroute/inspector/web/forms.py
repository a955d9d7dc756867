"""Forms that ask for a page: GET, without script, escaped by the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from agentroute.inspector.page import templates


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that is asked for."""

    name: str
    """Its key in the query."""
    label: str
    """What people read."""
    value: str = ""
    """What it holds now."""
    choices: Sequence[tuple[str, str]] = ()
    """(value, words) to choose among; none: free words."""
    hints: Sequence[str] = ()
    """Words that are offered for free text."""
    hidden: bool = False
    """Sent along and not shown."""
    least: int | None = None
    """With ``most``: a whole number, on a slider."""
    most: int | None = None
    """The largest."""


def form(action: str, button: str, fields: Sequence[Field]) -> Markup:
    """A form that leads to ``action``."""
    words = (
        templates().get_template("form.html").render(action=action, button=button, fields=fields)
    )
    return Markup(words)
