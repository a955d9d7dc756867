"""The outer LangGraph graph: ``plan -> execute -> refine``, with a ``lead`` where one leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypedDict

from langgraph.channels.ephemeral_value import EphemeralValue

from agentroute.execution.langgraph.gated import Wiring, gated, merge
from agentroute.model.events import Emit
from agentroute.model.runs import Labels, labels_of


class Given(TypedDict, total=False):
    """What is read of a host's state, and nothing else of it."""

    task: str
    messages: list[Any]
    run_id: str


class Answered(TypedDict, total=False):
    """What is written into a host's state: ``messages`` where the task was one, and no more."""

    output: str
    run_id: str
    result: dict[str, Any]
    messages: list[Any]


class State(TypedDict, total=False):
    """Our own, JSON only; a host's keys of the same names are another graph's. ``outcomes`` and
    ``usage`` are keyed, so that a repeat changes nothing.
    """

    task: str
    messages: Annotated[list[Any], EphemeralValue]  # read at the start, written at the end
    run_id: str
    spoken: bool
    plan: dict[str, Any]
    orders: dict[str, Any]
    rounds: int
    outcomes: Annotated[dict[str, Any], merge]
    usage: Annotated[dict[str, Any], merge]
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

    builder: Any = StateGraph(State, input_schema=Given, output_schema=Answered)
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


def host_labels() -> Labels:
    """``user`` and ``session`` under ``configurable`` of the graph that runs now, if given.

    Raises:
        UsageError: one of them is not a word of 1 to 200 characters.
    """
    from langgraph.config import get_config

    given = get_config().get("configurable", {})
    return labels_of(user=given.get("user"), session=given.get("session"))


def ask_host(pending: Mapping[str, Any]) -> dict[str, bool]:
    """One interrupt for everything that waits; answers come back by approval or task id.

    A single question may be answered with True or False. An answer that cannot be used is asked
    for again, with what is wrong under ``problem``: raising would keep it in the host's checkpoint
    for ever.
    """
    from langgraph.types import interrupt

    asked: dict[str, Any] = {"approve": dict(pending)}
    while True:
        answers = interrupt(asked)
        if isinstance(answers, bool) and len(pending) == 1:
            return dict.fromkeys(pending, answers)
        problem = _problem(answers, pending)
        if problem is None:
            return {str(k): v for k, v in answers.items()}
        asked = {**asked, "problem": problem}


def _problem(answers: Any, pending: Mapping[str, Any]) -> str | None:
    """What is wrong with a host's answer, in words; None where nothing is."""
    example = "Command(resume={" + ", ".join(f"{name!r}: True" for name in pending) + "})"
    if not isinstance(answers, Mapping):
        return f"{len(pending)} approvals wait, and the answer is {answers!r:.80}: {example}"
    known = {*pending, *(q.get("task_id") for q in pending.values())}
    for name, value in answers.items():
        if name not in known:
            return f"nothing waits under the name {name!r:.80}: {example}"
        if not isinstance(value, bool):
            return f"{name!r:.80} is answered with {value!r:.80}, not True or False: {example}"
    return None


def last_words(messages: Sequence[Any]) -> str:
    """The text of the last message that a human wrote; '' where there is none.

    A message is LangChain's, a mapping with ``role`` and ``content``, or a pair of the two.
    """
    for message in reversed(messages):
        role, content = _said(message)
        if role in ("human", "user"):
            if isinstance(content, str):
                return content
            blocks = content if isinstance(content, (list, tuple)) else ()
            texts = (b if isinstance(b, str) else _block(b) for b in blocks)
            return "\n".join(filter(None, texts))
    return ""


def _said(message: Any) -> tuple[Any, Any]:
    if isinstance(message, Mapping):
        return message.get("role") or message.get("type"), message.get("content")
    if isinstance(message, (list, tuple)) and len(message) == 2:
        return message[0], message[1]
    return getattr(message, "type", None), getattr(message, "content", None)


def _block(block: Any) -> str:
    text = block.get("text") if isinstance(block, Mapping) else None
    return text if isinstance(text, str) else ""


def as_message(text: str) -> Any:
    """An answer as a message of LangChain's."""
    from langchain_core.messages import AIMessage

    return AIMessage(content=text)
