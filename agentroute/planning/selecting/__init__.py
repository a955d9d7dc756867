"""The shape of the work as a choice that is learned, with Algorithm 1 as prior and fallback."""

from agentroute.planning.selecting.model import ShapeModel
from agentroute.planning.selecting.selector import Selector, make_selector

__all__ = ["Selector", "ShapeModel", "make_selector"]
