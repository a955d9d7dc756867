"""PARALLEL: each task sees its direct inputs alone; one join at the end."""

from __future__ import annotations

from agentroute.model.plans import Topology
from agentroute.planning.shapes.shape import Shape

SHAPE = Shape(Topology.PARALLEL)
