"""What a state is bound to: its router, that one's version, and an embedding space."""

from __future__ import annotations

from typing import Any

from agentroute.choosing.state import StateDict
from agentroute.errors import RouterStateError
from agentroute.model.candidates import Request


class Space:
    """Remembers the embedder's id and width of the first row folded; refuses any other."""

    def __init__(self) -> None:
        self.embedder_id, self.e = "", 0

    def check(self, request: Request) -> None:
        """Refuse a request from another space.

        Raises:
            RouterStateError: the id or the width differs from the bound one.
        """
        seen = request.candidates.cards.embedder_id
        if self.e and (seen, len(request.embedding)) != (self.embedder_id, self.e):
            raise RouterStateError(
                f"the state was learned with the embedder '{self.embedder_id}' ({self.e}),"
                f" the request is of '{seen}' ({len(request.embedding)})",
                hint="use that embedder, or reset the state: agentroute state reset",
            )

    def bind(self, request: Request) -> None:
        """Take the request's space, once."""
        if not self.e:
            self.bind_to(request.candidates.cards.embedder_id, len(request.embedding))

    def bind_to(self, embedder_id: str, e: int) -> None:
        """Take a space, whatever was before."""
        self.embedder_id, self.e = embedder_id, e

    def meta(self) -> dict[str, Any]:
        """As JSON."""
        return {"embedder": self.embedder_id, "e": self.e}

    def load(self, meta: dict[str, Any]) -> None:
        """Continue from ``meta``."""
        self.bind_to(meta["embedder"], meta["e"])


def check_kind(state: StateDict, kind: str, version: int) -> None:
    """Refuse the state of another router, or of another version of it.

    Raises:
        RouterStateError: ``kind`` or ``version`` differ.
    """
    if state.kind != kind or state.version != version:
        raise RouterStateError(
            f"the state is of '{state.kind}' version {state.version}, not '{kind}' {version}",
            hint="agentroute state ls shows what there is",
        )
