"""Summarises documents by the few sentences that together hold most of their weighty words."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.toolbox.caps import shares
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.passages import Passage, passages_of, sentences, terms

LIMIT, VOCABULARY = 4_000, 1_000
WORD = re.compile(r"^[a-z]{3,}$")


def agent(call: AgentCall) -> AgentReply:
    """``params.sentences`` sentences in the order of the documents, cited."""
    listed = data_with(call, "root", "files")
    n = int(call.params.get("sentences", 8))
    passages = passages_of(Path(listed["root"]), listed["files"])
    found = fair(candidates(passages), LIMIT)
    if not found:
        return AgentReply(text="The documents hold no sentences.", abstained=True)
    rows = [found[i] for i in sorted(covering(found, weights(passages), min(n, len(found))))]
    summary = [{"source": p.source, "line": p.line, "text": p.text} for p in rows]
    cited = tuple(Citation(source=p.source, locator=f"line {p.line}", quote=p.text) for p in rows)
    items = [f"{p.text} [{p.source}]" for p in rows]
    return AgentReply(
        text="\n".join(items),
        data={"summary": summary, "blocks": [{"kind": "notes", "items": items}]},
        citations=cited,
    )


def candidates(found: tuple[Passage, ...]) -> list[Passage]:
    """Sentences that read as sentences; where there are none, whatever there is."""
    prose = [p for p in found if p.prose] or found
    out = [p._replace(text=s) for p in prose for s in sentences(p.text)]
    plain = [p for p in out if len(terms(p.text)) >= 6 and len(p.text) <= 400]
    return [p for p in plain if p.text[0].isalnum()] or plain or out


def fair(found: list[Passage], most: int) -> list[Passage]:
    """At most so many sentences, in order: small documents whole, large ones in equal parts."""
    count = Counter(p.source for p in found)
    room = dict(zip(count, shares(list(count.values()), most), strict=True))
    kept = []
    for p in found:
        if room[p.source]:
            room[p.source] -= 1
            kept.append(p)
    return kept


def weights(passages: tuple[Passage, ...]) -> dict[str, int]:
    """The commonest words of all documents with their counts."""
    count = Counter(t for p in passages for t in terms(p.text) if WORD.match(t))
    return dict(count.most_common(VOCABULARY))


def covering(found: list[Passage], weight: dict[str, int], n: int) -> list[int]:
    """Greedy maximum coverage (Nemhauser et al. 1978: at least 1 - 1/e of the best).

    Each step adds the sentence with the most new weight for the root of its length, since long
    sentences hold more words and are harder to read. A is (sentences, words), 0 or 1.
    """
    column = {t: j for j, t in enumerate(weight)}
    a = np.zeros((len(found), len(column)), np.float32)
    for i, p in enumerate(found):
        a[i, [column[t] for t in set(terms(p.text)) if t in column]] = 1.0
    w = np.fromiter(weight.values(), np.float32, len(weight))
    length = np.sqrt([max(len(p.text), 1) for p in found])
    chosen: list[int] = []
    for _ in range(n):
        gain = (a @ w) / length
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        w = np.where(a[chosen[-1]] > 0, 0.0, w).astype(np.float32)
    return chosen
