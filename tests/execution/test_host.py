"""Our graph inside somebody's LangGraph app: state, picture, limits, approvals, checkpoints."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from agentroute.errors import ConfigError, LedgerBusyError, NestedLoopError, UsageError
from agentroute.planning.graphfile import plan_of_text

DIAMOND = """
topology: hybrid
tasks:
  - {id: a, prompt: first, skills: [s]}
  - {id: b, prompt: left, skills: [s], depends_on: [a]}
  - {id: c, prompt: right, skills: [s], depends_on: [a]}
  - {id: d, prompt: last, skills: [s], depends_on: [b, c]}
"""


class Host(TypedDict, total=False):
    task: str
    output: str
    result: dict[str, Any]
    after: str


def host(graph, saver=None):
    builder = StateGraph(Host)
    builder.add_node("route", graph)
    builder.add_node("post", lambda s: {"after": s["output"] + "!"})
    builder.add_edge(START, "route")
    builder.add_edge("route", "post")
    builder.add_edge("post", END)
    return builder.compile(checkpointer=saver)


@pytest.mark.checklist("AO5")
async def test_words_become_a_plan_inside_the_host(world):
    world.agent("one", skills=())
    graph = world.executor(planner=plan_of_text).as_graph()
    out = await host(graph).ainvoke({"task": "say hi"})
    assert out["after"] == "one(task)!"
    assert out["result"]["status"] == "completed"


@pytest.mark.checklist("AO5")
async def test_the_picture_is_exactly_the_users_dag(world, plan_of):
    world.agent("one")
    plan = plan_of(DIAMOND)
    graph = world.executor().as_graph(plan)
    drawn = graph.get_graph(xray=1)
    names = {n.rsplit(":", 1)[-1] for n in drawn.nodes}
    assert {"a", "b", "c", "d", "plan", "refine"} <= names
    edges = {(e.source.rsplit(":", 1)[-1], e.target.rsplit(":", 1)[-1]) for e in drawn.edges}
    wanted = {(p, t.id) for t in plan.tasks for p in t.depends_on}
    assert wanted <= edges
    assert {(a, b) for a, b in edges if a in "abcd" and b in "abcd"} == wanted
    assert len(list(graph.get_subgraphs())) == 1
    out = await graph.ainvoke({})
    assert out["output"] == "one(d)"
    assert set(out["result"]["tasks"]) == set("abcd")
    assert set(out) == {"output", "result", "run_id"}


@pytest.mark.checklist("AO5")
async def test_hierarchical_is_drawn_with_its_lead(world, plan_of):
    world.agent("one")
    graph = world.executor().as_graph(plan_of(DIAMOND.replace("hybrid", "hierarchical")))
    edges = {(e.source, e.target) for e in graph.get_graph().edges}
    assert {("plan", "lead"), ("lead", "execute"), ("execute", "lead"), ("lead", "refine")} <= edges
    assert (await graph.ainvoke({}))["output"] == "one(d)"


async def test_a_hosts_low_recursion_limit_and_concurrency_do_not_matter(world, plan_of):
    world.agent("one")
    graph = host(world.executor().as_graph(plan_of(DIAMOND)))
    async with asyncio.timeout(20):
        out = await graph.ainvoke({}, {"recursion_limit": 6, "max_concurrency": 2})
    assert out["output"] == "one(d)"


@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
async def test_under_every_durability_of_a_host(world, plan_of, durability):
    world.agent("one")
    graph = host(world.executor().as_graph(plan_of(DIAMOND)), InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    out = await graph.ainvoke({}, config, durability=durability)
    assert out["after"] == "one(d)!"


async def test_approvals_are_one_interrupt_matched_by_id_whatever_the_order(world, plan_of):
    delays = {"pay": 0.05, "mail": 0.0}

    async def careful(call):
        world.calls.append(call)
        return f"{call.task.id} done"

    async def first(call):
        await asyncio.sleep(delays[call.task.id.removeprefix("pre_")])
        return "ok"

    world.registry.agent(name="first", description="d", skills=["p"])(first)
    world.registry.agent(name="careful", description="d", skills=["s"], requires_approval=True)(
        careful
    )
    world.agent("refiner", skills=("refine",), reply=lambda c: "|".join(sorted(c.inputs)))
    plan = plan_of("""
topology: hybrid
tasks:
  - {id: pre_pay, prompt: p, skills: [p]}
  - {id: pre_mail, prompt: p, skills: [p]}
  - {id: pay, prompt: pay 7, skills: [s], depends_on: [pre_pay]}
  - {id: mail, prompt: mail 7, skills: [s], depends_on: [pre_mail]}
""")
    saver = InMemorySaver()
    graph = host(world.executor().as_graph(plan), saver)
    config = {"configurable": {"thread_id": "t"}}
    out = await graph.ainvoke({}, config)
    (asked,) = out["__interrupt__"]
    questions = asked.value["approve"]
    assert {q["task_id"]: q["prompt"] for q in questions.values()} == {
        "pay": "pay 7", "mail": "mail 7",
    }  # fmt: skip
    delays["pay"], delays["mail"] = 0.0, 0.05
    answers = {k: q["task_id"] == "pay" for k, q in questions.items()}
    graph = host(world.executor().as_graph(plan), saver)  # another life: an empty memory
    out = await graph.ainvoke(Command(resume=answers), config)
    assert [c.task.id for c in world.calls if c.task.id != "refine"] == ["pay"]
    assert out["result"]["replies"]["pay"]["text"] == "pay done"
    assert "mail" not in out["result"]["replies"]
    assert any("a human refused it" in line for line in out["result"]["degraded"])


async def test_an_approval_without_a_checkpointer_is_refused_before_any_call(world, plan_of):
    world.agent("careful", requires_approval=True)
    graph = host(world.executor().as_graph(plan_of(DIAMOND)))
    with pytest.raises(ConfigError, match="no checkpointer"):
        await graph.ainvoke({})
    assert world.calls == []


@pytest.mark.parametrize("first", ["careful", "one"])
async def test_an_agent_that_requires_approval_stops_no_task_that_others_can_do(
    world, plan_of, first
):
    """Without a checkpointer nobody can be asked: whoever needs a word is passed over and named."""
    world.agent("careful", requires_approval=True)
    world.agent("one")
    world.router.script = dict.fromkeys("abcd", first)
    graph = host(world.executor().as_graph(plan_of(DIAMOND)))
    out = await graph.ainvoke({})
    assert {c.task.id for c in world.calls} >= {"a", "b", "c", "d"}
    result = out["result"]
    assert set(result["replies"]) == set("abcd")
    named = any("no checkpointer" in line for line in result["degraded"])
    assert (result["status"], named) == (
        ("degraded", True) if first == "careful" else ("completed", False)
    )


async def test_updates_of_each_task_stream_to_the_host(world, plan_of):
    world.agent("one")
    graph = host(world.executor().as_graph(plan_of(DIAMOND)))
    seen = []
    async for _, update in graph.astream({}, stream_mode="updates", subgraphs=True):
        seen += list(update)
    assert seen.index("a") < seen.index("d") < seen.index("execute") < seen.index("post")


async def test_our_events_are_the_hosts_custom_stream(world, plan_of):
    world.agent("one")
    graph = host(world.executor().as_graph(plan_of(DIAMOND)))
    types = [e["type"] async for _, e in graph.astream({}, stream_mode="custom", subgraphs=True)]
    assert types[0] == "run.started"
    assert types.count("agent.finished") == 4
    assert types[-1] == "run.finished"


@pytest.mark.parametrize("approval", [False, True])
def test_a_sync_host_with_a_sqlite_saver(tmp_path, plan_of, approval):
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver

    from tests.execution.conftest import World

    world = World(tmp_path)
    world.agent("one", requires_approval=approval)
    executor = world.executor()
    connection = sqlite3.connect(tmp_path / "checkpoints.db", check_same_thread=False)
    graph = host(executor.as_graph(plan_of(DIAMOND)), SqliteSaver(connection))
    config = {"configurable": {"thread_id": "t"}}
    out = graph.invoke({}, config)
    rounds = 0
    while "__interrupt__" in out:
        rounds += 1
        asked = out["__interrupt__"][0].value["approve"]
        out = graph.invoke(Command(resume=dict.fromkeys(asked, True)), config)
    assert rounds == (3 if approval else 0)
    assert out["after"] == "one(d)!"
    assert sorted(world.starts()) == list("abcd")
    executor.close()
    connection.close()
    world.ledger.close()


async def test_a_sync_call_in_the_executors_own_loop_is_a_typed_error(world, plan_of):
    world.agent("one")
    executor = world.executor()
    await executor.run(plan_of(DIAMOND))
    with pytest.raises(NestedLoopError):
        executor.as_graph(plan_of(DIAMOND)).invoke({})
    out = await asyncio.to_thread(executor.as_graph(plan_of(DIAMOND)).invoke, {})
    assert out["output"] == "one(d)"


async def test_a_host_is_told_of_low_work_and_gets_the_second_try(world, plan_of):
    world.agent("bad", reply=lambda c: f"bad({c.task.id})")
    world.agent("good", reply=lambda c: f"good({c.task.id})")
    marks = {"bad": 0.1, "good": 0.8}

    def check(call):
        who = call.inputs["d"].text.partition("(")[0]
        return {"data": {"scores": [{"task_id": "d", "score": marks[who]}]}}

    world.agent("check", skills=("verify",), reply=check)
    world.router.script["d"] = "bad"
    plan = plan_of(DIAMOND + "verifier: check\n")
    out = await host(world.executor().as_graph(plan)).ainvoke({"task": ""})
    assert out["output"] == "good(d)"
    assert out["result"]["verdict"]["accepted"]
    marks["good"] = 0.2
    out = await host(world.executors[-1].as_graph(plan)).ainvoke({"task": ""})
    assert out["output"].startswith("NOT ACCEPTED: the answer is below 0.50: 'd' 0.20 by check\n\n")
    assert out["result"]["status"] == "degraded"


# -- what a host keeps to itself -----------------------------------------------------------------


class Turns(TypedDict, total=False):
    task: str
    output: str
    run_id: str


def echo(world):
    world.agent("echo", skills=(), reply=lambda call: f"echo:{call.task.prompt}")
    return world.executor(planner=plan_of_text).as_graph()


def one_node(schema, graph, saver=None, *names):
    builder = StateGraph(schema)
    for name in names or ("work",):
        builder.add_node(name, graph)
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile(checkpointer=saver)


async def test_each_turn_of_a_thread_is_a_run_of_its_own(world):
    app = one_node(Turns, echo(world), InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    said = [await app.ainvoke({"task": t}, config) for t in ("first", "second", "third", "third")]
    assert [s["output"] for s in said] == [
        "echo:first", "echo:second", "echo:third", "echo:third",
    ]  # fmt: skip
    assert len({s["run_id"] for s in said}) == 4 == len(world.ledger.runs())


async def test_a_run_that_is_not_finished_is_gone_on_with(world, plan_of):
    world.agent("one")
    executor = world.executor()
    plan = plan_of(DIAMOND)
    run = executor.begin(plan, "mine")
    await executor.start(run)
    graph = executor.as_graph(plan)
    assert (await graph.ainvoke({"run_id": "mine"}))["run_id"] == "mine"
    assert (await graph.ainvoke({"run_id": "mine"}))["run_id"] != "mine"  # it is finished
    other = executor.begin(plan_of(DIAMOND.replace("left", "right")), "other")
    await executor.start(other)
    assert (await graph.ainvoke({"run_id": "other"}))["run_id"] != "other"  # another plan


async def test_nobody_else_works_on_a_hosts_run_while_a_node_does(world, plan_of):
    """Between nodes another process may: a host resumes wherever it likes."""
    busy = []

    def tried(call):
        with pytest.raises(LedgerBusyError):
            world.ledger.take_lease("mine")
        busy.append(call.task.id)
        return "done"

    world.agent("one", reply=tried)
    graph = world.executor().as_graph(plan_of(DIAMOND))
    with world.ledger.take_lease("mine"), pytest.raises(LedgerBusyError):
        await graph.ainvoke({"run_id": "mine"})
    assert not world.calls
    assert (await graph.ainvoke({"run_id": "mine"}))["result"]["status"] == "completed"
    assert sorted(busy) == list("abcd")
    world.ledger.take_lease("mine").release()
    held = [n.type for n in world.ledger.notes("mine") if n.type.startswith("lease.")]
    assert held.count("lease.taken") == held.count("lease.released") >= 4


KEPT = [
    ("plan", ["step one", "step two"]), ("plan", None), ("usage", {"input_tokens": 5}),
    ("usage", 3), ("answers", ["a"]), ("outcomes", []), ("orders", "two"), ("spoken", "yes"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), KEPT)
async def test_a_hosts_keys_stay_as_they_are(world, key, value):
    schema = TypedDict("Keys", {"task": str, "output": str, key: Any}, total=False)
    app = one_node(schema, echo(world), InMemorySaver())
    out = await app.ainvoke({"task": "hi", key: value}, {"configurable": {"thread_id": "1"}})
    assert (out["output"], out[key]) == ("echo:hi", value)


async def test_nodes_side_by_side_do_not_write_what_they_read(world):
    class Fan(TypedDict, total=False):
        task: str
        output: Annotated[str, lambda a, b: f"{a}|{b}"]

    app = one_node(Fan, echo(world), None, "a", "b")
    assert (await app.ainvoke({"task": "hi"}))["output"] == "|echo:hi|echo:hi"


async def test_the_last_human_message_is_the_task_and_the_answer_a_message(world):
    app = one_node(MessagesState, echo(world), InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    out = await app.ainvoke(
        {"messages": [("user", "first"), ("ai", "what?"), ("user", "hi")]}, config
    )
    assert [m.content for m in out["messages"]] == ["first", "what?", "hi", "echo:hi"]
    assert out["messages"][-1].type == "ai"
    blocks = {"role": "user", "content": [{"type": "text", "text": "again"}, {"type": "image"}]}
    out = await app.ainvoke({"messages": [blocks]}, config)
    assert out["messages"][-1].content == "echo:again"
    assert len(out["messages"]) == 6


async def test_messages_of_a_host_that_names_its_task_stay_its_own(world):
    class Both(MessagesState, total=False):
        task: str
        output: str

    app = one_node(Both, echo(world))
    out = await app.ainvoke({"messages": [("user", "hi")], "task": "work"})
    assert (out["output"], [m.content for m in out["messages"]]) == ("echo:work", ["hi"])


async def test_messages_without_a_human_are_no_task(world):
    app = one_node(MessagesState, echo(world))
    with pytest.raises(UsageError, match="prompt is empty"):
        await app.ainvoke({"messages": [("ai", "hi")]})


APPROVE = """
tasks:
  - {id: pay, prompt: pay 7, skills: [s]}
  - {id: mail, prompt: mail 7, skills: [s]}
"""


@pytest.mark.parametrize("answer", [True, False])
async def test_one_approval_is_answered_with_yes_or_no(world, plan_of, answer):
    world.agent("careful", requires_approval=True)
    plan = plan_of("tasks: [{id: pay, prompt: pay 7, skills: [s]}]")
    app = host(world.executor().as_graph(plan), InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    await app.ainvoke({}, config)
    out = await app.ainvoke(Command(resume=answer), config)
    assert ("pay" in out["result"]["replies"]) is answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (True, "2 approvals wait, and the answer is True"),
        ("yes", "2 approvals wait"),
        ({"pay#1": "no"}, "'pay#1' is answered with 'no', not True or False"),
        ({"rent": True}, "nothing waits under the name 'rent'"),
    ],
)
async def test_an_answer_that_does_not_say_which_is_asked_for_again(world, plan_of, answer, says):
    world.agent("careful", requires_approval=True)
    world.agent("refiner", skills=("refine",))
    app = host(world.executor().as_graph(plan_of(APPROVE)), InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    await app.ainvoke({}, config)
    out = await app.ainvoke(Command(resume=answer), config)
    problem = out["__interrupt__"][0].value["problem"]
    assert says in problem
    assert "Command(resume={'pay#1': True, 'mail#1': True})" in problem
    assert world.calls == []
    out = await app.ainvoke(Command(resume={"pay#1": True, "mail": False}), config)
    assert set(out["result"]["replies"]) == {"pay"}
