"""Metrics against brute force on every DAG of up to five tasks; Algorithm 1, every branch."""

from __future__ import annotations

from itertools import combinations, product

import networkx as nx
import pytest

from agentroute.bench.timing import timed
from agentroute.errors import CycleError, TaskGraphError, UnknownDependencyError
from agentroute.evaluation.worlds.dags import large_dag
from agentroute.model.plans import Topology
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.topology import Thresholds, choose_topology, measure
from agentroute.planning.width import implied_edges


def graph_of(n, edges, c=0.3, weights=None):
    tasks = [
        Task(
            id=f"t{v}",
            prompt="x",
            weight=weights[v] if weights else 1.0,
            depends_on={f"t{a}": c for a, b in edges if b == v},
        )
        for v in range(n)
    ]
    return TaskGraph(tasks)


def all_dags(up_to):
    for n in range(1, up_to + 1):
        pairs = list(combinations(range(n), 2))
        for bits in product((0, 1), repeat=len(pairs)):
            yield n, [p for p, b in zip(pairs, bits, strict=True) if b]


def brute_width(n, edges):
    g = nx.DiGraph()
    g.add_nodes_from(range(n))
    g.add_edges_from(edges)
    closure = nx.transitive_closure_dag(g)
    return max(
        len(s)
        for k in range(1, n + 1)
        for s in combinations(range(n), k)
        if not any(closure.has_edge(a, b) for a, b in combinations(s, 2))
    )


def longest(g, weights):
    """networkx's longest path, with the weight of a task on each edge into it."""
    weighted = nx.DiGraph([("source", v, {"weight": weights[v]}) for v in g])
    weighted.add_edges_from((a, b, {"weight": weights[b]}) for a, b in g.edges)
    return nx.dag_longest_path_length(weighted)


@pytest.mark.checklist("AO2")
def test_metrics_equal_brute_force_on_all_small_dags():
    seen = 0
    for n, edges in all_dags(5):
        weights = [1.0 + v for v in range(n)]
        s = measure(graph_of(n, edges, c=0.7, weights=weights))
        g = nx.DiGraph()
        g.add_nodes_from(range(n))
        g.add_edges_from(edges)
        heaviest = longest(g, weights)
        assert s.omega == brute_width(n, edges)
        assert s.delta == pytest.approx(heaviest)
        assert s.gamma == pytest.approx(0.7 if edges else 0.0)
        assert s.r == s.omega / n
        assert [len(x) for x in s.generations] == [len(x) for x in nx.topological_generations(g)]
        seen += 1
    assert seen == 1 + 2 + 8 + 64 + 1024


@pytest.mark.checklist("AO2")
def test_layers_underestimate_width_where_the_paper_notes_it():
    wrong = sum(
        measure(graph_of(n, e), width="layers").omega < measure(graph_of(n, e)).omega
        for n, e in all_dags(5)
    )
    assert wrong == 125


def test_gamma_is_the_mean_over_edges_that_no_longer_path_implies():
    g = TaskGraph(
        [
            Task(id="a", prompt="x"),
            Task(id="b", prompt="x", depends_on={"a": 1.0}),
            Task(id="c", prompt="x", depends_on={"a": 0.3, "b": 0.7}),
        ]
    )
    s = measure(g)  # a -> c is implied by a -> b -> c
    assert (s.edges, s.implied, s.gamma) == (3, 1, pytest.approx(0.85))


def test_the_reduction_is_that_of_networkx_on_all_small_dags():
    for n, edges in all_dags(5):
        g = nx.DiGraph()
        g.add_nodes_from(range(n))
        g.add_edges_from(edges)
        kept = {(f"t{a}", f"t{b}") for a, b in nx.transitive_reduction(g).edges}
        graph = graph_of(n, edges)
        assert {(a, b) for a, b, _ in graph.edges} - set(implied_edges(graph)) == kept


def test_above_200_tasks_nobody_looks_for_implied_edges():
    edges = [(v, v + 1) for v in range(200)] + [(0, 2)]
    assert measure(graph_of(201, edges)).implied == 0
    assert measure(graph_of(200, [e for e in edges if 200 not in e])).implied == 1


def fan(n, c):
    """One root, n - 1 leaves: omega n - 1, gamma c."""
    return graph_of(n, [(0, v) for v in range(1, n)], c=c)


def ladder(n, c):
    """Pairs of tasks, each pair after the one before: omega 2."""
    return graph_of(n, [(v, v + 2 - v % 2 + k) for v in range(n) for k in (0, 1)
                        if v + 2 - v % 2 + k < n], c=c)  # fmt: skip


CASES = [
    ("A0", Topology.SINGLE, graph_of(1, [])),
    ("A1", Topology.PARALLEL, graph_of(2, [])),
    ("A1", Topology.PARALLEL, graph_of(6, [])),
    ("A2", Topology.SEQUENTIAL, graph_of(2, [(0, 1)], c=1.0)),
    ("A2", Topology.SEQUENTIAL, graph_of(7, [(v, v + 1) for v in range(6)], c=1.0)),
    ("A3", Topology.HIERARCHICAL, fan(6, 0.61)),
    ("A5", Topology.HYBRID, fan(5, 0.61)),  # |V| = 5 is not > 5
    ("A4", Topology.PARALLEL, fan(6, 0.6)),  # gamma = 0.6 is not > 0.6
    ("A4", Topology.PARALLEL, fan(3, 0.3)),  # r = 2/3
    ("A5", Topology.HYBRID, ladder(4, 0.3)),  # r = 0.5 is not > 0.5
    ("A5", Topology.HYBRID, ladder(6, 0.3)),
    ("A3", Topology.HIERARCHICAL, ladder(6, 0.7)),
]


@pytest.mark.checklist("AO3")
@pytest.mark.parametrize(("branch", "topology", "graph"), CASES)
def test_algorithm_1_truth_table(branch, topology, graph):
    choice = choose_topology(graph)
    assert (choice.branch, choice.topology) == (branch, topology)
    assert choice.reason.startswith(branch)


@pytest.mark.checklist("AO3")
def test_every_branch_is_in_the_truth_table():
    assert {b for b, _, _ in CASES} == {"A0", "A1", "A2", "A3", "A4", "A5"}


@pytest.mark.checklist("AO3")
def test_the_choice_depends_on_the_thresholds_it_reports():
    g = fan(6, 0.6)
    moved = choose_topology(g, thresholds=Thresholds(theta_g=0.59))
    assert moved.topology is Topology.HIERARCHICAL
    assert moved.thresholds == {"theta_w": 0.5, "theta_g": 0.59, "theta_d": 5.0}
    assert choose_topology(g, override=Topology.HYBRID).branch == "override"


@pytest.mark.checklist("AO1")
@pytest.mark.parametrize(
    ("tasks", "error", "word"),
    [
        ([("a", ["b"]), ("b", ["c"]), ("c", ["a"])], CycleError, "->"),
        ([("a", ["a"])], CycleError, "a -> a"),
        ([("a", ["zz"])], UnknownDependencyError, "zz"),
        ([("a", []), ("a", [])], TaskGraphError, "'a' is used twice"),
        ([], TaskGraphError, "at least one"),
    ],
)
def test_what_is_no_dag_is_refused_by_name(tasks, error, word):
    with pytest.raises(error, match=word):
        TaskGraph([Task(id=i, prompt="x", depends_on=d) for i, d in tasks])


@pytest.mark.checklist("AO1")
@pytest.mark.parametrize("c", [-0.1, 1.1, float("nan")])
def test_coupling_outside_zero_one_is_refused(c):
    with pytest.raises(ValueError, match="depends_on"):
        Task(id="b", prompt="x", depends_on={"a": c})


@pytest.mark.checklist("AO4")
def test_measuring_takes_time_linear_in_tasks_and_edges():
    speeds = []
    for n in (1_000, 10_000, 40_000):
        graph = large_dag(n)
        took = timed(lambda g=graph: measure(g), 0.1).q
        speeds.append(took / (n + len(graph.couplings)))
    assert max(speeds) < 4 * min(speeds)  # 40 times the work a (V+E) would be quadratic
