"""How a conformance suite runs: every rule, and one error that names all that are broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def broken(rules: Sequence[Callable[..., None]], *given: Any) -> list[str]:
    """The sentence of each rule that does not hold for ``given``, with what was seen."""
    out = []
    for rule in rules:
        try:
            rule(*given)
        except Exception as e:
            sentence = " ".join((rule.__doc__ or rule.__name__).split())
            out.append(f"{rule.__name__}: {sentence} ({type(e).__name__}: {e})")
    return out


def require(rules: Sequence[Callable[..., None]], *given: Any) -> None:
    """Run the rules.

    Raises:
        AssertionError: one line for each rule that is broken.
    """
    found = broken(rules, *given)
    if found:
        raise AssertionError("\n".join(found))
