"""A card that was made, not written: how its agent is called, and into the catalogue whole."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from agentroute.adapters.client import endpoint_configured
from agentroute.adapters.untrusted import one_line
from agentroute.adapters.writer import Author
from agentroute.errors import CardError, DuplicateAgentError, UsageError
from agentroute.model.cards import CapabilityCard
from agentroute.registry.entrypoints import check_entrypoint
from agentroute.registry.generate import Method, card_from_queries, generate_card
from agentroute.registry.load import load_card
from agentroute.registry.needs import lacks
from agentroute.registry.onboard import code_of, holds, place
from agentroute.registry.registry import Binding, Registry, stands_for
from agentroute.registry.samples import Samples

WAYS = "--chat MODEL, --like AGENT, --entrypoint NAME.py:fn, or --draft to write it without one"
# What a chat model is told where its owner said nothing. No word of the queries stands in it:
# others wrote them, and a model obeys what the system says.
PROMPT = (
    "Answer the request briefly and exactly. If you do not know, answer exactly: I do not know."
)
# What an agent that is called as another one shares with it; what it is for is its own.
_SHARED = (
    "isolation", "requires", "provides", "libraries", "pricing", "latency_s", "limits",
    "requires_approval",
)  # fmt: skip
_CHAT = ("model", "prompt", "params")


@dataclass(frozen=True, slots=True)
class NewCard:
    """A card that was written: where, by which method, why by no model, what should be known."""

    path: Path
    card: CapabilityCard
    method: Method
    refused: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Calling:
    """How an agent is called; one of the four. ``prompt`` belongs to ``chat``."""

    chat: str | None = None
    like: str | None = None
    entrypoint: str | None = None
    draft: bool = False
    prompt: str | None = None

    def checked(self) -> Calling:
        """This, where exactly one way is given.

        Raises:
            UsageError: none or several, or a prompt without ``chat``.
        """
        given = [w for w in (self.chat, self.like, self.entrypoint) if w is not None]
        if len(given) + self.draft != 1:
            said = "it was not said how the agent is called" if not given else "say one way"
            raise UsageError(f"{said}, so that nobody could call it or know how", hint=WAYS)
        if self.prompt is not None and self.chat is None:
            raise UsageError("--prompt speaks to a chat model", hint="--chat MODEL --prompt TEXT")
        return self


async def add_from_queries(
    name: str,
    samples: Samples,
    how: Calling,
    into: Path,
    registry: Registry,
    *,
    skill: str | None = None,
    author: Author | None = None,
) -> NewCard:
    """Describe an agent by what it is asked, and write its card into a catalogue folder.

    ``author`` writes the description where it can; else the keyphrases are it. ``skill`` is the id
    of its one skill. A model is asked only once everything else is known to be well, and nothing is
    written unless the card passes what ``agents check`` looks at.

    Raises:
        DuplicateAgentError: the name, or the file, is there.
        CardError, UnknownAgentError, UsageError: what is wrong with it.
    """
    refuse_known(name, into, registry)
    plain = card_from_queries(name, samples.queries)
    if skill is not None:
        plain = plain.model_copy(
            update={"skills": (plain.skills[0].model_copy(update={"id": skill}),)}
        )
    plain = callable_as(plain, how, registry)
    check_entrypoint(plain, into / f"{name}.yaml")
    described, method = await generate_card(name, samples.queries, writer=author)
    card = plain.model_copy(update={"description": described.description})
    by = f"the model {author.model}" if author is not None and method == "model" else method
    said = f"Description by {by}, skill by keyphrases, from {len(samples.queries)} sample queries."
    path = write_card(card, into, said=said)
    refused = tuple(author.faults) if author is not None and method != "model" else ()
    return NewCard(path, card, method, refused, tuple(unready(card, path, registry)))


def callable_as(card: CapabilityCard, how: Calling, registry: Registry) -> CapabilityCard:
    """The card with its way to be called, ``active``; a draft without one stays a draft.

    ``like`` shares what a call of the other takes and costs: the code, or the model and prompt of a
    chat card.

    Raises:
        UnknownAgentError: there is no agent to be like.
        CardError: that one cannot be called itself, or what was said makes no card.
    """
    if how.draft:
        return card
    own: dict[str, Any] = {"status": "active"}
    if how.chat is not None:
        prompt = PROMPT if how.prompt is None else how.prompt
        own |= {"entrypoint": "chat", "isolation": "inline", "model": how.chat, "prompt": prompt}
    elif how.like is not None:
        own |= _like(registry[how.like])
    else:
        own["entrypoint"] = how.entrypoint
    try:
        return CapabilityCard.model_validate({**card.model_dump(), **own})
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "card"
        raise CardError(first["msg"].removeprefix("Value error, "), field=where) from None


def _like(other: Binding) -> dict[str, Any]:
    card = other.card
    if card.entrypoint is None or other.path is None:
        raise CardError(
            f"'{card.name}' cannot be called itself", field="like",
            hint="agentroute agents show says how an agent is called",
        )  # fmt: skip
    shared = card.model_dump(include={*_SHARED, *(_CHAT if card.entrypoint == "chat" else ())})
    if card.entrypoint == "chat":
        return {**shared, "entrypoint": "chat"}
    return {**shared, "entrypoint": f"card:{card.name}"}


def refuse_known(name: str, into: Path, registry: Registry) -> None:
    """Refuse a name that an agent has, here or elsewhere in the search order.

    Raises:
        DuplicateAgentError: the name is taken.
    """
    known = name in registry
    if known or holds(into, name):
        where = registry[name].path if known else into
        raise DuplicateAgentError(
            f"an agent is already called '{name}' ({where})", hint="choose another --name"
        )


def write_card(card: CapabilityCard, into: Path, *, said: str) -> Path:
    """Write a card as ``NAME.yaml``, ``said`` as its first line; whole, or not at all.

    It is read back first and must be the card that was meant, with its code in place.

    Raises:
        CardError: it does not read back, or its code is not there.
        DuplicateAgentError: the file is there.
        UsageError: the folder cannot be written.
    """
    target = into / f"{card.name}.yaml"
    if target.exists():
        raise DuplicateAgentError(f"{target} exists", hint="choose another --name")
    text = _yaml(card, said)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / target.name
        trial.write_bytes(text)
        if load_card(trial) != card:
            raise CardError(f"'{card.name}' cannot be written as YAML", hint="change the queries")
    check_entrypoint(card, target)
    place(target, text)
    return target


def unready(card: CapabilityCard, path: Path, registry: Registry) -> list[str]:
    """Why the agent of a card could not be called as things are, and what is not known of it.

    A line each; none where all is well.
    """
    said = []
    if card.status == "draft":
        said.append(
            f"a draft is never asked: give {path} an entrypoint, then "
            f"agentroute agents promote {card.name} active"
        )
    if card.entrypoint == "chat":
        if not endpoint_configured():
            said.append("no chat endpoint is configured: set OPENAI_BASE_URL or OPENAI_API_KEY")
        if card.pricing.stated_usd is None and not card.pricing.input_mtok_usd:
            said.append("its price is not known: give the card pricing, or budgets cannot bound it")
    if other := stands_for(Binding(card, path, "")):
        origin = registry[other]
        code = code_of(origin.card, origin.path) if origin.path else None
        if code is not None and not code.is_file():
            said.append(f"the code of '{other}' is not there: {code}")
    if missing := lacks(card):
        said.append(missing)
    return said


def _yaml(card: CapabilityCard, said: str) -> bytes:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 96
    out = io.StringIO()
    yaml.dump(card.model_dump(mode="json", exclude_defaults=True), out)
    return f"# {one_line(said, 300)}\n{out.getvalue()}".encode()
