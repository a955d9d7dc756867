"""Finds text that looks like a credential. Shows where, never what."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with

SHAPES = {
    "private-key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "cloud-key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[A-Za-z0-9-]{20,})\b"),
}
NAMED = re.compile(
    r"(?i)\b\w*(?:password|passwd|secret|api_?key|token)\w*\s*[:=]\s*[\"']([^\"'\s]{8,})[\"']"
)
DULL = re.compile(r"(?i)example|changeme|placeholder|your[-_]|<.*>|\$\{|^[x*.]+$|dummy|test|\{")


def agent(call: AgentCall) -> AgentReply:
    """``data.findings``: file, line and rule of each likely credential."""
    listed = data_with(call, "root", "files")
    findings = []
    for name in listed["files"]:
        text = Path(listed["root"], name).read_text(encoding="utf-8", errors="replace")
        for line, rule in found(text):
            findings.append(finding(name, line, rule))
    return AgentReply(
        text=f"{len(findings)} likely credentials.", data={"findings": findings, "left_out": 0}
    )


def finding(name: str, line: int, rule: str) -> dict[str, Any]:
    """One finding as data, without the text itself."""
    severity = "medium" if rule == "named-secret" else "high"
    text = f"looks like a credential ({rule})"
    return {"file": name, "line": line, "rule": rule, "severity": severity, "text": text}


def found(text: str) -> Iterator[tuple[int, str]]:
    """Known shapes, and named values that are random enough (3 bits a character)."""
    for i, line in enumerate(text.split("\n"), 1):
        rule = next((r for r, shape in SHAPES.items() if shape.search(line)), None)
        m = NAMED.search(line) if rule is None else None
        if m and not DULL.search(m[1]) and entropy(m[1]) >= 3.0:
            rule = "named-secret"
        if rule:
            yield i, rule


def entropy(s: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    return -sum(n / len(s) * math.log2(n / len(s)) for n in Counter(s).values())
