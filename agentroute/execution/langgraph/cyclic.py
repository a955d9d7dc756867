"""The cyclic graph of a task that takes turns: ``policy -> agent -> policy``, until it answers."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypedDict

POLICY, AGENT = "policy", "agent"


class Going(TypedDict, total=False):
    """State: whether the policy routed a sub-query, and nothing that must not be copied."""

    routed: bool


@dataclass
class Turning:
    """``policy()`` takes a turn and says whether it routed; ``agent()`` has it answered, and says
    whether the loop goes on (no: a human is waited for).
    """

    policy: Callable[[], Awaitable[bool]]
    agent: Callable[[], Awaitable[bool]]


TURNING: contextvars.ContextVar[Turning] = contextvars.ContextVar("agentroute_turning")


async def _policy(state: Going) -> Going:
    return {"routed": await TURNING.get().policy()}


async def _agent(state: Going) -> Going:
    return {"routed": await TURNING.get().agent()}


@lru_cache(maxsize=1)
def cyclic() -> Any:
    """The compiled graph; it holds no state of a run."""
    from langgraph.graph import END, START, StateGraph

    builder: Any = StateGraph(Going)
    builder.add_node(POLICY, _policy)
    builder.add_node(AGENT, _agent)
    builder.add_edge(START, POLICY)
    ends = {True: AGENT, False: END}
    builder.add_conditional_edges(POLICY, lambda s: bool(s.get("routed")), ends)
    builder.add_conditional_edges(
        AGENT, lambda s: bool(s.get("routed")), {True: POLICY, False: END}
    )
    return builder.compile(checkpointer=False)


def limit(max_turns: int) -> int:
    """Supersteps that ``max_turns`` turns and their answer take at most."""
    return 2 * max_turns + 2


async def run_cyclic(turning: Turning, max_turns: int) -> None:
    """Take turns until the policy answers or a human is waited for.

    Raises:
        GraphRecursionError: the policy went on after ``max_turns``; a fault of ours.
    """
    token = TURNING.set(turning)
    try:
        await cyclic().ainvoke({}, {"recursion_limit": limit(max_turns)}, durability="exit")
    finally:
        TURNING.reset(token)


def structure(graph: Any) -> dict[str, Any]:
    """Nodes and edges of a compiled graph, for the row of a decision."""
    drawn = graph.get_graph()
    return {
        "nodes": sorted(drawn.nodes),
        "edges": sorted([e.source, e.target] for e in drawn.edges),
    }
