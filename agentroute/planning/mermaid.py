"""A plan as Mermaid text. Labels are words of strangers: only harmless characters pass."""

from __future__ import annotations

import unicodedata

from agentroute.model.plans import Plan

LABEL = 60
_SAFE = frozenset(" .,-_:/+()")


def mermaid(plan: Plan) -> str:
    """``flowchart TD`` with one box a task and the coupling on each edge."""
    ids = {t.id: f"t{i}" for i, t in enumerate(plan.tasks)}
    lines = ["flowchart TD"]
    for t in plan.tasks:
        lines.append(f'  {ids[t.id]}["{label(t.id)}: {label(t.prompt)}"]')
    for t in plan.tasks:
        lines += [f"  {ids[p]} -->|{c:g}| {ids[t.id]}" for p, c in t.depends_on.items()]
    return "\n".join(lines) + "\n"


def label(text: str, limit: int = LABEL) -> str:
    """At most ``limit`` letters, digits and plain signs; everything else becomes a space.

    Brackets of an id like ``q[0]`` become round ones.
    """
    text = unicodedata.normalize("NFKC", text).replace("[", "(").replace("]", ")")
    kept = "".join(c if c.isalnum() or c in _SAFE else " " for c in text[: 4 * limit])
    words = " ".join(kept.split())
    return words if len(words) <= limit else words[: limit - 3].rstrip() + "..."
