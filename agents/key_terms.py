"""Finds what each document is about: words that are frequent in it and rare in the others."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.passages import passages_of, terms


def agent(call: AgentCall) -> AgentReply:
    """``data.terms``: document -> its terms by tf-idf; ``common``: terms of most documents."""
    listed = data_with(call, "root", "files")
    counts: dict[str, Counter[str]] = {}
    for p in passages_of(Path(listed["root"]), listed["files"]):
        words = (t for t in terms(f"{p.heading} {p.text}") if len(t) > 2 and not t.isdigit())
        counts.setdefault(p.source, Counter()).update(words)
    inside = Counter(t for c in counts.values() for t in c)
    own = {f: ranked(c, inside, len(counts)) for f, c in counts.items()}
    total = sum(counts.values(), Counter[str]())
    common = [[t, n] for t, n in total.most_common(12)]
    rows = [[f, sum(counts[f].values()), own[f][:8]] for f in own]
    blocks = [
        {"kind": "chart", "chart": {"kind": "bars", "title": "Commonest terms", "items": common}},
        {"kind": "table", "columns": ["document", "words", "is about"], "rows": rows[:100]},
    ]
    first = ", ".join(t for t, _ in total.most_common(5))
    text = f"{len(own)} documents; commonest terms: {first}."
    return AgentReply(text=text, data={"terms": own, "common": common, "blocks": blocks})


def ranked(count: Counter[str], inside: Counter[str], n: int) -> list[str]:
    """Terms by tf * log((1 + n) / df), the highest first."""
    weight = {t: k * math.log((1 + n) / inside[t]) for t, k in count.items()}
    return sorted(weight, key=lambda t: (-weight[t], t))[:12]
