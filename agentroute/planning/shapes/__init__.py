"""The topologies, one file a shape: each file here with a ``SHAPE`` is one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from agentroute.model.plans import Topology
from agentroute.planning.shapes.shape import Shape

__all__ = ["Shape", "shape_of"]


@cache
def _shapes() -> dict[Topology, Shape]:
    names = (m.name for m in pkgutil.iter_modules(__path__) if m.name != "shape")
    found = [importlib.import_module(f"{__name__}.{name}").SHAPE for name in names]
    return {shape.topology: shape for shape in found}


def shape_of(topology: Topology) -> Shape:
    """The meaning of a topology."""
    return _shapes()[topology]
