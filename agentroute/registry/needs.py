"""What an agent cannot do without: inputs of earlier tasks, and libraries of its code."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from agentroute.model.calls import INPUTS
from agentroute.model.candidates import CardSet
from agentroute.model.cards import TEXT, CapabilityCard

Mask = NDArray[np.bool_]


def required(card: CapabilityCard) -> frozenset[str]:
    """The keys that a task must hand over: neither its prompt nor what the card's params give."""
    return frozenset(card.requires) - {TEXT} - set(card.params)


def requirements(cards: CardSet) -> dict[frozenset[str], Mask]:
    """The distinct sets of required keys of N cards, each with the cards (N,) that have it."""
    out: dict[frozenset[str], Mask] = {}
    for i, card in enumerate(cards.cards):
        if asked := required(card):
            out.setdefault(asked, np.zeros(len(cards), bool))[i] = True
    return out


def unmet(needs: Mapping[frozenset[str], Mask], there: Collection[str]) -> list[tuple[str, Mask]]:
    """Whom the keys that are ``there`` do not serve (N,), with the reason in words."""
    gaps = ((asked.difference(there), who) for asked, who in needs.items())
    return [(wanting(missing), who) for missing, who in gaps if missing]


def wanting(missing: Collection[str]) -> str:
    """Why an agent without these inputs is left out, in words."""
    named = ", ".join(sorted(set(missing) - {INPUTS}))
    return f"needs {named} from an earlier task" if named else "needs replies of earlier tasks"


def lacks(card: CapabilityCard) -> str:
    """Which libraries of an agent's code are not installed, and what installs them; '' for none.

    Only looks for them: nothing is imported.
    """
    gone = {m: by for m, by in card.libraries.items() if importlib.util.find_spec(m) is None}
    if not gone:
        return ""
    by = " ".join(f"'{x}'" for x in dict.fromkeys(gone.values()))
    return f"needs {' and '.join(gone)}, not installed: pip install {by}"
