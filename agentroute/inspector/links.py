"""Addresses of pages: in the inspector they lead somewhere, in a file there is nowhere to go."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode


def address(path: str, **query: object) -> str:
    """A path with its query, every part quoted; what is None or '' is left out.

    >>> address("/run", id="a b/<c>", task=None)
    '/run?id=a+b%2F%3Cc%3E'
    """
    given = {k: v for k, v in query.items() if v is not None and v != ""}
    words = urlencode(given, errors="replace")
    return f"{path}?{words}" if words else path


@dataclass(frozen=True, slots=True)
class Links:
    """Where a run, a decision or a row is shown; '' everywhere unless ``live``."""

    live: bool = False

    def run(self, run_id: str, task: str = "") -> str:
        """The page of a run, perhaps with one of its tasks selected."""
        return address("/run", id=run_id, task=task) if self.live else ""

    def decision(self, decision_id: str) -> str:
        """The page of a decision."""
        return address("/decision", id=decision_id) if self.live else ""

    def row(self, seq: int) -> str:
        """The page of a row of the ledger."""
        return address("/row", seq=seq) if self.live else ""


NOWHERE = Links()
