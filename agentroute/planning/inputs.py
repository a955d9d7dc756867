"""The inputs of a graph: what a person typed, as typed values, and ``${...}`` filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from agentroute.config.yaml import load_yaml
from agentroute.errors import UsageError, did_you_mean
from agentroute.model.record import Part
from agentroute.toolbox.handover import locate

InputType = Literal["str", "int", "float", "bool", "path", "file", "folder", "list", "yaml-list"]
REFERENCE = re.compile(r"\$\{([^}]*)\}")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class InputSpec(Part):
    """One input: without ``default`` it must be given; ``default: null`` makes it optional."""

    type: InputType = "str"
    default: Any = None
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return "default" not in self.model_fields_set


def read_inputs(specs: Mapping[str, InputSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every input as a JSON value of its type; paths become absolute.

    Raises:
        UsageError: an unknown or missing input, or a value that does not fit its type.
    """
    for name in given:
        if name not in specs:
            raise UsageError(f"the graph has no input '{name}'", hint=did_you_mean(name, specs))
    return {name: _value(name, spec, given) for name, spec in specs.items()}


def _value(name: str, spec: InputSpec, given: Mapping[str, Any]) -> Any:
    if name not in given and spec.required:
        raise UsageError(
            f"the input '{name}' is missing", hint=f"--input {name}={spec.type.upper()} {spec.help}"
        )
    value = given.get(name, spec.default)
    if value is None:
        return None
    try:
        return _READERS[spec.type](value)
    except (ValueError, TypeError):
        raise UsageError(
            f"the input '{name}' is {value!r}, not {_A[spec.type]}", hint=spec.help
        ) from None


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        raise ValueError
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, (bool, float)) and value != int(value):
        raise ValueError
    return int(value)


def _bool(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _existing(what: str, fits: Callable[[Path], bool]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        path = locate(_text(value), what)
        if not fits(path):
            raise UsageError(f"'{value}' is not a {what}", hint="check the path")
        return str(path)

    return read


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value)


def _yaml_list(value: Any) -> list[Any]:
    """The list in a YAML file, or under its only key."""
    if not isinstance(value, str):
        return list(value)
    path = locate(value, "file")
    data = load_yaml(path).data
    if isinstance(data, dict) and len(data) == 1:
        (data,) = data.values()
    if not isinstance(data, list):
        raise UsageError(f"{value} holds no list", hint="write one '- ' entry a line")
    return data


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _whole,
    "float": float,
    "bool": _bool,
    "path": _existing("file or folder", lambda p: True),
    "file": _existing("file", Path.is_file),
    "folder": _existing("folder", Path.is_dir),
    "list": _list,
    "yaml-list": _yaml_list,
}
_A = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false",
    "path": "a path", "file": "a file", "folder": "a folder", "list": "a list",
    "yaml-list": "a YAML file with a list",
}  # fmt: skip


def references(value: Any) -> Iterator[str]:
    """Every name between ``${`` and ``}`` in a JSON value."""
    if isinstance(value, str):
        yield from REFERENCE.findall(value)
    elif isinstance(value, dict):
        for v in value.values():
            yield from references(v)
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from references(v)


def fill(value: Any, scope: Mapping[str, Any]) -> Any:
    """``value`` with each ``${a.b}`` replaced; a text that is one reference keeps its type."""
    if isinstance(value, str):
        whole = REFERENCE.fullmatch(value)
        if whole:
            return look_up(whole[1], scope)
        return REFERENCE.sub(lambda m: _shown(look_up(m[1], scope)), value)
    if isinstance(value, dict):
        return {k: fill(v, scope) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(v, scope) for v in value]
    return value


def look_up(name: str, scope: Mapping[str, Any]) -> Any:
    """A dotted name in nested mappings.

    Raises:
        KeyError: it is not there.
    """
    value: Any = scope
    for part in name.strip().split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(name)
        value = value[part]
    return value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
