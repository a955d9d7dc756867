"""What is learned from the ledger: folding, credit, versioned state."""

from agentroute.learning.fold import Learner, observations
from agentroute.learning.observe import Folding
from agentroute.learning.state import Snapshot, StateStore

__all__ = ["Folding", "Learner", "Snapshot", "StateStore", "observations"]
