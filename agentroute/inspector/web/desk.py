"""What every page works with: the ledger, the settings, and what was worked out before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from markupsafe import Markup

from agentroute.config.settings import Settings
from agentroute.inspector.links import Links
from agentroute.inspector.page import Section
from agentroute.ledger import Ledger

T = TypeVar("T")
Query = Mapping[str, str]
LINKS = Links(live=True)
KEPT = 32


@dataclass
class Page:
    """What a page says; ``ident`` is the id of what it is about, ``status`` the answer's."""

    title: str
    sections: list[Section]
    lead: str = ""
    ident: str = ""
    form: Markup = field(default_factory=Markup)
    status: int = 200


@dataclass
class _Done:
    lock: Lock = field(default_factory=Lock)
    value: list[Any] = field(default_factory=list)


@dataclass
class Desk:
    """The ledger (read only) and the settings that pages are made from."""

    ledger: Ledger
    settings: Settings
    _done: dict[tuple[Any, ...], _Done] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def weights(self) -> dict[str, float]:
        """What each kind of source counts when it is learned from."""
        return dict(self.settings.feedback_weights.model_dump())

    def once(self, what: tuple[Any, ...], work: Callable[[], T]) -> T:
        """The result of ``work``, done once for each state of the ledger."""
        key = (*what, self.ledger.head())
        with self._lock:
            if key not in self._done:
                while len(self._done) >= KEPT:
                    self._done.pop(next(iter(self._done)))
                self._done[key] = _Done()
            done = self._done[key]
        with done.lock:  # two who ask for the same wait for one; nobody else does
            if not done.value:
                done.value.append(work())
            found: T = done.value[0]
            return found


def whole(query: Query, name: str, default: int, low: int = 0, high: int = 1 << 62) -> int:
    """A whole number of the query, kept between two bounds; the default where it is none."""
    words = query.get(name, "")
    if not (words.isascii() and words.isdigit() and len(words) < 20):
        return default
    return max(low, min(int(words), high))
