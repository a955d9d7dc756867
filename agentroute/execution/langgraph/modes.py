"""The graph of a task whose answers are looked at: k agents at once, then the policy, which ends it
or has somebody asked again. How many are asked at once is the mode, so each mode is another graph.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypedDict

from agentroute.execution.langgraph.cyclic import structure

POLICY, AGAIN = "policy", "again"
LIMIT = 200  # supersteps; how often somebody is asked again is bounded by the policy and the cards


class Asking(TypedDict, total=False):
    """State: whether it goes on."""

    on: bool


@dataclass
class Modal:
    """``ask(i)`` calls the i-th of those chosen; ``policy()`` looks at what came and says whether
    somebody is asked again; ``again()`` does that, and says whether anybody could be asked.
    """

    ask: Callable[[int], Awaitable[None]]
    policy: Callable[[], Awaitable[bool]]
    again: Callable[[], Awaitable[bool]]


MODAL: contextvars.ContextVar[Modal] = contextvars.ContextVar("agentroute_modal")


def asked(i: int) -> str:
    """The node of the i-th agent, from 0."""
    return f"asked_{i + 1}"


def _asks(i: int) -> Callable[[Asking], Awaitable[Asking]]:
    async def node(state: Asking) -> Asking:
        await MODAL.get().ask(i)
        return {}

    return node


async def _policy(state: Asking) -> Asking:
    return {"on": await MODAL.get().policy()}


async def _again(state: Asking) -> Asking:
    return {"on": await MODAL.get().again()}


@lru_cache(maxsize=64)
def mode_graph(k: int) -> Any:
    """The compiled graph that asks ``k`` agents first; it holds no state of a run."""
    from langgraph.graph import END, START, StateGraph

    builder: Any = StateGraph(Asking)
    for i in range(k):
        builder.add_node(asked(i), _asks(i))
        builder.add_edge(START, asked(i))
    builder.add_node(POLICY, _policy)
    builder.add_node(AGAIN, _again)
    builder.add_edge([asked(i) for i in range(k)], POLICY)
    builder.add_conditional_edges(POLICY, _goes_on, {True: AGAIN, False: END})
    builder.add_conditional_edges(AGAIN, _goes_on, {True: POLICY, False: END})
    return builder.compile(checkpointer=False)


def _goes_on(state: Asking) -> bool:
    return bool(state.get("on"))


@lru_cache(maxsize=64)
def mode_structure(k: int) -> dict[str, Any]:
    """Nodes and edges of ``mode_graph(k)``, for the row of a decision."""
    return structure(mode_graph(k))


async def run_mode(modal: Modal, k: int) -> None:
    """Carry out the graph of ``k`` agents."""
    token = MODAL.set(modal)
    try:
        await mode_graph(k).ainvoke({}, {"recursion_limit": LIMIT}, durability="exit")
    finally:
        MODAL.reset(token)
