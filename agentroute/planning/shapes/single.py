"""SINGLE: one agent gets the whole graph as one prompt."""

from __future__ import annotations

from agentroute.model.plans import Topology
from agentroute.planning.shapes.shape import Shape

SHAPE = Shape(Topology.SINGLE, whole=True)
