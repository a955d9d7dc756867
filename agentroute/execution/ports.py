"""What the execution needs from its neighbours, and nothing more: small protocols.

``registry.Registry`` is a ``Directory``, its entries are ``Binding``; ``ledger.Ledger`` is a
``Book``; ``routers.policy.Policy`` is a ``Chooser``. A ``ChatFactory`` gives the handler of a chat
card, one that answers in chunks where asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agentroute.choosing.decide import Choice
from agentroute.model.arrays import F32
from agentroute.model.calls import AgentCall
from agentroute.model.candidates import Request
from agentroute.model.cards import CapabilityCard
from agentroute.model.decisions import Decision, DecisionRecord
from agentroute.model.events import Event, Note
from agentroute.model.outcomes import Feedback, Outcome
from agentroute.model.scores import Scores
from agentroute.registry.live import LiveState

Emit = Callable[[Event], None]
OnChunk = Callable[[str], None]
ChatFactory = Callable[[CapabilityCard, bool], Callable[[AgentCall], Any]]  # True: in chunks


class Binding(Protocol):
    """A card and what it is bound to: a handler registered in code, or the folder of its file."""

    @property
    def card(self) -> CapabilityCard:
        """The card."""

    @property
    def handler(self) -> Any | None:
        """A callable or a LangChain-like runnable; None where the card's entrypoint says."""

    @property
    def folder(self) -> Path | None:
        """Where ``NAME.py`` stands; None for a card made in code."""


class Directory(Protocol):
    """Who there is."""

    @property
    def live(self) -> LiveState:
        """Load, breaker and averages, written by the execution."""

    def __getitem__(self, name: str) -> Binding:
        """The binding of an agent, or ``UnknownAgentError``."""

    def __contains__(self, name: object) -> bool:
        """Whether an agent of that name is registered."""


class Chooser(Protocol):
    """A policy: screening, router and exploration."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""

    async def scores(self, request: Request) -> Scores:
        """Scores of all n candidates; NaN means screened out."""

    def decide(
        self, request: Request, scores: Scores, *, k: int, rng: np.random.Generator
    ) -> Choice:
        """Choose at most ``k`` of them."""


class Encoder(Protocol):
    """What turns a prompt into the request's embedding."""

    def encode(self, texts: Sequence[str]) -> F32:
        """(n, e) float32."""


class Ticket(Protocol):
    """A row on its way to the disk; awaiting it gives the row's ``seq`` once committed."""

    def __await__(self) -> Generator[Any, None, int]:
        """Wait for the commit."""


class Lease(Protocol):
    """The right to work on a run."""

    def release(self) -> None:
        """Give it back."""


class Book(Protocol):
    """The ledger, as far as a run needs it."""

    def append(
        self, row: DecisionRecord | Outcome | Feedback | Note, *, at: str | None = None
    ) -> Any:
        """Enqueue one row; returns a ``Ticket``."""

    def put_text(self, text: str) -> str:
        """Store a text once; returns its SHA-256."""

    def text(self, sha: str) -> str | None:
        """A stored text, or None where it was erased."""

    def decisions(self, run_id: str) -> list[Decision]:
        """All decisions of a run, in seq order."""

    def outcomes(self, run_id: str) -> list[Outcome]:
        """All outcomes of a run, in seq order."""

    def notes(self, run_id: str) -> list[Note]:
        """All notes of a run, in seq order."""

    def take_lease(self, run_id: str) -> Lease:
        """The right to work on a run; ``LedgerBusyError`` where a live process has it."""
