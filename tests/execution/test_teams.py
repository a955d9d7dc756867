"""Several answers are one: of a team by vote or merge, of a foreach as a list by item."""

from __future__ import annotations

import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.choosing.depth import Fixed
from agentroute.config.paths import search_order
from agentroute.planning.graphfile import make_plan, parse_graph
from agentroute.refining.joining import by_item, join

ONE = "tasks: [{id: t, prompt: what is 20 + 3, skills: [s]}]\n"
MOODS = """
inputs: {texts: {type: list, default: [I love it, I hate it, it is a table, great, awful]}}
tasks:
  - {id: mood, foreach: "${inputs.texts}", prompt: "The mood of: ${item}", skills: [s]}
"""


def opened(tmp_path, registry, **options):
    return Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path, embedder="hashing", **options
    )


def team_of(world, **replies):
    for name, reply in replies.items():
        world.agent(name, reply=lambda call, r=reply: r)
    world.options = {"rules": {"depth": Fixed(len(replies))}}


def reply(text, **more):
    return AgentReply(text=text, **more)


# -- teams ---------------------------------------------------------------------------------------


async def test_a_team_with_the_shipped_refiner_answers_with_one_answer(tmp_path, monkeypatch):
    """The bundled calculator three deep said 'calculator:' before its number."""
    monkeypatch.chdir(tmp_path)  # where no document answers too
    registry = Registry(search_order("agents"))
    depth = {"name": "fixed", "k": 3}
    async with opened(tmp_path, registry, depth=depth) as orc:
        run = await orc.run(Task(prompt="What is 20 + 3?", skills=("answer",)))
    assert run.answer == "23"
    assert len(next(d for d in run.decisions if d.kind == "route").chosen) == 3


async def test_short_answers_are_voted_on_and_the_row_says_who_joined(world, plan_of):
    team_of(world, a=reply("23"), b=reply("The answer is 23."), c=reply("24"))
    world.agent("refiner", skills=("refine",), reply=lambda c: join(c.inputs))
    result = await world.run(plan_of(ONE))
    assert result.answer.startswith("23\n(67% of the weight; others said: 24)")
    route, refine = (d for d in result.decisions if d.kind in ("route", "refine"))
    assert (refine.task_id, refine.chosen, refine.propensity) == ("t", ("refiner",), 1.0)
    assert route.id in refine.reason
    assert {o.agent for o in world.ledger.outcomes(result.run_id)} == {"a", "b", "c", "refiner"}
    asked = world.calls[-1]
    assert set(asked.inputs) == {"a", "b", "c"}
    assert asked.params["prompts"] == dict.fromkeys("abc", "what is 20 + 3")
    assert result.status == "completed"
    team = result.results["t"].data["team"]
    assert {a: m["text"] for a, m in team.items()} == {
        "a": "23", "b": "The answer is 23.", "c": "24",
    }  # fmt: skip


async def test_long_answers_are_merged_with_their_conflicts(world, plan_of):
    words = "The bridge spans the river beside the old mill and was built of stone long ago. " * 2
    team_of(world, a=reply(words + "It is 9 m long."), b=reply(words + "It is 8 m long."))
    result = await world.run(plan_of(ONE))
    assert result.answer.startswith("Conflict: It is … m long")
    assert result.answer.count("The bridge spans") == 1


async def test_without_a_refiner_the_rules_join_and_nothing_is_degraded(world, plan_of):
    team_of(world, a=reply("23"), b=reply("23"))
    result = await world.run(plan_of(ONE))
    assert (result.answer, result.status) == ("23", "completed")


async def test_members_that_abstain_or_fail_are_left_out(world, plan_of):
    team_of(world, a=reply("42"), b=reply("I do not know", abstained=True))
    world.agent("refiner", skills=("refine",))
    result = await world.run(plan_of(ONE))
    assert result.answer == "42"  # one is left: nobody has to join
    assert [d for d in result.decisions if d.kind == "refine"] == []
    assert result.results["t"].status == "ok"


async def test_a_team_that_abstains_abstains(world, plan_of):
    silent = reply("no idea", abstained=True)
    team_of(world, a=silent, b=silent)
    result = await world.run(plan_of(ONE))
    assert result.status == "abstained"
    assert result.results["t"].status == "abstained"
    assert "no idea" in result.answer


async def test_a_refiner_that_fails_leaves_the_rules_and_it_is_said(world, plan_of):
    team_of(world, a=reply("23"), b=reply("23"), c=reply("9"))
    world.agent("refiner", skills=("refine",), fails=9)
    result = await world.run(plan_of(ONE))
    assert result.answer.startswith("23\n")
    assert result.status == "degraded"
    assert any("joined by rule" in line for line in result.degraded)


async def test_a_resumed_run_asks_nobody_again(world, plan_of):
    team_of(world, a=reply("23"), b=reply("24"))
    world.agent("refiner", skills=("refine",), reply="joined")
    first = await world.run(plan_of(ONE))
    calls = len(world.calls)
    again = await world.run(plan_of(ONE), run_id=first.run_id)
    assert (again.answer, len(world.calls)) == (first.answer, calls)


async def test_the_next_task_sees_one_reply(world, plan_of):
    team_of(world, a=reply("23"), b=reply("23"))
    world.agent("next", skills=("n",), reply=lambda c: c.inputs["t"].text)
    text = "tasks: [{id: t, prompt: p, skills: [s]}, {id: u, prompt: q, skills: [n], agent: next, "
    assert (await world.run(plan_of(text + "depends_on: [t]}]\n"))).answer == "23"


# -- foreach -------------------------------------------------------------------------------------


def mood(call):
    text = call.task.prompt
    good, bad = "love" in text or "great" in text, "hate" in text or "awful" in text
    return "positive" if good else "negative" if bad else "neutral"


@pytest.mark.parametrize("refiner", [True, False])
async def test_items_without_a_join_are_a_list_and_never_a_vote(world, plan_of, refiner):
    world.agent("one", reply=mood)
    if refiner:
        world.agent("refiner", skills=("refine",), reply=lambda c: join(c.inputs))
    result = await world.run(plan_of(MOODS))
    words = ["positive", "negative", "neutral", "positive", "negative"]
    assert [row["text"] for row in result.data] == words
    assert result.data[1] == {
        "task": "mood[1]", "prompt": "The mood of: I hate it", "text": "negative", "data": None,
    }  # fmt: skip
    assert result.answer.splitlines()[0] == "- The mood of: I love it: positive"
    assert "weight" not in result.answer
    assert result.status == "completed"
    (row,) = [d for d in result.decisions if d.kind == "refine"]
    assert (row.policy, row.chosen) == ("rule", ())


async def test_an_item_without_an_answer_stands_in_its_place(world, plan_of):
    def fussy(call):
        if "hate" in call.task.prompt:
            raise ValueError("no")
        return mood(call)

    world.agent("one", reply=fussy)
    result = await world.run(plan_of(MOODS))
    assert [row["text"] for row in result.data][:3] == ["positive", None, "neutral"]
    assert "- The mood of: I hate it: no answer" in result.answer
    assert result.status == "degraded"


async def test_a_graph_that_names_its_refiner_gets_it(world, plan_of):
    world.agent("one", reply=mood)
    world.agent("mine", skills=("refine",), reply=lambda c: join(c.inputs, strategy="vote"))
    result = await world.run(plan_of(MOODS + "refine: mine\n"))
    assert result.answer.startswith("positive")
    assert [d.chosen for d in result.decisions if d.kind == "refine"] == [("mine",)]


async def test_the_shipped_refiner_lists_what_was_asked_differently(tmp_path):
    registry = Registry(search_order("agents"))

    @registry.agent(skills=["s"])
    async def one(call):
        """Says the mood."""
        return mood(call)

    plan = make_plan(parse_graph(MOODS + "refine: refiner\n"))
    async with opened(tmp_path, registry) as orc:
        run = await orc.run(plan)
    assert [row["text"] for row in run.data][:3] == ["positive", "negative", "neutral"]
    assert [d.chosen for d in run.decisions if d.kind == "refine"] == [("refiner",)]


# -- the rules -----------------------------------------------------------------------------------


def test_one_question_is_voted_on_and_several_are_not():
    three = {"a": reply("yes"), "b": reply("no"), "c": reply("yes")}
    same = dict.fromkeys(three, "is it?")
    assert join(three).data["answer"] == join(three, prompts=same).data["answer"] == "yes"
    other = {**same, "c": "is it not?"}
    assert [r["text"] for r in join(three, prompts=other).data] == ["yes", "no", "yes"]
    assert join(three, prompts=other, strategy="vote").data["answer"] == "yes"  # by request


def test_a_list_keeps_order_files_and_citations_and_the_least_confidence():
    a, b = reply("x", confidence=0.9), reply("y\nz", confidence=0.2)
    made = by_item({"i[1]": b, "i[0]": a}, {"i[0]": "p", "i[1]": "q" * 200})
    assert [r["task"] for r in made.data] == ["i[0]", "i[1]"]
    assert made.text.startswith("- p: x\n- " + "q" * 119 + "…:\n  y\n  z")
    assert made.confidence == 0.2


# -- what a caller gets --------------------------------------------------------------------------


async def test_each_tasks_result_is_public(world, plan_of):
    world.agent("one", reply=lambda c: reply(c.task.id, data={"n": 3}))
    world.agent("bad", skills=("b",), fails=9)
    text = """
tasks:
  - {id: a, prompt: p, skills: [s]}
  - {id: b, prompt: q, skills: [b]}
  - {id: c, prompt: r, skills: [s], depends_on: [b]}
"""
    result = await world.run(plan_of(text))
    a, b, c = (result.results[v] for v in "abc")
    assert (a.status, a.agent, a.text, a.data["n"], a.artifacts) == ("ok", "one", "a", 3, ())
    assert (b.status, b.agent, b.text, b.tried) == ("failed", "", "", ("bad",))
    assert "bad is broken" in b.said[0]
    assert (c.status, c.tried) == ("skipped", ())
    again = type(result).model_validate_json(result.model_dump_json())
    assert again.results == result.results


async def test_a_dry_run_asks_as_many_as_a_run_would(tmp_path):
    registry = Registry()
    for name in "abcd":
        registry.agent(name=name, skills=["s"])(lambda call: "x")
    async with opened(tmp_path, registry, depth={"name": "fixed", "k": 3}) as orc:
        found = await orc.route("p", skills=["s"])
        run = await orc.run(Task(prompt="p", skills=("s",)))
        assert len(found.chosen) == 3 == len(run.results["task"].data["team"])
        assert "always 3 agents" in found.reason
        assert len((await orc.route("p", skills=["s"], k=1)).chosen) == 1
