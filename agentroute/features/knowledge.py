"""The typed knowledge graph: tasks, entities, skills and agents, on networkx.

AgentRouter (arXiv 2510.05445) and NG-Router (arXiv 2510.09854) tie an agent to the entities it
would handle. Here an agent-entity edge rests on two things that need no model: the cosine of the
card and the entity, and the agent's success on training tasks that hold the entity. Test tasks
and their labels are never read.

Every relation has its reverse, so that messages can pass both ways. Nodes are ``(type, name)``;
relations are edge keys; weights are in [0, 1] but for ``history``, which is signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentroute.features.entities import Mention, Vocabulary, text_of
from agentroute.model.arrays import F32, F64, Embedder
from agentroute.model.candidates import CardSet

if TYPE_CHECKING:
    import networkx as nx

I64 = NDArray[np.int64]
EdgeType = tuple[str, str, str]

NEIGHBOURS = 8
PER_SENTENCE = 16

STATIC: tuple[EdgeType, ...] = (
    ("entity", "co_occurs", "entity"),
    ("agent", "covers", "entity"),
    ("entity", "covered_by", "agent"),
    ("agent", "history", "entity"),
    ("entity", "history_of", "agent"),
    ("agent", "has_skill", "skill"),
    ("skill", "skill_of", "agent"),
)
_FORWARD = {
    "co_occurs": "co_occurs", "covers": "covered_by", "history": "history_of",
    "has_skill": "skill_of", "head_of": "has_head", "tail_of": "has_tail",
}  # fmt: skip
REVERSE: Mapping[str, str] = _FORWARD | {back: there for there, back in _FORWARD.items()}


class Edges(NamedTuple):
    """One relation as arrays: rows of the source and of the target (E,), weights (E,)."""

    source: I64
    target: I64
    weight: F32


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What training tasks say of entities; serves any card set.

    Shapes: ``embedding`` (V, e); ``together`` the co-occurrence edges over V; ``history`` (V, N)
    shrunken mean of (quality - expected quality) of agent j on tasks that hold entity i;
    ``agents`` the N names of its columns.
    """

    vocabulary: Vocabulary
    embedding: F32
    together: Edges
    history: F32
    agents: tuple[str, ...]


def pair_counts(
    mentions: Sequence[Sequence[Mention]], vocabulary: Vocabulary
) -> tuple[Counter[tuple[int, int]], Counter[int]]:
    """How often two known entities share a sentence, and in how many sentences each stands."""
    pairs: Counter[tuple[int, int]] = Counter()
    single: Counter[int] = Counter()
    for task in mentions:
        sentences: dict[int, set[int]] = {}
        for m in task:
            if m.sentence >= 0 and m.key in vocabulary.index:
                sentences.setdefault(m.sentence, set()).add(vocabulary.index[m.key])
        for rows in sentences.values():
            kept = sorted(rows)[:PER_SENTENCE]
            single.update(kept)
            pairs.update(combinations(kept, 2))
    return pairs, single


def co_occurrence(mentions: Sequence[Sequence[Mention]], vocabulary: Vocabulary) -> Edges:
    """Edges between entities of one sentence, weight c_ij / sqrt(c_i c_j); both directions.

    A pair must be seen twice; an entity keeps its ``NEIGHBOURS`` heaviest pairs.
    """
    pairs, single = pair_counts(mentions, vocabulary)
    near: dict[int, list[tuple[float, int]]] = {}
    for (i, j), c in pairs.items():
        if c >= 2:
            w = c / float(np.sqrt(single[i] * single[j]))
            near.setdefault(i, []).append((-w, j))
            near.setdefault(j, []).append((-w, i))
    kept = {
        (min(i, j), max(i, j)): -w for i, best in near.items() for w, j in sorted(best)[:NEIGHBOURS]
    }
    both = sorted((s, t, w) for (i, j), w in kept.items() for s, t in ((i, j), (j, i)))
    return _edges(both)


def _edges(triples: Sequence[tuple[int, int, float]]) -> Edges:
    if not triples:
        return Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    s, t, w = zip(*triples, strict=True)
    return Edges(np.array(s, np.int64), np.array(t, np.int64), np.array(w, np.float32))


def history(rows: Sequence[Sequence[int]], residual: F64, size: int, *, kappa: float = 10.0) -> F32:
    """(V, N) shrunken mean residual of each agent on the tasks that hold each entity.

    ``rows[i]`` the entities of task i; ``residual`` (m, N), NaN where not observed. The mean is
    shrunken towards 0 as if ``kappa`` further tasks had shown no difference.
    """
    seen = ~np.isnan(residual)
    known = np.where(seen, residual, 0.0)
    task = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    entity = np.array([e for r in rows for e in r], dtype=np.int64)
    total, count = np.zeros((2, size, residual.shape[1]))
    for e, which in _groups(entity, task):
        total[e], count[e] = known[which].sum(axis=0), seen[which].sum(axis=0)
    return (total / (count + kappa)).astype(np.float32)


def _groups(key: I64, value: I64) -> list[tuple[int, I64]]:
    """Values by key, keys ascending."""
    if not len(key):
        return []
    order = np.argsort(key, kind="stable")
    key, value = key[order], value[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    return [(int(key[s]), v) for s, v in zip(starts, np.split(value, starts[1:]), strict=True)]


def learn_knowledge(
    mentions: Sequence[Sequence[Mention]],
    residual: F64,
    agents: Sequence[str],
    embedder: Embedder,
    *,
    vocabulary: Vocabulary | None = None,
) -> Knowledge:
    """The knowledge in training tasks: their entities, what stands together, who did well.

    ``mentions`` what ``find_mentions`` found in each of m tasks; ``residual`` (m, N) is quality
    minus what was expected of the agent; NaN where not observed.
    """
    vocabulary = vocabulary or Vocabulary.learn(mentions)
    rows = [vocabulary.rows(m) for m in mentions]
    return Knowledge(
        vocabulary,
        embedder.encode([text_of(k) for k in vocabulary.keys]),
        co_occurrence(mentions, vocabulary),
        history(rows, residual, len(vocabulary)),
        tuple(agents),
    )


def history_for(knowledge: Knowledge, cards: CardSet) -> F32:
    """(V, n) columns of ``history`` for the agents of ``cards``; 0 for agents never seen."""
    column = {a: j for j, a in enumerate(knowledge.agents)}
    padded = np.pad(knowledge.history, ((0, 0), (0, 1)))
    return np.ascontiguousarray(padded[:, [column.get(str(a), -1) for a in cards.names]])


def build_graph(
    knowledge: Knowledge,
    cards: CardSet,
    *,
    theta: float = 0.45,
    delta: float = 0.02,
    relation_nodes: bool = False,
) -> nx.MultiDiGraph:
    """The query-independent graph of entities, skills and agents. Deterministic.

    ``theta`` least cosine of card and entity for ``covers``; ``delta`` least absolute residual for
    ``history``. ``relation_nodes`` writes each co-occurrence as a node of its own, with
    ``head_of`` and ``tail_of`` edges (a third reading of the paper; the router does not use it).
    """
    import networkx as nx

    graph: nx.MultiDiGraph = nx.MultiDiGraph()
    keys, names = knowledge.vocabulary.keys, [str(n) for n in cards.names]
    graph.add_nodes_from((("entity", k), {"kind": k.partition(":")[0]}) for k in keys)
    skills = sorted({s for c in cards.cards for s in c.skill_ids})
    graph.add_nodes_from(("skill", s) for s in skills)
    graph.add_nodes_from(("agent", n) for n in names)
    _add_together(graph, keys, knowledge.together, as_nodes=relation_nodes)
    cosine = knowledge.embedding @ cards.embedding.T
    _add_links(graph, "covers", keys, names, np.where(cosine > theta, cosine, 0))
    past = history_for(knowledge, cards)
    _add_links(graph, "history", keys, names, np.where(np.abs(past) >= delta, past, 0))
    for card in cards.cards:
        for s in sorted(card.skill_ids):
            link(graph, ("agent", card.name), "has_skill", ("skill", s))
    return graph


def link(
    graph: nx.MultiDiGraph,
    source: tuple[str, str],
    relation: str,
    target: tuple[str, str],
    weight: float = 1.0,
) -> None:
    """One typed edge and its reverse."""
    graph.add_edge(source, target, key=relation, weight=weight)
    graph.add_edge(target, source, key=REVERSE[relation], weight=weight)


def _add_together(
    graph: nx.MultiDiGraph, keys: Sequence[str], together: Edges, *, as_nodes: bool
) -> None:
    for s, t, w in zip(*(x.tolist() for x in together), strict=True):
        if s > t:
            continue
        if not as_nodes:
            link(graph, ("entity", keys[s]), "co_occurs", ("entity", keys[t]), w)
            continue
        node = ("relation", f"{keys[s]} | {keys[t]}")
        link(graph, ("entity", keys[s]), "head_of", node, w)
        link(graph, ("entity", keys[t]), "tail_of", node, w)


def _add_links(
    graph: nx.MultiDiGraph, relation: str, keys: Sequence[str], names: Sequence[str], w: F32
) -> None:
    for i, j in zip(*(x.tolist() for x in np.nonzero(w)), strict=True):
        link(graph, ("agent", names[j]), relation, ("entity", keys[i]), float(w[i, j]))


def edge_arrays(
    graph: nx.MultiDiGraph, relations: Sequence[EdgeType] = STATIC
) -> dict[EdgeType, Edges]:
    """Each relation as arrays; rows number the nodes of a type in insertion order."""
    row = node_rows(graph)
    found: dict[EdgeType, list[tuple[int, int, float]]] = {r: [] for r in relations}
    for s, t, relation, w in graph.edges(keys=True, data="weight"):
        kind = (s[0], relation, t[0])
        if kind in found:
            found[kind].append((row[s], row[t], w))
    return {kind: _edges(sorted(triples)) for kind, triples in found.items()}


def node_rows(graph: nx.MultiDiGraph) -> dict[Any, int]:
    """Each node's row among the nodes of its type, in insertion order."""
    count: Counter[str] = Counter()
    rows: dict[Any, int] = {}
    for node in graph:
        rows[node] = count[node[0]]
        count[node[0]] += 1
    return rows
