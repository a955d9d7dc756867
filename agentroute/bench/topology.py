"""What the shape of the work costs to find, and what it is worth.

``bench_topology()`` times the analysis beside networkx.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentroute.bench.goals import Goal
from agentroute.bench.timing import timed
from agentroute.evaluation.worlds.dags import large_dag, networkx_analysis
from agentroute.planning.topology import measure

SIZES = (1_000, 10_000, 100_000)
LIMIT_US, TIMES = 0.25, 10.0


def analysis_us(sizes: Sequence[int], seconds: float) -> Iterator[tuple[int, float, float]]:
    """(tasks, microseconds a task or edge, the same by networkx) of random DAGs."""
    for n in sizes:
        graph = large_dag(n)
        size = n + len(graph.couplings)
        ours = timed(lambda g=graph: measure(g), seconds).q  # type: ignore[misc]
        theirs = timed(networkx_analysis(graph), seconds, least=1).q
        yield n, ours / size, theirs / size


def analysis_goals(seconds: float = 1.0) -> list[Goal]:
    """The analysis against its limit and networkx, up to 100,000 tasks."""
    out = []
    for n, ours, theirs in analysis_us(SIZES, seconds):
        name = f"analysis of {n:,} tasks, a (V+E)"
        out.append(Goal(name, ours, LIMIT_US, "us"))
        out.append(Goal("  networkx over ours", theirs / ours, TIMES, "x", at_most=False))
    return out
