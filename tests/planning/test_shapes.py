"""Every topology is one file of shapes, and keeps the contract of shapes."""

from dataclasses import replace

import pytest

from agentroute.model.plans import Topology
from agentroute.planning.shapes import shape_of
from agentroute.testing import check_shape


def test_every_topology_has_a_shape():
    assert {shape_of(t).topology for t in Topology} == set(Topology)
    assert [t for t in Topology if shape_of(t).whole] == [Topology.SINGLE]
    assert [t for t in Topology if shape_of(t).led] == [Topology.HIERARCHICAL]


@pytest.mark.parametrize("topology", list(Topology))
def test_the_shipped_shapes_conform(topology):
    check_shape(shape_of(topology))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"edges": lambda g: tuple(zip(g.order[1:], g.order, strict=False))}, "edges_go_forward"),
        ({"edges": lambda g: ()}, "dependencies_are_obeyed"),
        ({"sees": lambda g, v: ()}, "inputs_are_seen"),
        ({"sees": lambda g, v: g.order}, "inputs_are_seen"),
        ({"heard": lambda g, v: g.order}, "transcripts_are_past"),
    ],
)
def test_each_rule_goes_red(wrong, rule):
    with pytest.raises(AssertionError, match=rule):
        check_shape(replace(shape_of(Topology.PARALLEL), **wrong))
