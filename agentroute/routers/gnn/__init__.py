"""The knowledge-graph router. Importing it loads neither torch nor networkx."""

from agentroute.routers.gnn.fitted import TrainConfig
from agentroute.routers.gnn.router import GNNRouter, Influence

__all__ = ["GNNRouter", "Influence", "TrainConfig"]
