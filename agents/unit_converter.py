"""Converts units with pint, from a question in words."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply

N = r"(?P<n>[-−+]?[\d.,]+(?:e[-+]?\d+)?)"
UNIT = r"[A-Za-zµ°][A-Za-zµ°/*^ 0-9]{0,40}?"
ASKED = rf"how (?:many|much) (?P<to>{UNIT}) (?:are|is|make|equal)(?: there)?(?: in)? "
ORDERED = r"(?:convert|express|change|turn)? ?(?:what is )?"
FORMS = (
    re.compile(ASKED + rf"{N} ?(?P<of>{UNIT})\W*$", re.IGNORECASE),
    re.compile(
        ORDERED + rf"{N} ?(?P<of>{UNIT}) (?:to|in|into|as) (?P<to>{UNIT})\W*$", re.IGNORECASE
    ),
)
ARTICLE = re.compile(r"^(?:the|an?) ", re.IGNORECASE)


def agent(call: AgentCall) -> AgentReply:
    """The converted value; abstains where the prompt asks for no conversion."""
    text = " ".join(call.task.prompt[:300].split())
    for form in FORMS:
        if m := form.search(text):
            return converted(m["n"].replace(",", "").replace("−", "-"), m["of"], m["to"])
    return unknown("this asks for no conversion of units")


def converted(n: str, of: str, to: str) -> AgentReply:
    """``n of`` in ``to``."""
    import pint

    units = registry()
    try:
        value = units.Quantity(float(n), plain(of)).to(plain(to)).magnitude
    except pint.errors.DimensionalityError:
        return unknown(f"{of} and {to} measure different things")
    except (pint.errors.PintError, ValueError, TypeError, AttributeError, OverflowError):
        return unknown(f"'{of}' or '{to}' is no unit that I know")
    said = f"{float(value):.10g} {to.strip()}"
    return AgentReply(
        text=said, data={"answer": said, "value": float(value), "confidence": 0.98}, confidence=0.98
    )


def plain(unit: str) -> str:
    """A unit as pint writes it; powers have one digit."""
    unit = ARTICLE.sub("", unit.strip())
    if re.search(r"\^\s*\d\d|\d\d", unit):
        raise ValueError("no such power")
    unit = re.sub(r"(?i)\b(?:degrees?|°) ?(celsius|fahrenheit|c|f)\b|°([CF])", degree, unit)
    unit = re.sub(r"(?i)^(celsius|fahrenheit)$", degree, unit)
    return re.sub(r"(?i)\bper\b", "/", unit).replace("^", "**")


def degree(m: re.Match[str]) -> str:
    """A temperature scale."""
    scale = (m[1] or (m[2] if m.re.groups > 1 else "")).lower()
    return "degC" if scale.startswith("c") else "degF"


@cache
def registry() -> Any:
    """Pint's registry, loaded once a process."""
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def unknown(why: str) -> AgentReply:
    """An abstention."""
    return AgentReply(text=f"I do not know: {why}.", abstained=True, confidence=0.0)
