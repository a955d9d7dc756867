"""The graph network in NumPy: layer 1 once a card set, then about fifteen calls a task.

The same equations as ``net``; a test holds the two within 1e-5 of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentroute.features.knowledge import STATIC, Edges, EdgeType
from agentroute.model.arrays import F32
from agentroute.routers.gnn.arrays import GraphArrays

Weights = Mapping[str, F32]
I64 = NDArray[np.int64]


def _linear(w: Weights, name: str, x: F32) -> F32:
    out = x @ w[f"{name}.weight"].T
    bias = w.get(f"{name}.bias")
    return out if bias is None else out + bias


def _relation(layer: str, r: EdgeType) -> str:
    """Prefix of a relation's parameters, as HeteroConv writes it."""
    return f"{layer}.convs.<{'___'.join(r)}>"


def _messages(e: Edges, h: F32, n: int) -> F32:
    """sum_{s -> t} w_st h_s, (n, d)."""
    out = np.zeros((n, h.shape[1]), np.float32)
    np.add.at(out, e.target, h[e.source] * e.weight[:, None])
    return out


def shared_states(w: Weights, g: GraphArrays) -> dict[str, F32]:
    """Layer 1: states (rows, d) of entities, skills and agents, the same for every task."""
    scale = np.float32(np.sqrt(g.agent.shape[1]))
    x = {
        t: np.maximum(_linear(w, f"inputs.{t}", scale * v), 0)
        for t, v in (("entity", g.entity), ("skill", g.skill), ("agent", g.agent))
    }
    last = len(w["identity"]) - 1
    x["agent"] = x["agent"] + w["identity"][g.known] * (g.known < last)[:, None]
    out = {t: np.zeros_like(v) for t, v in x.items()}
    for r in STATIC:
        s, _, t = r
        name = _relation("layer1", r)
        out[t] += _linear(w, f"{name}.lin_rel", _messages(g.edges[r], x[s], len(x[t])))
        out[t] += _linear(w, f"{name}.lin_root", x[t])
    return {t: np.maximum(v, 0) for t, v in out.items()}


class Served(NamedTuple):
    """Layer 2, folded into as few products as there are.

    ``to_task`` (V, d) and ``to_agent`` (V, 2, d) what a mentioned entity sends; ``handles``
    (V, 2, n) with which weight; ``a0`` (n, d) an agent's own part; ``Win`` (e, d), ``b_in`` a
    task's input; ``Wq`` (d, 2d) from it to [task, agents]; ``b_q`` (d,); ``U``, ``V`` (d, d),
    ``w`` (d,) the head; ``alpha`` scales history, ``card`` (e, n) = beta x_a.
    """

    to_task: F32
    to_agent: F32
    handles: F32
    a0: F32
    Win: F32
    b_in: F32
    Wq: F32
    b_q: F32
    U: F32
    V: F32
    w: F32
    alpha: np.float32
    card: F32


def prepare(w: Weights, g: GraphArrays) -> Served:
    """Everything that does not depend on the task, for the agents of one card set."""
    h = shared_states(w, g)
    mentioned = _relation("layer2", ("entity", "mentioned_by", "task"))
    to_agents = [
        _relation("layer2", r)
        for r in (
            ("task", "considers", "candidate"),
            ("entity", "history_of", "candidate"),
            ("entity", "covered_by", "candidate"),
        )
    ]
    root = sum(w[f"{r}.lin_root.weight"] for r in to_agents)
    bias = sum(w[f"{r}.lin_rel.bias"] for r in to_agents)
    carried = [h["entity"] @ w[f"{r}.lin_rel.weight"].T for r in to_agents[1:]]
    own = [w[f"{mentioned}.lin_root.weight"].T, w[f"{to_agents[0]}.lin_rel.weight"].T]
    return Served(
        h["entity"] @ w[f"{mentioned}.lin_rel.weight"].T,
        np.ascontiguousarray(np.stack(carried, axis=1)),
        g.handles,
        (h["agent"] @ np.asarray(root).T + bias).astype(np.float32),
        np.ascontiguousarray(np.float32(np.sqrt(g.agent.shape[1])) * w["inputs.task.weight"].T),
        w["inputs.task.bias"],
        np.ascontiguousarray(np.hstack(own)),
        w[f"{mentioned}.lin_rel.bias"],
        np.ascontiguousarray(w["U.weight"].T),
        np.ascontiguousarray(w["V.weight"].T),
        w["w"],
        np.float32(w["mix"][0]),
        np.ascontiguousarray(w["mix"][1] * g.agent.T),
    )


class Parts(NamedTuple):
    """z in its parts, each (n,): message passing, history, card."""

    graph: F32
    history: F32
    card: F32


def score_parts(s: Served, x: F32, entities: Sequence[int] | I64) -> Parts:
    """The parts of one task's z. ``x`` (e,) its embedding, ``entities`` the rows it mentions."""
    d = s.a0.shape[1]
    t = np.maximum(x @ s.Win + s.b_in, 0) @ s.Wq
    q, a = t[:d] + s.b_q, s.a0 + t[d:]
    past = np.zeros(len(a), np.float32)
    k = len(entities)
    if k:
        rows = np.asarray(entities)
        handles = s.handles[rows]
        q = q + s.to_task[rows].sum(axis=0) / k
        n = handles.shape[2]
        a = a + (handles.reshape(2 * k, n).T @ s.to_agent[rows].reshape(2 * k, d)) / k
        past = s.alpha * handles[:, 0].sum(axis=0) / k
    u = np.maximum(q, 0) @ s.U
    graph = np.tanh((np.maximum(a, 0) @ s.V) * u) @ s.w
    return Parts(graph, past, x @ s.card)


def influence(s: Served, x: F32, entities: Sequence[int], agent: int) -> F32:
    """(k,) what each mentioned entity adds to one agent's z, to first order: gradient . message."""
    if not len(entities):
        return np.zeros(0, np.float32)
    d, k, rows = s.a0.shape[1], len(entities), np.asarray(entities)
    t = np.maximum(x @ s.Win + s.b_in, 0) @ s.Wq
    w = s.handles[rows, :, agent]
    to_agent = (w[:, :, None] * s.to_agent[rows]).sum(axis=1) / k
    to_task = s.to_task[rows] / k
    q, a = t[:d] + s.b_q + to_task.sum(axis=0), s.a0[agent] + t[d:] + to_agent.sum(axis=0)
    u, v = np.maximum(q, 0) @ s.U, np.maximum(a, 0) @ s.V
    slope = s.w * (1.0 - np.tanh(u * v) ** 2)
    d_q, d_a = (slope * v) @ s.U.T * (q > 0), (slope * u) @ s.V.T * (a > 0)
    return np.asarray(to_task @ d_q + to_agent @ d_a + s.alpha * w[:, 0] / k, np.float32)
