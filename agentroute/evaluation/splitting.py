"""How near a planner's task graphs come to graphs that people wrote down.

Tasks are matched by meaning, one to one, as in WorFBench (Qiao et al. 2024, section 3.3): pairs
whose texts have a cosine of at least ``ALIKE``, so that the sum of cosines is largest. A
dependency is found where both its ends are matched and the other graph joins them in that
direction.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from agentroute.errors import TableError
from agentroute.evaluation.metrics import TaskScores, bootstrap_ci
from agentroute.model.arrays import F32, F64, Embedder
from agentroute.model.plans import Plan

ALIKE = 0.6
Edges = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Reference:
    """A request, and its graph where it is known; else how many parts can run side by side."""

    text: str
    source: str
    nodes: tuple[str, ...] = ()
    edges: Edges = frozenset()
    branch: int | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares in [0, 1], with 95 % bootstrap intervals over the graphs."""

    planner: str
    source: str
    """Where the graphs come from; 'all' for all of them."""
    graphs: int
    split: float
    """Of the requests, those that became more than one task."""
    node_f1: float
    edge_f1: float
    """Over the graphs of which either has a dependency."""
    shape: float
    """Of the graphs, those of the same kind: single, chain, parallel or other; where only the
    number of parts is known, those of that width."""
    node_f1_ci: tuple[float, float]
    edge_f1_ci: tuple[float, float]
    shape_ci: tuple[float, float]
    made_by: dict[str, float]
    """Whose graphs they are, as shares: a planner that could not may have let another stand in."""


def read_references(path: Path) -> list[Reference]:
    """Graphs, a JSON object a line: ``task, source, nodes, edges``, or ``question, branch``.

    Edges are pairs of node numbers from 1; START and END are left out. ``.gz`` is unpacked.

    Raises:
        TableError: cannot be read, no line, or a line that is neither.
    """
    try:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
        found = [_reference(orjson.loads(line)) for line in lines if line.strip()]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as e:
        hint = "a JSON object a line: task, nodes, edges; or question, branch"
        raise TableError(f"{path} holds no task graphs: {e}", hint=hint) from e
    if not found:
        raise TableError(f"{path} holds no task graphs: it is empty")
    return found


def _reference(row: dict[str, Any]) -> Reference:
    if "nodes" not in row:
        return Reference(str(row["question"]), "questions", branch=int(row["branch"]))
    edges = frozenset(
        (int(a) - 1, int(b) - 1) for a, b in row["edges"] if a != "START" and b != "END"
    )
    return Reference(str(row["task"]), str(row.get("source", "")), tuple(row["nodes"]), edges)


def agreements(
    name: str,
    planner: Callable[[str], Plan],
    references: Sequence[Reference],
    embedder: Embedder,
    *,
    seed: int = 0,
) -> list[Agreement]:
    """One row for all graphs, then one a source."""
    plans = [planner(r.text) for r in references]
    scores = np.array([_scores(p, r, embedder) for p, r in zip(plans, references, strict=True)])
    makers = np.array([p.planning.by if p.planning is not None else name for p in plans])
    sources = np.array([r.source for r in references])
    parts = [("all", np.ones(len(references), bool))]
    if len(set(sources)) > 1:
        parts += [(str(s), sources == s) for s in sorted(set(sources))]
    return [_row(name, source, scores[at], makers[at].tolist(), seed) for source, at in parts]


def _row(name: str, source: str, scores: F64, makers: list[str], seed: int) -> Agreement:
    split, *known = (TaskScores(np.nan_to_num(c), ~np.isnan(c) * 1.0) for c in scores.T)
    node, edge, shape = ((s.mean(), bootstrap_ci(s, seed=seed)) for s in known)
    return Agreement(
        name, source, len(scores), split.mean(), node[0], edge[0], shape[0], node[1], edge[1],
        shape[1], {maker: n / len(makers) for maker, n in Counter(makers).most_common()},
    )  # fmt: skip


def _scores(plan: Plan, ref: Reference, embedder: Embedder) -> tuple[float, float, float, float]:
    """Whether it was split; F1 of nodes and edges, whether the shape is the same."""
    order = {t.id: i for i, t in enumerate(plan.tasks)}
    edges = frozenset((order[p], order[t.id]) for t in plan.tasks for p in t.depends_on)
    split = float(len(plan.tasks) > 1)
    if ref.branch is not None:
        same = float(plan.choice.stats.omega == ref.branch)
        return split, float("nan"), float("nan"), same
    texts = [t.prompt for t in plan.tasks]
    pairs = match(embedder.encode(texts), embedder.encode(list(ref.nodes)))
    found = {(pairs.get(a), pairs.get(b)) for a, b in edges}
    both = len(found & set(ref.edges))
    same = float(kind(len(texts), edges) == kind(len(ref.nodes), ref.edges))
    return (
        split,
        2 * len(pairs) / (len(texts) + len(ref.nodes)),
        2 * both / (len(edges) + len(ref.edges)) if edges or ref.edges else float("nan"),
        same,
    )


def match(ours: F32, theirs: F32) -> dict[int, int]:
    """Row of ``ours`` (n, e) to row of ``theirs`` (m, e), unit rows, by the largest sum of cosines.

    >>> e = np.eye(3, dtype=np.float32)
    >>> match(e[:2], e[[1, 2]])
    {1: 0}
    """
    import networkx as nx

    cosine = ours @ theirs.T
    graph = nx.Graph()
    for i, j in np.argwhere(cosine >= ALIKE):
        graph.add_edge(("ours", int(i)), ("theirs", int(j)), weight=float(cosine[i, j]))
    found: dict[int, int] = {}
    for pair in nx.max_weight_matching(graph):
        sides = dict(pair)
        found[sides["ours"]] = sides["theirs"]
    return found


def kind(n: int, edges: Edges) -> str:
    """``single``, ``chain``, ``parallel`` (no edge) or ``other``.

    >>> kind(3, frozenset({(0, 1), (1, 2)})), kind(2, frozenset()), kind(3, frozenset({(0, 2)}))
    ('chain', 'parallel', 'other')
    """
    if n == 1:
        return "single"
    if not edges:
        return "parallel"
    ends = list(_degrees(edges))
    return "chain" if len(edges) == n - 1 and max(ends) == 1 else "other"


def _degrees(edges: Edges) -> Iterator[int]:
    for side in (0, 1):
        _, counts = np.unique([e[side] for e in edges], return_counts=True)
        yield int(counts.max())
