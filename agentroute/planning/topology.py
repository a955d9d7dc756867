"""In what shape: DAG metrics in O(V+E) and Algorithm 1 of AdaptOrch (arXiv 2602.16873).

``G = (V, E, w, c)``: weights w on tasks, coupling c in [0, 1] on edges.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from agentroute.model.plans import Topology, TopologyChoice, TopologyStats
from agentroute.model.tasks import TaskGraph
from agentroute.planning.width import exact_width, implied_edges

EXACT_UP_TO = 200

Width = Literal["auto", "layers", "exact"]


@dataclass(frozen=True)
class Thresholds:
    """``theta_w`` bounds r = omega / |V|, ``theta_g`` the coupling, ``theta_d`` the size |V|."""

    theta_w: float = 0.5
    theta_g: float = 0.6
    theta_d: float = 5.0


DEFAULTS = Thresholds()


def measure(graph: TaskGraph, *, width: Width = "auto") -> TopologyStats:
    """omega, delta, gamma and r of a DAG, in one pass over vertices and edges (Kahn's layers).

    omega is the size of the largest antichain: exact by matching up to 200 tasks (``auto``), else
    the largest layer, a lower bound. delta is the heaviest path by task weight, gamma the mean
    coupling (0 without edges) of the transitive reduction: an edge that longer paths imply says
    nothing new and would bias the mean. Up to 200 tasks the reduction is exact; above, finding all
    such edges is not linear, and each counts. O(V+E) but for those small graphs.
    """
    layers, heaviest = _in_one_pass(graph)
    n, edges = len(graph), len(graph.couplings)
    small = n <= EXACT_UP_TO
    implied = implied_edges(graph) if small and edges > 1 else ()
    total = sum(graph.couplings) - sum(graph[v].depends_on[u] for u, v in implied)
    exact = width == "exact" or (width == "auto" and small)
    omega = exact_width(graph) if exact else max(map(len, layers))
    return TopologyStats(
        nodes=n,
        edges=edges,
        implied=len(implied),
        omega=omega,
        delta=heaviest,
        gamma=min(1.0, max(0.0, total / (edges - len(implied)))) if edges else 0.0,
        r=omega / n,
        generations=layers,
    )


def _in_one_pass(graph: TaskGraph) -> tuple[tuple[tuple[str, ...], ...], float]:
    """Kahn's layers, and the weight of the heaviest path.

    ``graph.order`` is sorted by layer, so a layer is a slice of it.
    """
    level: list[int] = []
    heaviest: list[float] = []
    starts: list[int] = []
    for inputs, weight in zip(graph.inputs, graph.weights, strict=True):
        at, before = 0, 0.0
        for u in inputs:
            if level[u] >= at:
                at = level[u] + 1
            if heaviest[u] > before:
                before = heaviest[u]
        if at == len(starts):
            starts.append(len(level))
        level.append(at)
        heaviest.append(before + weight)
    ends = [*starts[1:], len(graph)]
    layers = tuple(graph.order[a:b] for a, b in zip(starts, ends, strict=True))
    return layers, max(heaviest)


def choose_topology(
    graph: TaskGraph,
    *,
    override: Topology | None = None,
    thresholds: Thresholds = DEFAULTS,
    width: Width = "auto",
) -> TopologyChoice:
    """The shape of the work, the branch that gave it, and why.

    Algorithm 1, tests in this order: A0 one task: SINGLE; A1 no edges: PARALLEL; A2 omega = 1:
    SEQUENTIAL; A3 gamma > theta_g and |V| > theta_d: HIERARCHICAL; A4 r > theta_w and
    gamma <= theta_g: PARALLEL; A5 else HYBRID. Comparisons are strict where written strict, and
    theta_d is compared with |V|, as in the paper.
    """
    stats = measure(graph, width=width)
    if override is not None:
        topology, branch, why = override, "override", "asked for by the caller"
    else:
        topology, branch, why = _algorithm_1(stats, thresholds)
    return TopologyChoice(
        topology=topology,
        branch=branch,
        reason=f"{branch}: {why}",
        stats=stats,
        thresholds=asdict(thresholds),
    )


def recoupled(choice: TopologyChoice, gamma: float) -> TopologyChoice:
    """What Algorithm 1 says of the same graph if its coupling were ``gamma``."""
    stats = choice.stats.model_copy(update={"gamma": gamma})
    topology, branch, why = _algorithm_1(stats, Thresholds(**choice.thresholds))
    return choice.model_copy(
        update={
            "topology": topology, "branch": branch, "reason": f"{branch}: {why}", "stats": stats,
        }
    )  # fmt: skip


def ruled(choice: TopologyChoice) -> Topology:
    """What Algorithm 1 says of the graph that a choice was made for, whoever made it."""
    return _algorithm_1(choice.stats, Thresholds(**choice.thresholds))[0]


def _algorithm_1(s: TopologyStats, t: Thresholds) -> tuple[Topology, str, str]:
    if s.nodes == 1:
        return Topology.SINGLE, "A0", "one task"
    if s.edges == 0:
        return Topology.PARALLEL, "A1", "no task needs another"
    if s.omega == 1:
        return Topology.SEQUENTIAL, "A2", "a chain: no two tasks could run at once"
    gamma, size = f"gamma {s.gamma:.3g}", f"|V| {s.nodes}"
    if s.gamma > t.theta_g and s.nodes > t.theta_d:
        why = f"{gamma} > {t.theta_g:g} and {size} > {t.theta_d:g}: coupled and large"
        return Topology.HIERARCHICAL, "A3", why
    if s.r > t.theta_w and s.gamma <= t.theta_g:
        why = f"r {s.r:.3g} > {t.theta_w:g} and {gamma} <= {t.theta_g:g}: wide and loose"
        return Topology.PARALLEL, "A4", why
    return Topology.HYBRID, "A5", f"neither wide and loose nor coupled and large ({gamma}, {size})"
