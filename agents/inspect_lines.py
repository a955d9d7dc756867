"""Finds likely defects line by line: quick, reads files that do not parse, is fooled by strings."""

from __future__ import annotations

import re
from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with

RULES = {
    "eval-call": (re.compile(r"\b(?:eval|exec)\s*\("), "high", "eval or exec runs text as code"),
    "shell-true": (re.compile(r"shell\s*=\s*True"), "high", "shell=True lets text reach a shell"),
    "bare-except": (re.compile(r"except\s*:"), "medium", "a bare except catches everything"),
    "mutable-default": (
        re.compile(r"\bdef\b.*=\s*[\[{]"), "medium", "a mutable default argument is shared",
    ),
    "none-equality": (re.compile(r"[!=]=\s*None\b"), "low", "compare with None by 'is'"),
    "star-import": (re.compile(r"\bimport\s+\*"), "low", "a star import hides origins"),
}  # fmt: skip


def agent(call: AgentCall) -> AgentReply:
    """As ``inspect_ast``, by one regular expression a rule and line."""
    listed = data_with(call, "root", "files")
    findings = []
    for name in listed["files"]:
        text = Path(listed["root"], name).read_text(encoding="utf-8", errors="replace")
        for i, line in enumerate(text.split("\n"), 1):
            for rule, (pattern, severity, says) in RULES.items():
                if pattern.search(line):
                    findings.append(
                        {"file": name, "line": i, "rule": rule, "severity": severity, "text": says}
                    )
    return AgentReply(
        text=f"{len(findings)} likely defects, by lines.",
        data={"findings": findings, "unreadable": [], "by": "regular expressions"},
    )
