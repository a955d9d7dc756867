"""How a conformance suite runs: every rule, then one error that says which are broken."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

Rule = Callable[..., None]


def run_rules(
    rules: Iterable[Rule], attempt: Callable[[Rule], Any], skip: Iterable[str] = ()
) -> tuple[str, ...]:
    """The names of the rules that held; ``attempt`` runs one on fresh material.

    A rule is a function that raises with what is wrong; its docstring's first line is the rule.

    Raises:
        AssertionError: names every broken rule, its sentence, and what was wrong.
    """
    broken, held, left_out = [], [], frozenset(skip)
    for rule in rules:
        if rule.__name__ in left_out:
            continue
        try:
            attempt(rule)
            held.append(rule.__name__)
        except Exception as e:
            broken.append(f"{rule.__name__}: {sentence(rule)}\n    {type(e).__name__}: {e}")
    if broken:
        many = "1 rule is" if len(broken) == 1 else f"{len(broken)} rules are"
        raise AssertionError(f"{many} broken:\n" + "\n".join(broken))
    return tuple(held)


def sentence(rule: Rule) -> str:
    """What a rule demands, in its own words."""
    return (inspect.getdoc(rule) or "").split("\n")[0]
