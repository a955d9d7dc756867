"""What the shape of the work costs to find, and what it is worth.

``analysis_goals()`` times the analysis beside networkx, ``makespan_goals()`` runs real task graphs
on a real ledger, ``contest_goals()`` plays them in simulated worlds, and says who picks the better
shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from agentroute.bench.goals import Goal
from agentroute.bench.shapes.contest import (
    ADAPTIVE,
    LEARNED,
    NAMES,
    ORACLE,
    RUNS,
    VOTES,
    Contest,
    contest,
)
from agentroute.bench.shapes.makespan import DAGS, makespans, median_over
from agentroute.bench.timing import timed
from agentroute.evaluation.worlds.dags import large_dag, networkx_analysis
from agentroute.model.plans import Topology
from agentroute.planning.topology import measure

SIZES = (1_000, 10_000, 100_000)
LIMIT_US, TIMES = 0.25, 10.0
HELD = "balanced"  # the objective whose differences are goals
NOISE = 1.01  # of a makespan: what two runs of the same graph differ by
OVER = 1.05  # of the critical path plus what the nodes cost beside the work


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


def makespan_goals(data: Path | None = None, *, dags: int = DAGS) -> list[Goal]:
    """Hybrid runs beside the critical path, and beside the same graphs layer by layer."""
    found = makespans(data, dags=dags)
    slower = sum(m.hybrid > NOISE * m.layered for m in found)
    return [
        Goal("hybrid over critical path + nodes, median", median_over(found), OVER, "x"),
        Goal("  the largest of them", max(m.over for m in found), None, "x"),
        Goal("  a node beside its work", 1e3 * max(m.node for m in found), None, "ms"),
        Goal(f"graphs of {len(found)} where layers are 1 % quicker", slower, 0, ""),
        Goal("  layers over hybrid, mean", _mean([m.layered / m.hybrid for m in found]), None, "x"),
    ]


def contest_goals(data: Path | None = None, *, seeds: int = 30, runs: int = RUNS) -> list[Goal]:
    """The learned selector and the rule beside each fixed shape, many tries, and the oracle.

    A line is the lower end of the 95 % interval of a paired difference. The learned selector's
    under the balanced objective are goals, the others are information.
    """
    return [g for c in contest(data, seeds=range(seeds), runs=runs) for g in _of_contest(c)]


def _of_contest(c: Contest) -> list[Goal]:
    out = [Goal(f"{c.objective}: {who}", float(c.utility[who].mean()), None, "") for who in NAMES]
    for who in (LEARNED, ADAPTIVE):
        for other in (*(t.value for t in Topology), VOTES):
            limit = 0.0 if c.objective == HELD and who == LEARNED else None
            out.append(_gap(c, who, other, limit))
    out.append(_gap(c, LEARNED, ADAPTIVE))
    out.append(_gap(c, ORACLE, LEARNED, late=True))
    best, picked = (100 * c.share(of, Topology.SINGLE) for of in (c.best, c.picked))
    out.append(Goal("single is the best shape", best, None, "%"))
    out.append(Goal("single is what learned picks", picked, None, "%"))
    return out


def _gap(
    c: Contest, who: str, other: str, limit: float | None = None, *, late: bool = False
) -> Goal:
    """The lower end of a paired difference's interval; all three are said."""
    mean, lo, hi = c.gap(who, other, late=late)
    when = ", last third" if late else ""
    said = f"{who} less {other}{when}: {mean:+.4f} ({lo:+.4f} to {hi:+.4f})"
    return Goal(said, lo, limit, "", at_most=False)


def _mean(x: Sequence[float]) -> float:
    return sum(x) / len(x)
