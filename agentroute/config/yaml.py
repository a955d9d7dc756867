"""Reading YAML from people we do not know: caps first, then the parser, then plain data.

The events of PyYAML's parser (libyaml, where it was built with it) in one pass; plain scalars mean
what YAML 1.2 says, so that ``no`` is a word. Refused as they are met: files over 256 KiB, nesting
deeper than 16, anchors, aliases, tags, duplicate keys, several documents.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from agentroute.errors import ConfigError, did_you_mean

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_FAULTS = 8
VALUES = ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent", "AliasEvent")

_QUOTED = re.compile(r"'([^']+)'")
_KINDS = {
    "tuple_type": "must be a list", "list_type": "must be a list", "string_type": "must be text",
    "int_type": "must be a whole number", "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number", "float_type": "must be a number",
    "float_parsing": "must be a number", "bool_type": "must be true or false",
    "bool_parsing": "must be true or false", "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "mapping_type": "must be a mapping of keys to values",
}  # fmt: skip

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
    return parse_yaml(read_capped(path, error=error), str(path), error=error)


def read_capped(path: Path | str, *, error: type[ConfigError] = ConfigError) -> bytes:
    """A file's bytes, at most 256 KiB of them; no more is read, and nothing is waited for.

    Raises:
        ConfigError (or ``error``): unreadable, too large, or not an ordinary file (a pipe, a
            device, a folder).
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise error("is not an ordinary file", path=str(path), hint="check the path")
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as e:
        says = getattr(e, "strerror", None) or e
        raise error(f"cannot be read: {says}", path=str(path), hint="check the path") from None
    if len(raw) > MAX_BYTES:
        raise error(f"is larger than {MAX_BYTES // 1024} KiB", path=str(path), hint="split it")
    return raw


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nobody writes to is opened at once, and then found to be one."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def parse_yaml(
    raw: bytes | str, path: str = "<text>", *, error: type[ConfigError] = ConfigError
) -> Document:
    """``load_yaml`` for text that is already here."""
    import yaml

    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as e:
        raise error(f"is not UTF-8 (byte {e.start})", path=path, hint="save it as UTF-8") from None
    try:
        lines: dict[FieldPath, int] = {}
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = _Builder(_resolver(), lines, path, error).build(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as e:
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


@cache
def _resolver() -> Any:
    """Which plain scalars are numbers, truths or nothing, by YAML 1.2."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).resolver


class _Builder:
    """Parser events to plain data. Its recursion is as deep as ``MAX_DEPTH``."""

    def __init__(
        self,
        resolver: Any,
        lines: dict[FieldPath, int],
        path: str,
        error: type[ConfigError],
    ) -> None:
        self.resolver, self.lines, self.path, self.error = resolver, lines, path, error
        self.depth = 0

    def build(self, events: Iterator[Any]) -> Any:
        """The only document's data, None where there is none."""
        data: Any = None
        documents = 0
        for event in events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise self._refusal(event, "holds more than one document", "remove '---'")
            elif kind in VALUES:
                data = self._value(event, events, ())
        return data

    def _value(self, event: Any, events: Iterator[Any], at: FieldPath) -> Any:
        self.lines[at] = event.start_mark.line + 1
        kind = self._checked(event)
        if kind == "ScalarEvent":
            return self._scalar(event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._refusal(event, f"nests deeper than {MAX_DEPTH}")
        items = self._list(events, at) if kind == "SequenceStartEvent" else self._dict(events, at)
        self.depth -= 1
        return items

    def _list(self, events: Iterator[Any], at: FieldPath) -> list[Any]:
        out: list[Any] = []
        while type(event := next(events)).__name__ != "SequenceEndEvent":
            out.append(self._value(event, events, (*at, len(out))))
        return out

    def _dict(self, events: Iterator[Any], at: FieldPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while type(event := next(events)).__name__ != "MappingEndEvent":
            line = event.start_mark.line + 1
            if self._checked(event) != "ScalarEvent":
                raise self._refusal(event, "a key must be plain text")
            key = str(event.value)
            if key in out:
                raise self.error(
                    "is given twice", path=self.path, line=line, field=key, hint="remove one"
                )
            out[key] = self._value(next(events), events, (*at, key))
            self.lines[(*at, key)] = line
        return out

    def _checked(self, event: Any) -> str:
        """The event's kind, where it is one that we accept."""
        kind = type(event).__name__
        if kind == "AliasEvent" or event.anchor:
            raise self._refusal(event, "anchors and aliases are not accepted", "repeat the text")
        if event.tag not in (None, "!"):
            raise self._refusal(event, "tags are not accepted", "remove the '!'")
        return kind

    def _refusal(self, event: Any, says: str, hint: str = "") -> ConfigError:
        return self.error(says, path=self.path, line=event.start_mark.line + 1, hint=hint)

    def _scalar(self, event: Any) -> Any:
        from ruamel.yaml.nodes import ScalarNode

        text = str(event.value)
        tag = self.resolver.resolve(ScalarNode, text, event.implicit)
        kind = str(tag).rsplit(":", 1)[-1]
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            clean = text.replace("_", "")
            base = {"0x": 16, "0o": 8, "0b": 2}.get(clean.lstrip("+-")[:2].lower(), 10)
            whole = int(clean, base)
            if not -(2**63) <= whole < 2**63:
                raise self._refusal(event, f"{text[:40]} is beyond a 64-bit number", "quote it")
            return whole
        if kind == "float":
            number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
            if not math.isfinite(number):
                raise self._refusal(event, f"{text} is not a number we accept")
            return number
        return text


def validate(model: type[M], doc: Document, *, error: type[ConfigError] = ConfigError) -> M:
    """``doc`` as a record of type ``model``; its problems become a one-line error."""
    if not isinstance(doc.data, dict):
        raise error("must be a mapping of keys to values", path=doc.path, line=1)
    try:
        return model.model_validate(doc.data)
    except ValidationError as e:
        raise problem(model, doc, e, error) from None


def problem(
    model: type[BaseModel], doc: Document, e: ValidationError, error: type[ConfigError]
) -> ConfigError:
    """Pydantic's complaints as one typed error: file, line, field and hint of the first, then all
    others on the same line. A key that looks misspelt is named, in place of the one it leaves out.
    """
    faults = sorted(_faults(model, doc, e), key=lambda f: doc.line(f.loc) or 0)
    first, *rest = faults
    if not rest:
        message, hint = first.says, first.hint
    else:
        others = (f"line {doc.line(f.loc)}: {_dotted(f.loc)}: {f.words}" for f in rest)
        message, hint = "; ".join([first.words, *list(others)[: MAX_FAULTS - 1]]), ""
        message += f"; and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
    line, field = doc.line(first.loc), _dotted(first.loc) or None
    return error(message, path=doc.path, line=line, field=field, hint=hint)


class _Fault(NamedTuple):
    loc: FieldPath
    says: str
    hint: str = ""

    @property
    def words(self) -> str:
        """Both in one."""
        return f"{self.says} ({self.hint})" if self.hint else self.says


def _faults(model: type[BaseModel], doc: Document, e: ValidationError) -> Iterator[_Fault]:
    """One a field: what every branch of a union expects of it is said together."""
    found: dict[FieldPath, list[Any]] = {}
    for one in e.errors(include_url=False, include_context=False):
        found.setdefault(_place(doc.data, one), []).append(one)
    misspelt: set[FieldPath] = set()
    unknown = {
        loc: did_you_mean(str(loc[-1]), _fields_at(model, loc[:-1]))
        for loc, ones in found.items()
        if ones[0]["type"] == "extra_forbidden"
    }
    for loc, hint in unknown.items():
        misspelt |= {(*loc[:-1], name) for name in _QUOTED.findall(hint)}
    for loc, ones in found.items():
        if any(loc == other[: len(loc)] for other in found if other != loc):
            continue  # what is wrong with the whole is what is wrong inside
        kind = ones[0]["type"]
        if kind == "extra_forbidden":
            yield _Fault(loc, "is not a known key", unknown[loc])
        elif kind == "missing":
            if loc not in misspelt:
                yield _Fault(loc, "is missing", "add this key")
        else:
            yield _expected(loc, ones)


def _place(data: Any, one: Any) -> FieldPath:
    """Where in the document: pydantic's own names of branches and functions are left out."""
    loc: list[str | int] = []
    for part in one["loc"]:
        if (isinstance(data, Mapping) and part in data) or (
            isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]
        elif one["type"] not in ("missing", "extra_forbidden") or part != one["loc"][-1]:
            continue
        loc.append(part)
    return tuple(loc)


def _expected(loc: FieldPath, ones: Sequence[Any]) -> _Fault:
    """What may stand in a field, in words that people write."""
    choices = [
        c for o in ones if o["type"] in ("literal_error", "enum") for c in _QUOTED.findall(o["msg"])
    ]
    given = ones[0]["input"]
    if choices:
        near = did_you_mean(given, choices) if isinstance(given, str) else ""
        hint = near if near.startswith("did you mean") else ""
        return _Fault(loc, f"must be one of {', '.join(dict.fromkeys(choices))}", hint)
    words = dict.fromkeys(
        _KINDS.get(o["type"], o["msg"].removeprefix("Value error, ")) for o in ones
    )
    listed = ones[0]["type"] in ("tuple_type", "list_type") and isinstance(given, str)
    hint = f"for example [{given}]" if listed and len(given) < 60 else ""
    return _Fault(loc, " or ".join(words), hint)


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
