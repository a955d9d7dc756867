"""Scores found defects against a third method: tokens, which neither inspector uses."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.lexer import Token, statements

Finding = tuple[int, str]
RULES = {
    "eval-call", "bare-except", "mutable-default", "none-equality", "star-import", "shell-true",
    "assert-tuple",
}  # fmt: skip


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: mean F1 over files with findings, for replies that used these rules."""
    listed = data_with(call, "root", "files")
    names = listed["files"][: int(call.params.get("files", 120))]
    truth = {n: set(by_tokens(Path(listed["root"], n))) for n in names}
    scores = []
    for task_id, reply in call.inputs.items():
        if isinstance(reply.data, dict) and reply.data.get("by") and "findings" in reply.data:
            f1 = f_scores(reply.data["findings"], truth)
            score = statistics.fmean(f1) if f1 else 1.0
            method = f"F1 against tokens, {len(f1)} files with findings"
            scores.append({"task_id": task_id, "score": round(score, 6), "method": method})
    text = "; ".join(f"{s['task_id']} {s['score']:.3f}" for s in scores)
    return AgentReply(text=text or "nothing to verify", data={"scores": scores})


def f_scores(findings: list[dict[str, Any]], truth: dict[str, set[Finding]]) -> list[float]:
    """F1 of each file that has findings or of which some were claimed."""
    said: dict[str, set[Finding]] = {n: set() for n in truth}
    for f in findings:
        if f["file"] in said and f["rule"] in RULES:
            said[f["file"]].add((f["line"], f["rule"]))
    pairs = [(said[n], truth[n]) for n in truth if said[n] or truth[n]]
    return [2 * len(a & b) / (len(a) + len(b)) for a, b in pairs]


def by_tokens(path: Path) -> Iterator[Finding]:
    """The rules over the tokens of each statement."""
    for s in statements(path.read_text(encoding="utf-8-sig", errors="replace")):
        words = ["'" if t.kind == "string" else t.text for t in s]
        yield from pairs_in(s, words)
        if "def" in words[:2]:
            yield from defaults(s)
        if words[0] == "assert" and one_tuple(s):
            yield s[0].line, "assert-tuple"


def pairs_in(s: list[Token], words: list[str]) -> Iterator[Finding]:
    """Rules of two or three neighbouring tokens."""
    for i, w in enumerate(words[:-1]):
        after = words[i + 1]
        if w in ("eval", "exec") and after == "(" and (i == 0 or words[i - 1] not in (".", "def")):
            yield s[i].line, "eval-call"
        elif w == "except" and after == ":":
            yield s[i].line, "bare-except"
        elif w in ("==", "!=") and after == "None":
            yield s[i + 1].line, "none-equality"
        elif w == "None" and after in ("==", "!="):
            yield s[i].line, "none-equality"
        elif w == "import" and after == "*":
            yield s[0].line, "star-import"
        elif words[i : i + 3] == ["shell", "=", "True"]:
            yield s[i + 2].line, "shell-true"


def defaults(s: list[Token]) -> Iterator[Finding]:
    """``= [`` or ``= {`` among a function's arguments (a comprehension is no display)."""
    for i, (a, b) in enumerate(pairwise(s)):
        if a.text == "=" and a.depth == 1 and b.text in ("[", "{") and not comprehends(s[i + 2 :]):
            yield b.line, "mutable-default"


def comprehends(rest: list[Token]) -> bool:
    """Whether ``for`` comes before the bracket closes."""
    for t in rest:
        if t.depth < 2:
            return False
        if t.text == "for" and t.kind == "name":
            return True
    return False


def one_tuple(s: list[Token]) -> bool:
    """``assert (a, b)`` and nothing after it."""
    if len(s) < 4 or s[1].text != "(" or s[-1].text != ")" or s[-1].depth:
        return False
    inside = s[2:-1]
    return all(t.depth for t in inside) and any(t.text == "," and t.depth == 1 for t in inside)
