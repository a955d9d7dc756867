"""DAGs of tasks: random ones of any size, and what networkx takes for the same analysis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agentroute.model.tasks import Task, TaskGraph

NEAR = 50


def large_dag(tasks: int, seed: int = 0) -> TaskGraph:
    """``tasks`` tasks, each with up to three inputs among the fifty before it."""
    rng = np.random.default_rng(seed)
    count = rng.integers(0, 4, size=tasks).tolist()
    back = rng.integers(1, NEAR + 1, size=(tasks, 3)).tolist()
    return TaskGraph(
        [
            Task(id=f"t{i}", prompt="p",
                 depends_on=[f"t{i - b}" for b in back[i][: count[i]] if b <= i])
            for i in range(tasks)
        ]
    )  # fmt: skip


def networkx_analysis(graph: TaskGraph) -> Callable[[], tuple[int, float, float]]:
    """Omega by layers, delta and gamma by networkx, of a graph that it has already built."""
    import networkx as nx

    dag = nx.DiGraph()
    dag.add_node("", weight=0.0)
    dag.add_weighted_edges_from(("", t.id, t.weight) for t in graph)
    dag.add_weighted_edges_from((p, c, graph[c].weight) for p, c, _ in graph.edges)
    nx.set_edge_attributes(dag, {(p, c): x for p, c, x in graph.edges}, "coupling")

    def analyse() -> tuple[int, float, float]:
        omega = max(map(len, nx.topological_generations(dag)))
        coupling = nx.get_edge_attributes(dag, "coupling").values()
        delta = nx.dag_longest_path_length(dag)
        return omega, float(delta), sum(coupling) / max(len(coupling), 1)

    return analyse
