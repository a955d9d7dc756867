"""Adding, removing and promoting agents by files alone."""

from __future__ import annotations

import io
import os
from pathlib import Path

from agentroute.errors import CardError, DuplicateAgentError, UnknownAgentError, UsageError
from agentroute.model.cards import CapabilityCard, Status
from agentroute.registry.load import SUFFIXES, load_card
from agentroute.registry.registry import Binding

GENERIC = ("agent-card.json", "agent.json")  # names that the protocol gives to every card


def code_of(card: CapabilityCard, card_file: Path) -> Path | None:
    """The Python file beside a card that its entrypoint names, if it names one."""
    entry = card.entrypoint or ""
    name = entry.partition(":")[0]
    return card_file.parent / name if name.endswith(".py") else None


def onboard(file: Path, into: Path) -> list[Path]:
    """Check a card and copy it, with the code beside it, into a catalogue folder.

    An ``agent-card.json``, the name of everybody's, is called by its agent there.

    Nothing is written unless all of it can be: each file goes in by rename.

    Raises:
        CardError: the card is not valid, or its code is missing.
        DuplicateAgentError: the folder has an agent of that name.
    """
    card = load_card(file)
    sources = [file]
    code = code_of(card, file)
    if code is not None:
        if not code.is_file():
            raise CardError(
                f"names code that is not there: {code.name}", path=str(file), field="entrypoint",
                hint=f"put {code.name} beside the card",
            )  # fmt: skip
        sources.append(code)
    if _find(card.name, into) is not None:
        raise DuplicateAgentError(
            f"{into} already has an agent '{card.name}'", hint="agentroute agents rm it first"
        )
    targets = [into / s.name for s in sources]
    if file.name in GENERIC:
        targets[0] = into / f"{card.name}.json"
    for source, target in zip(sources, targets, strict=True):
        if target.exists() and not target.samefile(source):
            raise DuplicateAgentError(f"{target} exists", hint=f"rename {source.name}")
    texts = [s.read_bytes() for s in sources]
    for target, text in reversed(list(zip(targets, texts, strict=True))):
        place(target, text)
    return targets


def offboard(name: str, into: Path) -> list[Path]:
    """Delete an agent's card, and its code unless another card of the folder uses it.

    Raises:
        UnknownAgentError: the folder has no such agent.
    """
    found = _find(name, into)
    if found is None:
        raise UnknownAgentError(name, [c.name for c in _cards(into).values()])
    card, path = found
    gone = [path]
    code = code_of(card, path)
    others = [code_of(c, p) for p, c in _cards(into).items() if p != path]
    if code is not None and code.is_file() and code not in others:
        gone.append(code)
    for p in gone:
        p.unlink()
    return gone


def holds(folder: Path, name: str) -> bool:
    """Whether a card of that name is in the folder."""
    return _find(name, folder) is not None


def set_status(entry: Binding, status: Status, into: Path) -> Path:
    """Write the status into the user's card; for a bundled card, into a copy in ``into``.

    Comments and order of the YAML are kept.

    Raises:
        UsageError: the agent has no YAML card.
    """
    from ruamel.yaml import YAML

    path = entry.path
    if path is None or path.suffix == ".json":
        raise UsageError(f"'{entry.card.name}' has no YAML card to edit", hint="change it in code")
    if entry.origin == "bundled":
        onboard(path, into)
        path = into / path.name
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    data = yaml.load(path.read_text(encoding="utf-8"))
    data["status"] = status
    out = io.StringIO()
    yaml.dump(data, out)
    place(path, out.getvalue().encode())
    return path


def _cards(folder: Path) -> dict[Path, CapabilityCard]:
    out: dict[Path, CapabilityCard] = {}
    if not folder.is_dir():
        return out
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES and not path.name.endswith(".schema.json"):
            try:
                out[path] = load_card(path)
            except CardError:
                continue  # a broken neighbour is reported by `agents ls`; it blocks nothing here
    return out


def _find(name: str, folder: Path) -> tuple[CapabilityCard, Path] | None:
    return next(((c, p) for p, c in _cards(folder).items() if c.name == name), None)


def place(target: Path, text: bytes) -> None:
    """Write a file by rename: whole, or not at all.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(text)
        os.replace(part, target)
    except OSError as e:
        raise UsageError(f"{target}: {e.strerror}", hint="check the folder") from None
