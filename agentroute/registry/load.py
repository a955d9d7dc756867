"""A card file as a ``CapabilityCard``: our YAML, or an A2A ``agent-card.json`` unchanged."""

from __future__ import annotations

import codecs
import re
import unicodedata
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from agentroute.config.yaml import Document, parse_yaml, problem, read_capped, validate
from agentroute.errors import CardError
from agentroute.model.cards import NAME, CapabilityCard

SUFFIXES = (".yaml", ".yml", ".json")


def load_card(path: Path | str) -> CapabilityCard:
    """The card in a file; a ``.json`` file is taken as an A2A card and counts as from outside.

    A skill may be written as its id alone.

    Raises:
        CardError: with file, line, field and hint.
    """
    file = Path(path)
    if file.suffix == ".json":
        return _from_a2a(file)
    return _from_yaml(read_capped(file, error=CardError), file)


@lru_cache(maxsize=1024)
def _from_yaml(raw: bytes, file: Path) -> CapabilityCard:
    """A card is immutable, and parsing one takes 5 ms: a changed folder costs what changed."""
    doc = parse_yaml(raw, str(file), error=CardError)
    if isinstance(doc.data, dict):
        data = {"name": file.stem, **doc.data}
        if data.pop("outside", None):
            raise CardError(
                "is not a key of a card file", path=str(file), field="outside",
                line=doc.line(("outside",)), hint="import the agent-card.json itself",
            )  # fmt: skip
        if isinstance(skills := data.get("skills"), list):
            data["skills"] = [{"id": s} if isinstance(s, str) else s for s in skills]
        doc = Document(data, doc.path, doc.lines)
    return validate(CapabilityCard, doc, error=CardError)


_A2A = {
    "name": "name",
    "description": "description",
    "version": "version",
    "defaultInputModes": "default_input_modes",
    "defaultOutputModes": "default_output_modes",
    "url": "url",
    "documentationUrl": "documentation_url",
}
_A2A_SKILL = {
    "id": "id",
    "name": "name",
    "description": "description",
    "tags": "tags",
    "examples": "examples",
    "inputModes": "input_modes",
    "outputModes": "output_modes",
}


def _from_a2a(file: Path) -> CapabilityCard:
    raw = read_capped(file, error=CardError)
    try:
        source = orjson.loads(raw.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as e:
        raise CardError(f"is not JSON: {e.msg}", path=str(file), line=e.lineno) from None
    if not isinstance(source, dict):
        raise CardError("must be a JSON object", path=str(file), line=1)
    data = _known(source, _A2A)
    if isinstance(title := data.get("name"), str) and not NAME.fullmatch(title):
        data |= {"name": slug(title), "title": title}
    if isinstance(provider := source.get("provider"), dict):
        data["provider"] = _clean(str(provider.get("organization", "")))
    interfaces = source.get("supportedInterfaces")
    if isinstance(interfaces, list) and interfaces and isinstance(interfaces[0], dict):
        data.setdefault("url", _clean(str(interfaces[0].get("url", ""))))
    skills = source.get("skills")
    if isinstance(skills, list):
        data["skills"] = [_known(s, _A2A_SKILL) if isinstance(s, dict) else s for s in skills]
    data["outside"] = True
    try:
        return CapabilityCard.model_validate(data)
    except ValidationError as e:
        raise problem(CapabilityCard, Document(data, str(file)), e, CardError) from None


def _known(source: Mapping[str, Any], ours: Mapping[str, str]) -> dict[str, Any]:
    """The fields that we keep, under our names; null is how many servers write 'absent'."""
    return {name: _clean(source[k]) for k, name in ours.items() if source.get(k) is not None}


def slug(title: str) -> str:
    """A plain name for one that was written for people; it is told apart by a hash of the title
    where less than half of the title could be kept.
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    kept, letters = "_".join(words)[:100], sum(c.isalnum() for c in title)
    if 2 * sum(map(len, words)) > letters:
        return kept
    return f"{kept or 'agent'}_{zlib.crc32(title.encode()):08x}"


def _clean(value: Any) -> Any:
    """Text from outside: NFKC, no control, bidi or zero-width characters, at most 512 long."""
    if isinstance(value, list):
        return [_clean(v) for v in value[:64]]
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFKC", value)
    kept = "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")
    return kept[:512]
