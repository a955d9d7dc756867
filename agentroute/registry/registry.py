"""The agents there are: cards from folders and from code, and how each is called."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import ValidationError

from agentroute.adapters.kinds import adapter_of
from agentroute.config.paths import Place
from agentroute.errors import (
    AgentRouteError,
    CardError,
    DuplicateAgentError,
    UnknownAgentError,
    did_you_mean,
)
from agentroute.model.arrays import Embedder
from agentroute.model.candidates import CardSet
from agentroute.model.cards import CapabilityCard, Pricing, Skill
from agentroute.registry.cardset import build_cardset
from agentroute.registry.live import LiveState
from agentroute.registry.load import SUFFIXES, load_card

log = logging.getLogger("agentroute.registry")

Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)


@dataclass(frozen=True)
class Binding:
    """A card, where it came from, and its code: a handler given in Python, or a folder."""

    card: CapabilityCard
    path: Path | None
    origin: str
    handler: Handler | None = None

    @property
    def folder(self) -> Path | None:
        """Where ``NAME.py`` beside the card is looked for."""
        return None if self.path is None else self.path.parent


class Registry:
    """The catalogue. Reading it never imports an agent's code.

    Folders are looked at again (by name, size and time) when ``refresh`` is called, which the
    orchestrator does before each run: a card dropped into a folder is a candidate in the next
    route, a removed one is gone. A malformed card is left out, logged and listed in
    ``problems``; the others are not affected.
    """

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self.places = list(places)
        self._coded: dict[str, Binding] = {}
        self._files: dict[str, Binding] = {}
        self._signature: tuple[Any, ...] | None = None
        self._cardset: CardSet | None = None
        self.problems: list[AgentRouteError] = []
        self.live = LiveState()
        self.refresh()

    @classmethod
    def from_folder(cls, *folders: Path | str) -> Registry:
        """All cards of the folders; the first folder that has a name wins.

        Raises:
            CardError: a folder does not exist.
        """
        for f in folders:
            if not Path(f).is_dir():
                raise CardError("is not a folder", path=str(f), hint="agentroute init makes one")
        return cls([Place(Path(f), str(f)) for f in folders])

    def refresh(self) -> bool:
        """Look at the folders again; whether anything changed."""
        files = list(self._scan())
        signature = tuple((str(p), *s) for _, p, s in files)
        if signature == self._signature:
            return False
        self._signature = signature
        before, self._files, self.problems = self._files, {}, []
        for place, path, _ in files:
            self._load(place, path)
        self._leave_out_loops()
        for name, binding in self._files.items():
            if name in before and binding != before[name]:
                self.live.reset(name)  # whoever is mended is asked again
        self._cardset = None
        return True

    def _scan(self) -> Iterator[tuple[Place, Path, tuple[int, ...]]]:
        for place in self.places:
            for path in _listed(place.folder):
                if path.suffix in SUFFIXES and not _ours(path.name):
                    yield place, path, _seen(path)

    def _load(self, place: Place, path: Path) -> None:
        try:
            card = load_card(path)
            rival = self._files.get(card.name)
            if rival is not None and rival.folder == path.parent and rival.path is not None:
                raise DuplicateAgentError(
                    f"{path}: the name '{card.name}' is taken by {rival.path.name}",
                    hint="rename one of the two cards",
                )
        except AgentRouteError as e:
            self._refuse(e)
            return
        self._files.setdefault(card.name, Binding(card, path, place.origin))

    def _leave_out_loops(self) -> None:
        """Cards that refer to one another in a circle have no code between them."""
        files = dict(self._files)
        for name, binding in files.items():
            chain = [name]
            while (target := stands_for(files.get(chain[-1]))) and target not in chain:
                chain.append(target)
            if target:
                words = " -> ".join([*chain, target])
                self._refuse(
                    CardError(f"refers to cards in a circle: {words}", path=str(binding.path),
                              field="entrypoint", hint="let one of them name a file or a module")
                )  # fmt: skip
                del self._files[name]

    def _refuse(self, problem: AgentRouteError) -> None:
        self.problems.append(problem)
        log.warning("card left out: %s", problem)

    def add(self, card: CapabilityCard, handler: Handler | None = None) -> None:
        """Register a card in code; with ``handler`` it is called in this process.

        Raises:
            DuplicateAgentError: the name is taken by another agent registered in code.
            ConfigError: nobody can call the handler; says what can be one.
        """
        if card.name in self._coded:
            raise DuplicateAgentError(
                f"an agent is already called '{card.name}'", hint="remove it first, or rename"
            )
        if handler is not None:
            adapter_of(handler, card.name)
            card = card.model_copy(update={"entrypoint": "inline", "isolation": "inline"})
        self._coded[card.name] = Binding(card, None, "code", handler)
        self._cardset = None

    @overload
    def agent(self, fn: F, /) -> F: ...

    @overload
    def agent(
        self,
        fn: None = None,
        /,
        *,
        skills: Sequence[str] = (),
        name: str | None = None,
        description: str | None = None,
        cost_usd: float | None = None,
        **card: Any,
    ) -> Callable[[F], F]: ...

    def agent(
        self,
        fn: Any = None,
        /,
        *,
        skills: Sequence[str] = (),
        name: str | None = None,
        description: str | None = None,
        cost_usd: float | None = None,
        **card: Any,
    ) -> Any:
        """Decorator: the card is made from the function's name, docstring and these arguments.

        ``@registry.agent`` and ``@registry.agent(...)``; further keywords are fields of
        ``CapabilityCard``.

        Raises:
            CardError: an argument that no card takes, or what is decorated has no name.
        """

        def register(fn: F) -> F:
            called = name or getattr(fn, "__name__", None)
            if not isinstance(called, str):
                raise CardError(f"a {type(fn).__name__} has no name", hint="agent(name=...)")
            price = Pricing(call_usd=cost_usd or 0.0, expected_usd=cost_usd)
            made = {
                "name": called,
                "description": description or inspect.getdoc(fn) or called.replace("_", " "),
                "skills": tuple(Skill(id=s) for s in skills),
                "pricing": price,
                **card,
            }
            self.add(_card_of(made), fn)
            return fn

        return register if fn is None else register(fn)

    def remove(self, name: str) -> None:
        """Forget an agent registered in code.

        Raises:
            UnknownAgentError: no such agent in code.
        """
        if name not in self._coded:
            raise UnknownAgentError(name, self._coded)
        del self._coded[name]
        self._cardset = None

    @property
    def entries(self) -> dict[str, Binding]:
        """Every agent by name, sorted; an agent from code stands over a file's."""
        return dict(sorted({**self._files, **self._coded}.items()))

    def __getitem__(self, name: str) -> Binding:
        entry = self._coded.get(name) or self._files.get(name)
        if entry is None:
            raise UnknownAgentError(name, {**self._files, **self._coded})
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._coded or name in self._files

    def __len__(self) -> int:
        return len(self.entries)

    def card(self, name: str) -> CapabilityCard:
        """The card of that name, or ``UnknownAgentError``."""
        return self[name].card

    def is_embedded(self, embedder: Embedder) -> bool:
        """Whether ``cardset`` has nothing left to do."""
        return self._cardset is not None and self._cardset.embedder_id == embedder.id

    def cardset(self, embedder: Embedder) -> CardSet:
        """All cards as one immutable set, in name order; made again only after a change."""
        if self._cardset is None or not self.is_embedded(embedder):
            cards = [e.card for e in self.entries.values()]
            self._cardset = build_cardset(cards, embedder)
        return self._cardset


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as e:
        log.warning("%s cannot be read: %s", folder, e)
        return []


def _seen(path: Path) -> tuple[int, ...]:
    """What tells a changed file from the one before; nothing of a link that leads nowhere."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size


def stands_for(binding: Binding | None) -> str:
    """The card that a card's entrypoint refers to; '' where it is none of them."""
    entry = (binding.card.entrypoint or "") if binding is not None else ""
    return entry.removeprefix("card:") if entry.startswith("card:") else ""


def _card_of(made: dict[str, Any]) -> CapabilityCard:
    try:
        return CapabilityCard.model_validate(made)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        hint = did_you_mean(where, CapabilityCard.model_fields) if "extra" in first["type"] else ""
        said = first["msg"].removeprefix("Value error, ")
        raise CardError(f"{made['name']}: {said}", field=where or None, hint=hint) from None


def _ours(name: str) -> bool:
    """Hidden files, and the editor schema that ``init`` writes beside the cards."""
    return name.startswith(".") or name.endswith(".schema.json")
