"""Saying that there is no answer: when all failed, and when a text says that it does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentroute.model.calls import AgentReply

_UNSURE = re.compile(
    r"(?i)^\W*(?:i(?:'m| am)? (?:do not|don't|cannot|can't|am unable to|unable to|not able to) |"
    r"(?:i am |i'm )?sorry|unknown\W*$|n/?a\W*$|(?:there is )?no answer|not enough information|"
    r"cannot be (?:determined|answered))"
)


def says_nothing(text: str) -> bool:
    """Whether a text is empty or opens by saying that it does not know or will not say."""
    return not text.strip() or bool(_UNSURE.match(text.strip()))


def refuse(failures: Mapping[str, str], *, abstained: bool = False) -> AgentReply:
    """The reply of a run in which nobody answered: who was asked and why not, in words.

    ``failures`` maps a task or agent to the reason. ``abstained``: they knew that they do not know.
    """
    head = "Nobody could answer." if abstained else "No answer: every step that gives one failed."
    lines = [f"- {who}: {why}" for who, why in failures.items()]
    return AgentReply(
        text="\n".join([head, *lines]),
        data={"failures": dict(failures)},
        confidence=0.0,
        abstained=True,
    )
