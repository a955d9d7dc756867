"""What a person should know of a catalogue that works as it is: names alike, links, stand-ins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from agentroute.config.paths import Place
from agentroute.model.cards import CapabilityCard
from agentroute.registry.load import load_card
from agentroute.registry.onboard import code_of
from agentroute.registry.registry import Binding, Registry, stands_for

_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", " ": "", "_": "", ".": "", "-": ""})


def remarks(registry: Registry) -> list[str]:
    """One line each: names that are read as one another, code or cards that are links out of
    their folder, cards whose code is no agent's, and cards that stand for a bundled refiner or
    verifier, through whose hands every answer goes.
    """
    entries = registry.entries
    return [
        *_names(entries),
        *(line for b in entries.values() for line in _links(b)),
        *_nowhere(entries),
        *_stand_ins(entries, registry.places),
    ]


def looks(name: str) -> str:
    """The same for two names that an eye takes for one another."""
    return name.lower().translate(_ALIKE).replace("rn", "m").replace("vv", "w")


def _names(entries: Mapping[str, Binding]) -> list[str]:
    by_look: dict[str, list[str]] = {}
    for name in entries:
        by_look.setdefault(looks(name), []).append(name)
    return [
        f"{' and '.join(repr(n) for n in names)} look alike: rename one"
        for names in by_look.values()
        if len(names) > 1
    ]


def _links(b: Binding) -> list[str]:
    if b.path is None:
        return []
    said = []
    for what, path in (("card", b.path), ("code", code_of(b.card, b.path))):
        if path is not None and path.is_symlink():
            where = path.resolve()
            if where.parent != path.parent.resolve():
                said.append(f"the {what} of '{b.card.name}' is a link to {where}")
    return said


def _nowhere(entries: Mapping[str, Binding]) -> list[str]:
    return [
        f"'{name}' refers to card:{target}, and no agent is called that"
        for name, b in entries.items()
        if (target := stands_for(b)) and target not in entries
    ]


def _stand_ins(entries: Mapping[str, Binding], places: Sequence[Place]) -> list[str]:
    bundled = next((p.folder for p in places if p.origin == "bundled"), None)
    return [
        f"'{name}' of {b.origin} stands for the bundled {kind} of that name"
        for name, b in entries.items()
        if bundled is not None and b.origin != "bundled" and (kind := _kind(bundled, name))
    ]


def _kind(bundled: Path, name: str) -> str:
    """What the bundled agent of that name is, where the endings of runs go through its hands."""
    path = bundled / f"{name}.yaml"
    card: CapabilityCard | None = load_card(path) if path.is_file() else None
    kinds = {"refine": "refiner", "verify": "verifier"}
    return next((kinds[s] for s in kinds if card is not None and s in card.skill_ids), "")
