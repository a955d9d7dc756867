"""What was decided, durably: an append-only, hash-chained ledger in one SQLite file."""

from agentroute.ledger.chain import Anchor
from agentroute.ledger.ledger import Ledger
from agentroute.ledger.rows.decode import ERASED, Row
from agentroute.ledger.tickets import Ticket
from agentroute.ledger.verify import VerifyReport

__all__ = ["ERASED", "Anchor", "Ledger", "Row", "Ticket", "VerifyReport"]
