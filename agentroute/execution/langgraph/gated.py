"""The gated graph: one LangGraph node a task, all sent at once, each waits for its inputs' gates.

Tasks start when their own inputs are there (no barrier of a superstep), the picture is the user's
DAG, and every task ends with a stream event of its own. Sends go out in topological order: that is
what keeps it free of deadlock under a bound on concurrency. Compiled graphs hold no state of a run
(it is found through a context variable), so they are cached by shape.

Where nobody watches, nodes are told to LangGraph together, when the last has ended: each time one
ends, it goes through all that have not.
"""

from __future__ import annotations

import asyncio
import contextvars
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Annotated, Any, NamedTuple, TypedDict

RESERVED = frozenset({"outcomes", "__start__", "__end__", "branch"})


class Wiring(NamedTuple):
    """Task ids in topological order, and the edges that gate them: ``(before, after)``."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()


def merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """The reducer of every state key: keyed, so a repeat after a resume changes nothing."""
    return {**(old or {}), **(new or {})}


class Outcomes(TypedDict, total=False):
    """State of the inner graph."""

    outcomes: Annotated[dict[str, Any], merge]


class Gates:
    """One future a task; opened when the task has ended, whatever became of it."""

    def __init__(self, limit: int) -> None:
        self._gates: dict[str, asyncio.Event] = {}
        self.semaphore = asyncio.Semaphore(limit)

    def gate(self, node: str) -> asyncio.Event:
        """The gate of a node."""
        return self._gates.setdefault(node, asyncio.Event())

    def open(self, node: str) -> None:
        """Let everybody through who waits for ``node``."""
        self.gate(node).set()


class Finish:
    """Lets ``n`` nodes through when the last of them has come."""

    def __init__(self, n: int) -> None:
        self._missing, self._all = n, asyncio.Event()

    async def reached(self) -> None:
        """A node is done; returns when all are."""
        self._missing -= 1
        if self._missing:
            await self._all.wait()
        else:
            self._all.set()


@dataclass
class Running:
    """What the nodes of one execution share: gates, and ``work(task) -> outcome | None``.

    ``done`` says whether a task needs nobody any more; None from ``work`` means that a human is
    waited for. ``admit(task)`` is what a task waits for before it takes one of the run's places.
    ``end`` is where a node that is done waits for the last one; None where each is told at once.
    """

    gates: Gates
    work: Callable[[str], Awaitable[dict[str, Any] | None]]
    done: Mapping[str, Any]
    admit: Callable[[str], AbstractAsyncContextManager[None]] = lambda _: nullcontext()
    end: Finish | None = None


RUNNING: contextvars.ContextVar[Running] = contextvars.ContextVar("agentroute_running")


def node_name(shape: Wiring, v: str) -> str:
    """The task's id, or ``t<i>`` where LangGraph would refuse it as a name."""
    bad = v in RESERVED or any(c in v for c in "|:")
    return f"t{shape.nodes.index(v)}" if bad else v


async def _subtask(v: str, parents: tuple[str, ...], state: Outcomes) -> Outcomes:
    running = RUNNING.get()
    said = await _done(running, v, parents)
    if running.end is not None:
        await running.end.reached()
    return said


async def _done(running: Running, v: str, parents: tuple[str, ...]) -> Outcomes:
    gates = running.gates
    try:
        if v in running.done:
            return {}
        for p in parents:
            await gates.gate(p).wait()
        if any(p not in running.done for p in parents):
            return {}  # an input waits for a human
        async with running.admit(v), gates.semaphore:
            out = await running.work(v)
        return {} if out is None else {"outcomes": {v: out}}
    finally:
        gates.open(v)  # always: a closed gate is a deadlock


class Compiled:
    """``inner`` runs; ``drawn`` is its twin for pictures, never run and compiled when asked for."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self.inner = builder.compile(checkpointer=False)

    @cached_property
    def drawn(self) -> Any:
        """The graph that LangGraph draws inside its host."""
        return self._builder.compile()


@lru_cache(maxsize=256)
def gated(shape: Wiring) -> Compiled:
    """The compiled gated graph of a shape, cached."""
    from langgraph.graph import START, StateGraph
    from langgraph.types import Send

    parents: dict[str, list[str]] = {v: [] for v in shape.nodes}
    children: dict[str, list[str]] = {v: [] for v in shape.nodes}
    for before, after in shape.edges:
        parents[after].append(before)
        children[before].append(after)
    name = {v: node_name(shape, v) for v in shape.nodes}
    builder: Any = StateGraph(Outcomes)
    for v in shape.nodes:
        after_v = tuple(name[c] for c in children[v]) or None
        # A partial: LangGraph reads the byte code of every plain function it is given.
        node = partial(_subtask, v, tuple(parents[v]))
        builder.add_node(name[v], node, destinations=after_v)
    sends = [Send(name[v], {}) for v in shape.nodes]
    roots = [name[v] for v in shape.nodes if not parents[v]]
    builder.add_conditional_edges(START, lambda _: sends, roots)
    return Compiled(builder)


async def run_gated(shape: Wiring, running: Running) -> None:
    """Run every task of ``shape``; returns when all have ended or wait for a human."""
    if not _is_watched():
        running.end = Finish(len(shape.nodes))
    token = RUNNING.set(running)
    # Inside a host with durability="sync" the inner call must state its own; outside of one
    # LangGraph warns that it is of no use.
    warnings.filterwarnings("ignore", message="`durability` has no effect")
    limits = {"recursion_limit": 10, "max_concurrency": len(shape.nodes)}
    try:
        await gated(shape).inner.ainvoke({}, limits, durability="exit")
    finally:
        RUNNING.reset(token)


def _is_watched() -> bool:
    """Whether somebody is told when each node ends: a host's graph that runs us, or LangSmith."""
    from langgraph.config import get_config

    with suppress(ImportError):  # LangGraph brings it today
        from langsmith.utils import tracing_is_enabled

        if tracing_is_enabled():
            return True
    try:
        get_config()
    except RuntimeError:
        return False
    return True
