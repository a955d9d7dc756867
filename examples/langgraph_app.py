"""A LangGraph app with our graph inside it: their node, our run, their node.

python examples/langgraph_app.py
"""

import asyncio
import tempfile
from typing import TypedDict

from langgraph.graph import END, START, StateGraph

from agentroute import AgentCall, Orchestrator, Registry

registry = Registry()


@registry.agent(skills=["arithmetic"])
def adder(call: AgentCall) -> str:
    """Adds the whole numbers in a question."""
    numbers = [int(w) for w in call.task.prompt.replace("?", " ").split() if w.isdigit()]
    return str(sum(numbers))


class State(TypedDict, total=False):
    """The host's own state; ``task`` and ``output`` are what it shares with us."""

    user: str
    task: str
    output: str
    shown: str


def ask(state: State) -> State:
    """The host's node before."""
    return {"task": state["user"].strip()}


def show(state: State) -> State:
    """The host's node after."""
    return {"shown": f"the answer is {state['output']}"}


async def main() -> None:
    """Build the host graph around ours and run it."""
    with tempfile.TemporaryDirectory() as folder:
        async with Orchestrator(registry, ledger=f"sqlite:///{folder}/agentroute.db") as orc:
            host = StateGraph(State)
            host.add_node("ask", ask)
            host.add_node("route", orc.as_graph())
            host.add_node("show", show)
            host.add_edge(START, "ask")
            host.add_edge("ask", "route")
            host.add_edge("route", "show")
            host.add_edge("show", END)
            done = await host.compile().ainvoke({"user": " what is 19 and 23 ? "})
            print(done["shown"])


if __name__ == "__main__":
    asyncio.run(main())
