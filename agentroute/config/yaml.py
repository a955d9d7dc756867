"""Reading YAML from people we do not know: caps first, then the parser, then plain data.

YAML 1.2 through ruamel's pure-Python parser. Refused before anything is built: files over
256 KiB, nesting deeper than 16, anchors, aliases, tags, duplicate keys, several documents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agentroute.errors import ConfigError, did_you_mean

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16

FieldPath = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """Plain data and where each value stood. ``lines`` maps a field path to a 1-based line."""

    data: Any
    path: str
    lines: dict[FieldPath, int] = field(default_factory=dict)

    def line(self, where: FieldPath | str = ()) -> int | None:
        """The line of a field, or of the nearest parent that has one."""
        at = tuple(where.split(".")) if isinstance(where, str) else tuple(where)
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at)


def load_yaml(path: Path | str, *, error: type[ConfigError] = ConfigError) -> Document:
    """Read one YAML file as plain data.

    Raises:
        ConfigError (or ``error``): unreadable, too large, or not the YAML we accept; with line.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        raw = file.read_bytes() if size <= MAX_BYTES else b""
    except OSError as e:
        raise error(
            f"cannot be read: {e.strerror or e}", path=str(path), hint="check the path"
        ) from None
    if size > MAX_BYTES:
        raise error(
            f"is larger than {MAX_BYTES // 1024} KiB", path=str(path), hint="split the file"
        )
    return parse_yaml(raw, str(path), error=error)


def parse_yaml(
    raw: bytes | str, path: str = "<text>", *, error: type[ConfigError] = ConfigError
) -> Document:
    """``load_yaml`` for text that is already here."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as e:
        raise error(f"is not UTF-8 (byte {e.start})", path=path, hint="save it as UTF-8") from None
    try:
        _check_events(YAML(typ="safe", pure=True), text, path, error)
        node = YAML(typ="safe", pure=True).compose(text)
        lines: dict[FieldPath, int] = {}
        data = None if node is None else _plain(node, (), lines, path, error)
    except YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        raise error(
            f"is not valid YAML: {getattr(e, 'problem', None) or str(e).splitlines()[0]}",
            path=path,
            line=None if mark is None else mark.line + 1,
            hint="check indentation, quotes and brackets on this line",
        ) from None
    except (RecursionError, ValueError) as e:
        raise error(f"is not valid YAML: {e}", path=path) from None
    return Document(data, path, lines)


def _check_events(yaml: Any, text: str, path: str, error: type[ConfigError]) -> None:
    depth = documents = 0
    for event in yaml.parse(text):
        kind = type(event).__name__
        line = event.start_mark.line + 1
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            depth += 1
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            depth -= 1
        elif kind == "DocumentStartEvent":
            documents += 1
        if depth > MAX_DEPTH:
            raise error(f"nests deeper than {MAX_DEPTH}", path=path, line=line)
        if documents > 1:
            raise error("holds more than one document", path=path, line=line, hint="remove '---'")
        if kind == "AliasEvent" or getattr(event, "anchor", None):
            raise error(
                "anchors and aliases are not accepted", path=path, line=line, hint="repeat the text"
            )
        if getattr(event, "tag", None) not in (None, "!"):
            raise error("tags are not accepted", path=path, line=line, hint="remove the '!'")


def _plain(
    node: Any, at: FieldPath, lines: dict[FieldPath, int], path: str, error: type[ConfigError]
) -> Any:
    lines[at] = node.start_mark.line + 1
    if node.id == "sequence":
        return [_plain(v, (*at, i), lines, path, error) for i, v in enumerate(node.value)]
    if node.id != "mapping":
        return _scalar(node, path, error)
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.id != "scalar":
            raise error("a key must be plain text", path=path, line=line)
        key = str(key_node.value)
        if key in out:
            raise error("is given twice", path=path, line=line, field=key, hint="remove one")
        out[key] = _plain(value_node, (*at, key), lines, path, error)
        lines[(*at, key)] = line
    return out


def _scalar(node: Any, path: str, error: type[ConfigError]) -> Any:
    text, kind = str(node.value), str(node.tag).rsplit(":", 1)[-1]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        clean = text.replace("_", "")
        base = {"0x": 16, "0o": 8, "0b": 2}.get(clean.lstrip("+-")[:2].lower(), 10)
        return int(clean, base)
    if kind == "float":
        number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            raise error(
                f"{text} is not a number we accept", path=path, line=node.start_mark.line + 1
            )
        return number
    return text


def validate(model: type[M], doc: Document, *, error: type[ConfigError] = ConfigError) -> M:
    """``doc`` as a record of type ``model``; the first problem becomes a one-line error."""
    if not isinstance(doc.data, dict):
        raise error("must be a mapping of keys to values", path=doc.path, line=1)
    try:
        return model.model_validate(doc.data)
    except ValidationError as e:
        raise problem(model, doc, e, error) from None


def problem(
    model: type[BaseModel], doc: Document, e: ValidationError, error: type[ConfigError]
) -> ConfigError:
    """The first of pydantic's complaints as a typed error with file, line, field and hint."""
    first = e.errors(include_url=False, include_context=False)[0]
    loc = tuple(p for p in first["loc"] if not (isinstance(p, str) and p.startswith("function-")))
    name = _dotted(loc)
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        return error(
            "is not a known key",
            path=doc.path,
            line=doc.line(loc),
            field=name,
            hint=did_you_mean(str(loc[-1]), known),
        )
    message = first["msg"].removeprefix("Value error, ")
    hint = "add this key" if first["type"] == "missing" else ""
    return error(message, path=doc.path, line=doc.line(loc), field=name or None, hint=hint)


def _dotted(loc: FieldPath) -> str:
    out = ""
    for part in loc:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else str(part))
    return out


def _fields_at(model: type[BaseModel], loc: FieldPath) -> list[str]:
    current: Any = model
    for part in loc:
        if isinstance(part, int) or not hasattr(current, "model_fields"):
            continue
        info = current.model_fields.get(part)
        current = _inner_model(info.annotation) if info else None
        if current is None:
            return []
    return list(current.model_fields) if hasattr(current, "model_fields") else []


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for arg in getattr(annotation, "__args__", ()):
        found = _inner_model(arg)
        if found is not None:
            return found
    return None
