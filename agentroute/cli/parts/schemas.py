"""JSON schemas of the files that people write."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel


def schema_of(kind: str) -> str:
    """The schema of ``card``, ``graph`` or ``config`` as indented JSON."""
    schema = _model(kind).model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    if kind == "card":
        _for_card_files(schema)
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()


def _for_card_files(schema: dict[str, Any]) -> None:
    """A file may leave out the name (its own name is taken) and write a skill as its id."""
    schema["required"] = [k for k in schema.get("required", []) if k != "name"]
    schema["properties"].pop("outside", None)
    items = schema["properties"]["skills"]["items"]
    schema["properties"]["skills"]["items"] = {"anyOf": [{"type": "string"}, items]}


def _model(kind: str) -> type[BaseModel]:
    from agentroute.config.settings import Settings
    from agentroute.model.cards import CapabilityCard
    from agentroute.planning.graphfile import GraphSpec

    models: dict[str, type[BaseModel]] = {
        "card": CapabilityCard,
        "graph": GraphSpec,
        "config": Settings,
    }
    return models[kind]
