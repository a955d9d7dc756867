"""The schemas that editors complete cards and graphs with are the ones in force."""

import json

import pytest

from agentroute.cli.parts.schemas import schema_of
from agentroute.config.paths import bundled


@pytest.mark.parametrize("kind", ["card", "graph"])
def test_shipped_schemas_are_current(kind):
    """If not: agentroute schema card > agents/card.schema.json (graph likewise)."""
    folder = bundled("agents" if kind == "card" else "graphs")
    shipped = json.loads((folder / f"{kind}.schema.json").read_text(encoding="utf-8"))
    assert shipped == json.loads(schema_of(kind))
    for path in folder.glob("*.yaml"):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        assert first == f"# yaml-language-server: $schema=./{kind}.schema.json", path.name
