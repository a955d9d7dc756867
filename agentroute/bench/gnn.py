"""How fast the graph network serves: NumPy against PyTorch Geometric, in one process.

One task with 20 entities and 50 agents, d = 64, one thread: the sizes of the reference benchmark.
Both compute the same network with the same weights; the rows say by how much they differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from agentroute.bench.goals import Goal
from agentroute.features.entities import Vocabulary
from agentroute.features.knowledge import Edges, Knowledge
from agentroute.features.text import HashingEncoder, normalise
from agentroute.model.arrays import F32
from agentroute.model.cards import CapabilityCard, Skill
from agentroute.registry.cardset import build_cardset
from agentroute.routers.gnn.arrays import GraphArrays, graph_arrays
from agentroute.routers.gnn.serve import prepare, score_parts
from agentroute.routers.gnn.training.extra import load_torch, one_thread

if TYPE_CHECKING:
    from agentroute.routers.gnn.training.net import RouterNet

ENTITIES, AGENTS, LINKS = 20, 50, 150


def bench_gnn(*, d: int = 64, seed: int = 0, repeat: int = 300) -> list[Goal]:
    """Serving time in us, its ratio to PyG's, and the relative difference of the two outputs.

    Times are the smaller of the median wall time and the mean CPU time of a call, since other
    work may share the machine.

    Raises:
        MissingExtraError: torch or torch-geometric is not installed.
    """
    torch = load_torch()
    from agentroute.routers.gnn.training.net import Batch, RouterNet, statics

    graph, x = _material(seed)
    with one_thread(seed), threadpool_limits(1), torch.inference_mode():
        net = RouterNet(x.shape[0], d, AGENTS).eval()
        _shake(net)
        served = prepare({k: v.numpy() for k, v in net.state_dict().items()}, graph)
        rows, tensors = np.arange(ENTITIES), statics(graph)
        pairs = torch.stack([torch.zeros(ENTITIES, dtype=torch.long), torch.arange(ENTITIES)])
        batch = Batch(torch.tensor(x[None]), pairs, torch.full((ENTITIES,), 1 / ENTITIES))
        theirs = net.reference(tensors, batch).numpy()[0]
        ours = np.sum(score_parts(served, x, rows), axis=0)
        numpy_us = _us(lambda: score_parts(served, x, rows), repeat)
        pyg_us = _us(lambda: net.reference(tensors, batch), max(10, repeat // 10))
    return _rows(numpy_us, pyg_us, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))


def _rows(numpy_us: float, pyg_us: float, error: float) -> list[Goal]:
    ratio = pyg_us / numpy_us
    return [
        Goal("gnn_numpy_us", numpy_us, 150.0, "us"),
        Goal("gnn_pyg_over_numpy", ratio, 12.0, "x", at_most=False),
        Goal("gnn_parity_relative", error, 1e-5, ""),
    ]


def _material(seed: int) -> tuple[GraphArrays, F32]:
    """A graph of random entities and agents with about 150 links, and a task's embedding."""
    rng, embedder = np.random.default_rng(seed), HashingEncoder(64)
    cards = build_cardset(
        [
            CapabilityCard(name=f"a{i}", description=f"agent {i}", skills=(Skill(id=f"s{i % 10}"),))
            for i in range(AGENTS)
        ],
        embedder,
    )
    past = np.zeros((ENTITIES, AGENTS), np.float32)
    past.ravel()[rng.permutation(past.size)[:LINKS]] = rng.normal(0, 0.2, LINKS)
    s, t = rng.integers(ENTITIES, size=(2, 60))
    knowledge = Knowledge(
        Vocabulary.of(f"term:e{i}" for i in range(ENTITIES)),
        normalise(rng.standard_normal((ENTITIES, embedder.dim)).astype(np.float32)),
        Edges(np.r_[s, t], np.r_[t, s], np.full(120, 0.5, np.float32)),
        past,
        tuple(f"a{i}" for i in range(AGENTS)),
    )
    x = normalise(rng.standard_normal((1, embedder.dim)).astype(np.float32))[0]
    return graph_arrays(knowledge, cards), x


def _shake(net: RouterNet) -> None:
    """Move every parameter, so that no part of the network is idle."""
    torch = load_torch()
    for p in net.parameters():
        p.add_(0.1 * torch.randn_like(p))


def _us(call: Callable[[], Any], repeat: int) -> float:
    for _ in range(5):
        call()
    walls, cpu = [], time.process_time()
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        walls.append(time.perf_counter() - start)
    mean_cpu = (time.process_time() - cpu) / repeat
    return 1e6 * min(float(np.median(walls)), mean_cpu)
