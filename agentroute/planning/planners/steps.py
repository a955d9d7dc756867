"""Words as steps, and who waits for whom: by rules, and whole where they do not clearly fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agentroute.planning.planners.words import (
    BACK,
    BACK_TO_ALL,
    MARK,
    ORDER,
    POLITE,
    TELLS,
    asks,
    inside,
    opens_a_task,
)  # fmt: skip

LONGEST, MOST = 1_500, 40
_QUOTED = re.compile(
    r"```.*?```|`[^`]*`|\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']*'(?!\w)|\([^()]*\)", re.DOTALL
)
_MASK = re.compile("\ue000(\\d+)\ue001")
_ITEM = re.compile(r"^\s*(?:(\d+)[.)]|[-*•])\s+(.+?)\s*$")
_SENTENCE = re.compile(r"(?<=[.?!;])\s+(?=\S)")
_LEAD = re.compile(r"\bfollowing\b|:$")
_THEN = re.compile(rf"(?:[,;]\s*(?:and\s+)?|\s+and\s+|\s+)({MARK})\s*,?\s+(?=\w)", re.IGNORECASE)
_AND = re.compile(r",\s+and\s+|,\s+|\s+and\s+")
_EACH = re.compile(r"^[Ff]or each of (.+?), (?=[a-z])(.+)$")
_BEFORE = re.compile(r"^before (?:you |doing |)(.+?), (.+)$", re.IGNORECASE)
_APART = re.compile(r"^(\w+) (.+?) and (.+?) (?:separately|individually|apart)$", re.IGNORECASE)
_COMPARE = re.compile(r"^compare (.+?) (?:and|with|to|against) (.+)$", re.IGNORECASE)


@dataclass
class Step:
    """One step: its words, the steps before it that it waits for, and how tightly."""

    text: str
    after: set[int] = field(default_factory=set)
    coupling: float = 0.3


@dataclass
class _Clause:
    text: str
    marked: bool = False  # 'then', 'finally': waits for what came before
    sentence: int = 0


def split(text: str) -> list[Step]:
    """The steps of a request in words; a single one, the whole, where it cannot be told apart.

    What is quoted, in code or in brackets is never split, nor what stands in a clause of its own
    ('if', 'that', 'how to'). A step waits for those it points back to, by 'then', 'it' or 'both'.
    """
    whole = [Step(text.strip())]
    if len(text) > LONGEST:
        return whole
    spans: list[str] = []
    masked = _QUOTED.sub(lambda m: _masked(m[0], spans), text)
    found = _listed(masked) or _each(masked) or _sentences(masked)
    if found is None or not 1 < len(found) <= MOST:
        return whole
    for step in found:
        step.text = _MASK.sub(lambda m: spans[int(m[1])], step.text)
    return found


def _masked(span: str, spans: list[str]) -> str:
    """One word that no rule knows, in the place of a quoted span."""
    spans.append(span)
    return f"\ue000{len(spans) - 1}\ue001"


# -- lists and enumerations ----------------------------------------------------------------------


def _listed(text: str) -> list[Step] | None:
    """The items of a list of tasks or questions; None where there is none, or more than it."""
    lines = [line for line in text.splitlines() if line.strip()]
    items = [(i, m) for i, line in enumerate(lines) if (m := _ITEM.match(line))]
    if len(items) < 2:
        return None
    at = [i for i, _ in items]
    if at != list(range(at[0], len(lines))):
        return None
    texts = [_plainly(m[2]) for _, m in items]
    numbered = all(m[1] for _, m in items)
    if not all(opens_a_task(t, loosely=numbered) or asks(t) or t.endswith("?") for t in texts):
        return None
    questions = all(t.endswith("?") for t in texts)
    return _linked([_Clause(t, marked=numbered and not questions, sentence=0) for t in texts])


def _each(text: str) -> list[Step] | None:
    m = _EACH.match(text.strip().rstrip("."))
    if m is None or not opens_a_task(m[2]):
        return None
    items = [x for x in re.split(r",\s*(?:and\s+)?|\s+and\s+", m[1]) if x]
    return [Step(f"{item}: {m[2]}") for item in items] if len(items) > 1 else None


# -- sentences -----------------------------------------------------------------------------------


def _sentences(text: str) -> list[Step] | None:
    clauses: list[_Clause] = []
    context: list[str] = []
    for n, sentence in enumerate(_SENTENCE.split(text.strip())):
        found = list(_clauses(sentence.strip(), n))
        if not found and _asks_somehow(sentence):
            return None
        if not found:
            context.append(sentence.strip())
        clauses += found
    if len(clauses) > 2 and _LEAD.search(clauses[0].text):
        del clauses[0]  # 'perform the following tasks'
    if len(clauses) < 2:
        return None
    steps = _linked(clauses)
    for step in steps if context else ():
        step.text = " ".join((*context, step.text))
    return steps


def _asks_somehow(sentence: str) -> bool:
    """It asks for something, or only under a condition, and no rule says what."""
    sentence = sentence.strip()
    conditional = re.match(r"(?:if|unless|otherwise|when)\b", sentence, re.IGNORECASE)
    return bool(conditional or ORDER.match(sentence)) or _opened(sentence)[0] != sentence


def _clauses(sentence: str, n: int) -> Iterator[_Clause]:
    """The tasks of one sentence; none where it asks for nothing."""
    asked = sentence.endswith("?")
    body, marked = _opened(sentence.rstrip(".;! "))
    if (m := _BEFORE.match(body)) and opens_a_task(m[1]) and opens_a_task(m[2]):
        yield _Clause(m[2], marked, n)
        yield _Clause(m[1], True, n)
        return
    if asked and asks(body):
        yield _Clause(body, marked, n)
        return
    opened = body != sentence.rstrip(".;! ")
    said_then = opened or any(opens_a_task(_plainly(body[m.end() :])) for m in _THEN.finditer(body))
    if not opens_a_task(body, loosely=said_then):
        return
    for text, then in _parted(body):
        for i, part in enumerate(_apart(text)):
            yield _Clause(part, (then or marked) if i == 0 else part == text, n)
        marked = False


def _opened(text: str) -> tuple[str, bool]:
    """Without what stands before the verb; whether that said 'after what came before'."""
    marked = False
    for _ in range(4):
        order = ORDER.match(text)
        if order and (rest := text[order.end() :]) and _asked_for(rest):
            marked |= not re.match(r"first|to (?:begin|start)", order[0], re.IGNORECASE)
            text = rest
        else:
            text = _plainly(text)
    return text, marked


def _asked_for(text: str) -> bool:
    plain = _plainly(text)
    return opens_a_task(plain, loosely=True) or asks(plain) or plain != text


def _plainly(text: str) -> str:
    while (m := POLITE.match(text)) and len(text) > m.end():
        text = text[m.end() :]
    return text


def _parted(body: str) -> Iterator[tuple[str, bool]]:
    """(clause, said 'then') by markers, and each of these by commas and 'and' before a verb."""
    start, then = 0, False
    for m in _THEN.finditer(body):
        rest = _plainly(body[m.end() :])
        if opens_a_task(rest) and not _blocked(body[start : m.start()]):
            for i, part in enumerate(_coordinated(body[start : m.start()])):
                yield part, then and i == 0
            start, then = m.end(), True
    for i, part in enumerate(_coordinated(_plainly(body[start:]))):
        yield part, then and i == 0


def _blocked(text: str) -> bool:
    return bool(re.search(r"\b(?:if|unless|whether|how to|in which)\b", text, re.I)) or any(
        opens_a_task(f"{w} the") for w in re.findall(r"\bto (\w+)", text)
    )


def _coordinated(clause: str) -> list[str]:
    parts, start = [], 0
    for m in _AND.finditer(clause):
        before, after = clause[start : m.start()], clause[m.end() :]
        if (
            len(before.split()) > 1
            and opens_a_task(_plainly(after))
            and not inside(clause[: m.start()])
        ):
            parts.append(before)
            start = m.end()
    return [*(p.strip(" ,") for p in parts), _plainly(clause[start:]).strip(" ,")]


def _apart(clause: str) -> list[str]:
    """'Do A and B separately', 'three papers on A and three papers on B', 'compare the A of B'."""
    if m := _APART.match(clause):
        return [f"{m[1]} {m[2]}", f"{m[1]} {m[3]}"]
    if m := _COMPARE.match(clause):
        same = m[1].split()[:3] == m[2].split()[:3] and len(m[1].split()) > 3
        return [m[1], m[2], clause] if same else [clause]
    verb, _, rest = clause.partition(" ")
    left, _, right = rest.partition(" and ")
    head = left.split()[:3]
    if right and len(head) == 3 and right.split()[:3] == head:
        return [f"{verb} {left}", f"{verb} {right}"]
    return [clause]


# -- who waits for whom --------------------------------------------------------------------------


def _linked(clauses: list[_Clause]) -> list[Step]:
    steps: list[Step] = []
    chained = -1  # the sentence in which a step already waited for the one before
    for j, c in enumerate(clauses):
        step = Step(c.text)
        ends = set(range(j)) - {i for s in steps for i in s.after}
        verb = c.text.split(" ", 1)[0].lower()
        if j and (c.marked or BACK_TO_ALL.search(c.text) or verb in TELLS):
            step.after, step.coupling = ends, 0.5
        elif j and (chained == c.sentence or BACK.search(c.text)):
            step.after, step.coupling = {j - 1}, 0.7
        if step.after:
            chained = c.sentence
        steps.append(step)
    return steps
