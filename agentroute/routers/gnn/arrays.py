"""The graph as arrays: what training reads and what serving multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentroute.features.knowledge import (
    I64,
    STATIC,
    Edges,
    EdgeType,
    Knowledge,
    build_graph,
    edge_arrays,
)
from agentroute.features.text import normalise
from agentroute.model.arrays import F32
from agentroute.model.candidates import CardSet

Variant = Literal["full", "no_entity_edges", "no_agent_edges", "hard_label", "mlp"]
VARIANTS: tuple[Variant, ...] = ("full", "no_entity_edges", "no_agent_edges", "hard_label", "mlp")

HISTORY_UNIT = 0.1
AGENT_EDGES = {"covers", "covered_by", "history", "history_of", "has_skill", "skill_of"}
ENTITY_EDGES = {"co_occurs", "covers", "covered_by", "history", "history_of"}


@dataclass(frozen=True, slots=True, eq=False)
class GraphArrays:
    """The query-independent graph of one card set.

    Shapes: ``entity`` (V, e), ``skill`` (S, e), ``agent`` (n, e) inputs; ``edges`` each static
    relation, weights divided by their absolute sum over a target; ``handles`` (V, 2, n) what an
    entity, once mentioned, carries to an agent: [history / 0.1, cosine of the card];
    ``known`` (n,) the agent's column in training, N where it was not there.
    """

    entity: F32
    skill: F32
    agent: F32
    edges: Mapping[EdgeType, Edges]
    handles: F32
    known: I64


def cut_relations(variant: Variant) -> frozenset[str]:
    """The static relations that an ablation takes away."""
    cut = {"no_entity_edges": ENTITY_EDGES, "no_agent_edges": AGENT_EDGES}
    return frozenset(ENTITY_EDGES | AGENT_EDGES if variant == "mlp" else cut.get(variant, ()))


def uses_mentions(variant: Variant) -> bool:
    """Whether a task still reaches the entities it mentions."""
    return variant not in ("mlp", "no_entity_edges")


def graph_arrays(knowledge: Knowledge, cards: CardSet, variant: Variant = "full") -> GraphArrays:
    """Builds the typed graph for ``cards`` and turns it into arrays. Deterministic."""
    edges = edge_arrays(build_graph(knowledge, cards))
    cut = cut_relations(variant)
    kept = {r: _mean_weights(edges[r], cut=r[1] in cut) for r in STATIC}
    v, n = len(knowledge.vocabulary), len(cards)
    handles = np.zeros((v, 2, n), np.float32)
    if not cut:
        handles[:, 0] = _history(v, n, edges)
        covers = edges["entity", "covered_by", "agent"]
        handles[covers.source, 1, covers.target] = covers.weight
    column = {a: j for j, a in enumerate(knowledge.agents)}
    known = np.array([column.get(str(a), len(column)) for a in cards.names], np.int64)
    return GraphArrays(
        knowledge.embedding, _skill_inputs(cards), cards.embedding, kept, handles, known
    )


def _history(v: int, n: int, edges: Mapping[EdgeType, Edges]) -> F32:
    """(V, n) history in tenths of a point, where the graph has an edge."""
    past = np.zeros((v, n), np.float32)
    e = edges["entity", "history_of", "agent"]
    past[e.source, e.target] = e.weight / HISTORY_UNIT
    return past


def _mean_weights(e: Edges, *, cut: bool) -> Edges:
    """Weights divided by their absolute sum at the target, so that a message is a weighted mean."""
    if cut or not len(e.source):
        none = np.zeros(0, np.int64)
        return Edges(none, none, np.zeros(0, np.float32))
    total = np.bincount(e.target, np.abs(e.weight))
    return Edges(e.source, e.target, (e.weight / total[e.target]).astype(np.float32))


def _skill_inputs(cards: CardSet) -> F32:
    """(S, e) a skill is the mean of the cards that have it; skills in the order of their ids."""
    ids = sorted({s for c in cards.cards for s in c.skill_ids})
    has = np.array([[s in c.skill_ids for c in cards.cards] for s in ids], np.float32)
    return normalise(has.reshape(len(ids), len(cards)) @ cards.embedding)
