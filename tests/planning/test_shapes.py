"""Every topology is one file of shapes, and obeys ``depends_on``."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentroute.model.plans import Topology
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.shapes import shape_of


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    tasks = []
    for i in range(n):
        parents = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        tasks.append(Task(id=f"t{i}", prompt="p", depends_on={f"t{p}": 0.3 for p in parents}))
    return TaskGraph(tasks)


def reach(edges):
    after = {}
    for p, v in edges:
        after.setdefault(p, set()).add(v)
    seen = {}

    def down(u):
        if u not in seen:
            seen[u] = set().union(*({v} | down(v) for v in after.get(u, ())))
        return seen[u]

    return {u: down(u) for u in after}


def test_every_topology_has_a_shape():
    assert {shape_of(t).topology for t in Topology} == set(Topology)
    assert [t for t in Topology if shape_of(t).whole] == [Topology.SINGLE]
    assert [t for t in Topology if shape_of(t).led] == [Topology.HIERARCHICAL]


@pytest.mark.parametrize("topology", list(Topology))
@settings(max_examples=40, deadline=None)
@given(graph=graphs())
def test_a_shape_obeys_what_tasks_depend_on(topology, graph):
    shape = shape_of(topology)
    order = {v: i for i, v in enumerate(graph.order)}
    edges = shape.edges(graph)
    later = reach(edges)
    assert all(order[p] < order[v] for p, v in edges)
    for v in graph.order:
        assert all(v in later[p] for p in graph.parents(v))
        seen = shape.sees(graph, v)
        assert set(graph.parents(v)) <= set(seen)
        assert all(order[u] < order[v] for u in (*seen, *shape.heard(graph, v)))
