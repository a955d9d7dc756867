"""How many agents a task gets, and whether more are asked once answers came."""

from agentroute.choosing.depth.catalog import DEPTHS as DEPTHS
from agentroute.choosing.depth.catalog import make_depth as make_depth
from agentroute.choosing.depth.fixed import Fixed as Fixed
from agentroute.choosing.depth.fixed import Overlap as Overlap
from agentroute.choosing.depth.protocol import Depth as Depth
