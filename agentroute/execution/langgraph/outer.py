"""The outer LangGraph graph: ``plan -> execute -> refine``, with a ``lead`` where one leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypedDict

from agentroute.errors import UsageError
from agentroute.execution.langgraph.gated import Wiring, gated, merge
from agentroute.model.events import Emit


class State(TypedDict, total=False):
    """JSON only. ``outcomes`` and ``usage`` are keyed, so that a repeat changes nothing."""

    task: str
    run_id: str
    plan: dict[str, Any]
    orders: dict[str, Any]
    outcomes: Annotated[dict[str, Any], merge]
    usage: Annotated[dict[str, Any], merge]
    answers: Annotated[dict[str, Any], merge]
    output: str
    result: dict[str, Any]


class Step(NamedTuple):
    """A node both ways: for async hosts and for sync ones."""

    run: Callable[[State], Awaitable[State]]
    run_blocking: Callable[[State], State]


def build_outer(
    steps: Mapping[str, Step], shape: Wiring | None = None, *, lead: bool = False
) -> Any:
    """Compile the outer graph without a checkpointer, so that it inherits a host's.

    ``steps`` has ``plan``, ``execute``, ``refine`` and, with ``lead``, ``lead``. ``shape`` is the
    plan's DAG where it is known beforehand: a twin of its gated graph hangs on ``execute`` so that
    ``get_graph(xray=1)`` draws it.
    """
    from langgraph.graph import END, START, StateGraph

    builder: Any = StateGraph(State)
    builder.add_node("plan", _node(steps["plan"]))
    builder.add_node("execute", _node(_with_picture(steps["execute"], shape)))
    builder.add_node("refine", _node(steps["refine"]))
    builder.add_edge(START, "plan")
    if lead:
        builder.add_node("lead", _node(steps["lead"]))
        builder.add_edge("plan", "lead")
        builder.add_conditional_edges(
            "lead", lambda s: "execute" if s.get("orders") else "refine", ["execute", "refine"]
        )
        builder.add_edge("execute", "lead")
    else:
        builder.add_edge("plan", "execute")
        builder.add_edge("execute", "refine")
    builder.add_edge("refine", END)
    return builder.compile()


def _node(step: Step) -> Any:
    from langchain_core.runnables import RunnableLambda

    return RunnableLambda(step.run_blocking, afunc=step.run)


def _with_picture(step: Step, shape: Wiring | None) -> Step:
    if shape is None:
        return step
    drawn = gated(shape).drawn

    async def execute(state: State) -> State:
        assert drawn  # found by closure: it keeps the picture reachable
        return await step.run(state)

    def execute_blocking(state: State) -> State:
        assert drawn
        return step.run_blocking(state)

    return Step(execute, execute_blocking)


def host_listener() -> Emit:
    """Our events as the ``custom`` stream of the graph that runs now."""
    from langgraph.config import get_stream_writer

    write = get_stream_writer()
    return lambda event: write(event.model_dump(mode="json"))


def has_checkpointer() -> bool:
    """Whether the graph that runs now has a checkpointer, its own or its host's."""
    from langgraph.config import get_config

    configurable = get_config().get("configurable", {})
    return bool(configurable.get("__pregel_checkpointer"))


def ask_host(pending: Mapping[str, Any]) -> dict[str, bool]:
    """One interrupt for everything that waits; answers come back by approval or task id."""
    from langgraph.types import interrupt

    answers = interrupt({"approve": dict(pending)})
    if not isinstance(answers, Mapping):
        raise UsageError(
            "an approval is answered with a mapping", hint="{approval_id: true or false}"
        )
    return {str(k): bool(v) for k, v in answers.items()}
