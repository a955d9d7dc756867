"""HIERARCHICAL: a lead issues tasks in rounds; each sees its direct inputs."""

from __future__ import annotations

from agentroute.model.plans import Topology
from agentroute.planning.shapes.shape import Shape

SHAPE = Shape(Topology.HIERARCHICAL, led=True)
