"""The graph network in PyTorch Geometric: trains the weights that NumPy serves.

Imported only inside functions that train or check parity; it imports torch.

Layer 1 passes messages over the query-independent graph, layer 2 from a task and the entities it
mentions to the task and to its candidates (each a copy of an agent's state). Nothing flows from a
task back into the shared graph, so layer 1 can be computed once a card set. Each layer is

    h'_t = relu( sum_r [ R_r h_t + M_r sum_{s -> t in r} w_st h_s + b_r ] )

(HeteroConv of GraphConv, Morris et al. 2019: GraphSAGE's form with edge weights). The head is
NG-Router's, z_a = w . tanh(U h_q * V h_a), shared by all agents.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from agentroute.features.knowledge import STATIC, EdgeType
from agentroute.routers.gnn.arrays import GraphArrays

with warnings.catch_warnings():
    # torch_geometric touches deprecated parts of torch.jit when it is imported.
    warnings.simplefilter("ignore")
    from torch_geometric.nn import GraphConv, HeteroConv

NODES = ("task", "entity", "skill", "agent")
LAYER2: tuple[EdgeType, ...] = (
    ("entity", "mentioned_by", "task"),
    ("task", "considers", "candidate"),
    ("entity", "history_of", "candidate"),
    ("entity", "covered_by", "candidate"),
)
HISTORY, HISTORY_OF = ("agent", "history", "entity"), ("entity", "history_of", "agent")
Flow = tuple[Tensor, Tensor]


class Statics(NamedTuple):
    """A graph's tensors: inputs by node type, edges and weights by relation, known columns."""

    x: Mapping[str, Tensor]
    edge_index: dict[EdgeType, Tensor]
    weight: dict[EdgeType, Tensor]
    handles: Tensor
    known: Tensor


class Batch(NamedTuple):
    """B tasks: ``x`` (B, e), the (task, entity) pairs (2, P), and the share 1/k of each pair."""

    x: Tensor
    mention: Tensor
    share: Tensor


def statics(g: GraphArrays) -> Statics:
    """Tensors of a graph; shares memory where it can."""
    index = {r: torch.stack([torch.tensor(e.source), torch.tensor(e.target)]) for r, e in
             g.edges.items()}  # fmt: skip
    weight = {r: torch.tensor(e.weight) for r, e in g.edges.items()}
    x = {"entity": torch.tensor(g.entity), "skill": torch.tensor(g.skill)}
    x["agent"] = torch.tensor(g.agent)
    return Statics(x, index, weight, torch.tensor(g.handles), torch.tensor(g.known))


def hide(g: Statics, new: Tensor, unknown: int) -> Statics:
    """The graph as it would be if the agents ``new`` (n,) had no identity and no history."""
    weight = dict(g.weight)
    for r, end in ((HISTORY, 0), (HISTORY_OF, 1)):
        weight[r] = weight[r] * ~new[g.edge_index[r][end]]
    handles = g.handles.clone()
    handles[:, 0] *= ~new
    known = torch.where(new, unknown, g.known)
    return g._replace(weight=weight, handles=handles, known=known)


def _layer(relations: tuple[EdgeType, ...], d: int) -> HeteroConv:
    with warnings.catch_warnings():
        # Entities only send in layer 2, which is meant.
        warnings.filterwarnings("ignore", message="There exist node types", category=UserWarning)
        return HeteroConv({r: GraphConv(d, d, aggr="add") for r in relations}, aggr="sum")


class RouterNet(nn.Module):
    """z (B, n) for B tasks and the n agents of a graph, in units of quality.

    ``e`` width of the embeddings, ``d`` hidden width, ``agents`` how many have an identity of
    their own. An agent without one is scored from its card and its edges alone; training hides
    agents at random (``hide``) so that this works.
    """

    def __init__(self, e: int, d: int, agents: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({t: nn.Linear(e, d) for t in NODES})
        self.identity = nn.Parameter(torch.zeros(agents + 1, d))
        self.layer1 = _layer(STATIC, d)
        self.layer2 = _layer(LAYER2, d)
        self.U = nn.Linear(d, d, bias=False)
        self.V = nn.Linear(d, d, bias=False)
        self.w = nn.Parameter(torch.full((d,), 1.0 / math.sqrt(d)))
        self.scale = math.sqrt(e)  # rows of length 1 become entries of size 1
        self.mix = nn.Parameter(torch.tensor([0.0, 0.0]))
        self.log_c = nn.Parameter(torch.zeros(()))
        self.dropout = dropout

    def shared(self, g: Statics) -> dict[str, Tensor]:
        """Layer 1: states of entities, skills and agents, whatever the task."""
        x = {t: self.inputs[t](v * self.scale).relu() for t, v in g.x.items()}
        x["agent"] = x["agent"] + self._identity(g.known)
        h: dict[str, Tensor] = self.layer1(x, g.edge_index, edge_weight_dict=g.weight)
        return {t: v.relu() for t, v in h.items()}

    def _identity(self, known: Tensor) -> Tensor:
        last = len(self.identity) - 1
        return self.identity[known] * (known < last).unsqueeze(1)

    def forward(self, g: Statics, batch: Batch) -> Tensor:
        """(B, n) z: what graph, history and card add to the expected quality."""
        return self.read_out(g, batch, *self.factored(g, batch))

    def reference(self, g: Statics, batch: Batch) -> Tensor:
        """``forward`` with layer 2 as PyG computes it: the yardstick for parity and speed."""
        h = self.shared(g)
        x = {
            "task": self._drop(self.inputs["task"](batch.x * self.scale).relu()),
            "entity": h["entity"],
        }
        x["candidate"] = h["agent"].repeat(len(batch.x), 1)
        index, weight = self.flows(g, batch, len(g.known))
        out = self.layer2(x, index, edge_weight_dict=weight)
        a = out["candidate"].view(len(batch.x), len(g.known), -1)
        return self.read_out(g, batch, out["task"].relu(), a.relu())

    def factored(self, g: Statics, batch: Batch) -> Flow:
        """Layer 2's states (B, d) and (B, n, d), with each linear map applied before it fans out.

        A map of a sum is the sum of the maps: R h_a needs n rows instead of B n, M h_q needs B.
        Five times faster to train at 150 agents.
        """
        h, b, n = self.shared(g), len(batch.x), len(g.known)
        x = self._drop(self.inputs["task"](batch.x * self.scale).relu())
        to_task, considers, *carry = (self.layer2.convs[r] for r in LAYER2)
        task, entity = batch.mention
        mean = torch.zeros(b, x.shape[1]).index_add_(
            0, task, h["entity"][entity] * batch.share.unsqueeze(1)
        )
        q = to_task.lin_rel(mean) + to_task.lin_root(x)
        own = sum(c.lin_root(h["agent"]) + c.lin_rel.bias for c in (considers, *carry))
        a = (own.unsqueeze(0) + (x @ considers.lin_rel.weight.T).unsqueeze(1)).view(b * n, -1)
        index, weight = self.flows(g, batch, n)
        for r, c in zip(LAYER2[2:], carry, strict=True):
            message = (h["entity"] @ c.lin_rel.weight.T)[index[r][0]] * weight[r].unsqueeze(1)
            a = a.index_add(0, index[r][1], message)
        return q.relu(), a.view(b, n, -1).relu()

    def read_out(self, g: Statics, batch: Batch, q: Tensor, a: Tensor) -> Tensor:
        """The head over q (B, d) and a (B, n, d), and the two linear terms."""
        b, n = a.shape[:2]
        z = torch.tanh(self.U(self._drop(q)).unsqueeze(1) * self.V(a)) @ self.w
        history = torch.zeros(b, n).index_add_(
            0, batch.mention[0], g.handles[batch.mention[1], 0] * batch.share.unsqueeze(1)
        )
        return z + self.mix[0] * history + self.mix[1] * (batch.x @ g.x["agent"].T)

    def _drop(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.dropout, self.training)

    @staticmethod
    def flows(
        g: Statics, batch: Batch, n: int
    ) -> tuple[dict[EdgeType, Tensor], dict[EdgeType, Tensor]]:
        """Layer 2's edges: candidate (i, a) is row i n + a."""
        b = len(batch.x)
        task, entity = batch.mention
        every = torch.stack([torch.arange(b).repeat_interleave(n), torch.arange(b * n)])
        index = {LAYER2[0]: torch.stack([entity, task]), LAYER2[1]: every}
        weight = {LAYER2[0]: batch.share, LAYER2[1]: torch.ones(b * n)}
        for r, part in zip(LAYER2[2:], (0, 1), strict=True):
            w = g.handles[entity, part]
            pair, agent = w.nonzero(as_tuple=True)
            index[r] = torch.stack([entity[pair], task[pair] * n + agent])
            weight[r] = w[pair, agent] * batch.share[pair]
        return index, weight
