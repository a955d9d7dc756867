"""Checks JSON against the part of JSON Schema that strict structured outputs allow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agentroute.errors import ConfigError

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "title"}
    | {"description", "minimum", "maximum", "minItems", "maxItems", "$schema"}
)


def strict(schema: Mapping[str, Any], where: str = "$") -> dict[str, Any]:
    """``schema`` as strict mode wants it: every object closed, every property required.

    Raises:
        ConfigError: a keyword or type that ``conform`` does not know, so could not be held to.
    """
    unknown = sorted(set(schema) - KNOWN)
    kind = schema.get("type")
    if unknown or kind not in TYPES:
        what = f"keyword '{unknown[0]}'" if unknown else f"type {kind!r}"
        raise ConfigError(f"{what} is not supported at {where}", field="output_schema")
    out = dict(schema)
    if kind == "object":
        parts = schema.get("properties", {})
        out["properties"] = {k: strict(v, f"{where}.{k}") for k, v in parts.items()}
        out |= {"required": [*parts], "additionalProperties": False}
    elif kind == "array":
        out["items"] = strict(schema.get("items", {}), f"{where}[]")
    return out


def conform(value: Any, schema: Mapping[str, Any], where: str = "$") -> Any:
    """``value`` as a ``strict`` schema has it: a whole number, also ``1.0``, is an integer.

    Raises:
        ValueError: it is not of the schema; says the place. True is no number, and neither is NaN.
    """
    kind = schema["type"]
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not _is(value, kind):
        raise ValueError(f"{where} must be of type {kind}")
    if "enum" in schema and value not in schema["enum"]:
        raise ValueError(f"{where} must be one of {schema['enum']}")
    if kind == "object":
        return _conform_object(value, schema, where)
    if kind == "array":
        _check_range(len(value), schema, "minItems", "maxItems", f"the length of {where}")
        return [conform(x, schema["items"], f"{where}[{i}]") for i, x in enumerate(value)]
    if kind in ("number", "integer"):
        _check_range(value, schema, "minimum", "maximum", where)
    return value


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, TYPES[kind])


def _conform_object(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> Any:
    parts = schema["properties"]
    if missing := [k for k in parts if k not in value]:
        raise ValueError(f"{where} lacks '{missing[0]}'")
    if extra := [k for k in value if k not in parts]:
        raise ValueError(f"{where} has an unknown property '{extra[0][:80]}'")
    return {name: conform(value[name], part, f"{where}.{name}") for name, part in parts.items()}


def _check_range(x: float, schema: Mapping[str, Any], lo: str, hi: str, what: str) -> None:
    if x < schema.get(lo, x) or x > schema.get(hi, x):
        raise ValueError(f"{what} must be from {schema.get(lo)} to {schema.get(hi)}")
