"""A name, or a mapping with a name and parameters: one reader, one refusal, wherever it stands."""

import pytest

from agentroute.choosing.catalog import make_policy, make_router
from agentroute.choosing.depth import make_depth
from agentroute.errors import ConfigError, GraphError
from agentroute.model.plans import AgentUse
from agentroute.planning.graphfile import parse_graph


def test_a_name_or_a_mapping():
    assert AgentUse.of("a") == AgentUse(name="a")
    use = AgentUse.of({"name": "a", "k": 3})
    assert use == AgentUse(name="a", params={"k": 3})
    assert AgentUse.of(use.written()) == AgentUse.of(use) == use


@pytest.mark.parametrize("bad", ["", {}, {"k": 1}, {"name": ""}, {"name": 3}, 7, None, ["a"]])
def test_everybody_refuses_the_same(bad):
    for make, field in ((make_router, "router"), (make_policy, "router"), (make_depth, "depth")):
        with pytest.raises(ConfigError, match=f"{field}: needs a name, or a mapping") as e:
            make(bad)
        assert e.value.field == field
        assert f"{field}: NAME" in e.value.hint


def test_a_graph_says_where():
    text = "name: g\ntasks:\n  - {id: a, prompt: x}\nrouter: {k: 1}\n"
    with pytest.raises(GraphError, match=r":4: router.*needs a name, or a mapping"):
        parse_graph(text)
