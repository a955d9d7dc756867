"""The kinds of object that can be an agent: who registers one and who calls it both ask here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agentroute.adapters.inline.functions import call_function
from agentroute.adapters.inline.runnables import call_runnable, is_runnable
from agentroute.errors import ConfigError
from agentroute.model.calls import AgentCall, OnChunk


class Ask(Protocol):
    """Calls an object of its kind; what it returns is still to be made into a reply."""

    def __call__(
        self, handler: Any, call: AgentCall, /, *, limit_s: float, on_chunk: OnChunk
    ) -> Awaitable[Any]:
        """Within ``limit_s`` seconds, else ``TimeoutError``."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One kind: its name, what it is in words, which objects are of it, and how one is called."""

    name: str
    what: str
    accepts: Callable[[Any], bool]
    ask: Ask


# The first that accepts an object calls it: some runnables can be called like functions too.
ADAPTERS = (
    Adapter(
        "runnable", "a LangChain or LangGraph runnable (invoke or ainvoke)", is_runnable,
        call_runnable,
    ),
    Adapter(
        "function", "a function or another callable, async and generators too", callable,
        call_function,
    ),
)  # fmt: skip


def adapter_of(handler: Any, agent: str = "") -> Adapter:
    """The adapter that can call an object.

    Raises:
        ConfigError: nobody can; says what can be an agent.
    """
    found = next((a for a in ADAPTERS if a.accepts(handler)), None)
    if found is None:
        raise ConfigError(
            f"{agent or 'an agent'} cannot be called: it is of type {type(handler).__name__}",
            hint="an agent is " + ", or ".join(a.what for a in ADAPTERS),
        )
    return found
