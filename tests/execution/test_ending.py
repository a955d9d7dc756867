"""How runs end: joined, verified, failed by a rule, with the files that stay."""

from __future__ import annotations

import pytest

from agentroute.model.plans import AgentUse
from agentroute.planning.graphfile import plan_of_text

FAN = """
tasks:
  - {id: a, prompt: one, skills: [s]}
  - {id: b, prompt: two, skills: [s]}
"""


def scores(*rows):
    return lambda call: {"data": {"scores": list(rows)}}


async def test_without_a_refiner_the_rules_join_and_the_row_says_so(world, plan_of):
    world.agent("one")
    result = await world.run(plan_of(FAN))
    assert result.answer == "- one: one(a)\n- two: one(b)"
    assert result.status == "completed"
    (row,) = [d for d in result.decisions if d.kind == "refine"]
    assert "no agent is called 'refiner'" in row.reason


async def test_a_refiner_that_the_settings_name_and_nobody_has_is_said(world, plan_of):
    world.agent("one")
    world.executor(refine=AgentUse(name="gone"))
    result = await world.run(plan_of(FAN))
    assert result.answer == "[a]\none(a)\n\n[b]\none(b)"
    assert "listed, not joined" in result.degraded[0]


async def test_a_broken_refiner_degrades_and_its_tries_are_rows(world, plan_of):
    world.agent("one")
    world.agent("refiner", skills=("refine",), fails=9)
    result = await world.run(plan_of(FAN))
    rows = [d for d in result.decisions if d.kind == "refine"]
    assert [(d.attempt, d.policy, d.propensity) for d in rows] == [
        (1, "named", 1.0), (2, "retry", 1.0),
    ]  # fmt: skip
    assert "[a]\none(a)" in result.answer
    assert result.status == "degraded"


async def test_the_refiner_is_told_who_answered_and_what_is_missing(world, plan_of):
    world.agent("one")
    world.agent("bad", skills=("b",), fails=9)
    world.agent("joiner", skills=("refine",))
    text = FAN + "  - {id: c, prompt: three, skills: [b]}\nrefine: {name: joiner, tone: dry}\n"
    await world.run(plan_of(text))
    params = world.calls[-1].params
    assert params["tone"] == "dry"
    assert params["missing"] == ["c"]
    assert params["agents"] == {"a": ["one"], "b": ["one"], "c": []}


async def test_scores_become_feedback_on_the_last_route_decision(world, plan_of):
    world.agent("one", fails=1)
    world.agent("two", skills=("s",))
    rows = ({"task_id": "a", "score": 0.25, "method": "counted"}, {"task_id": "b", "score": 1})
    world.agent("check", skills=("verify",), reply=scores(*rows))
    world.agent("refiner", skills=("refine",))
    plan = plan_of(FAN + "verifier: check\naccept_at: 0.2\n")
    result = await world.run(plan)
    said = {f.target_id: f for f in world.ledger.feedback(result.run_id)}
    last = {d.task_id: d for d in result.decisions if d.kind == "route"}
    assert said[last["a"].id].score == 0.25
    assert said[last["a"].id].method == "counted"
    assert said[last["a"].id].source == "verifier:check"
    assert said[last["a"].id].agent == last["a"].chosen[0]
    assert [r["task_id"] for r in result.scores] == ["a", "b"]
    (verify,) = [d for d in result.decisions if d.kind == "verify"]
    assert verify.propensity == 1.0
    assert said[last["b"].id].derived_from == verify.id
    again = await world.run(
        plan_of(FAN + "verifier: check\naccept_at: 0.2\n"), run_id=result.run_id
    )
    assert len(world.ledger.feedback(result.run_id)) == 2
    assert again.status == result.status


async def test_no_verify_skips_the_verifier(world, plan_of):
    world.agent("one")
    world.agent("check", skills=("verify",))
    text = "tasks: [{id: a, prompt: p, skills: [s]}]\nverifier: check\n"
    result = await world.run(plan_of(text), verify=False)
    assert (result.status, len(world.calls)) == ("completed", 1)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"task_id": "a", "score": 1.5}, "from 0 to 1"),
        ({"task_id": "a", "score": float("nan")}, "not JSON|from 0 to 1|None"),
        ({"task_id": "zz", "score": 1}, "no decision for task 'zz'"),
        ({"task_id": "a", "score": 1, "agent": "check"}, "itself"),
        ({"task_id": "a", "score": 1, "agent": "stranger"}, "did not do"),
        ("good", "from 0 to 1"),
    ],
)
async def test_scores_that_cannot_be_used_are_said(world, plan_of, row, said):
    world.agent("one")
    world.agent("check", skills=("verify",), reply=scores(row))
    text = "tasks: [{id: a, prompt: p, skills: [s]}]\nverifier: check\n"
    result = await world.run(plan_of(text))
    assert result.status == "degraded"
    assert any(__import__("re").search(said, line) for line in result.degraded)
    assert world.ledger.feedback(result.run_id) == []


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ("{field: n.high, above: 2}", "failed"),
        ("{field: n.high, above: 3}", "completed"),
        ("{field: n.high, at_least: 3}", "failed"),
        ("{field: n.list, at_most: 2}", "failed"),
        ("{field: n.nothing, above: 2}", "failed"),
    ],
)
async def test_fail_when(world, plan_of, rule, status):
    world.agent("one", reply={"text": "t", "data": {"n": {"high": 3, "list": [1, 2]}}})
    result = await world.run(plan_of(f"tasks: [{{id: a, prompt: p}}]\nfail_when: {rule}\n"))
    assert (result.status, result.answer) == (status, "t")


async def test_files_of_the_answer_come_first_and_a_missing_one_is_said(world, plan_of):
    async def writer(call):
        (call.workdir / f"{call.task.id}.txt").write_text("x")
        file = {"name": f"{call.task.id}.txt", "path": f"{call.task.id}.txt"}
        return {"text": "t", "artifacts": [file]}

    world.registry.agent(name="one", description="d", skills=["s"])(writer)
    text = "tasks: [{id: a, prompt: p}, {id: b, prompt: p, depends_on: [a]}]\nartifact: %s\n"
    result = await world.run(plan_of(text % "b.txt"))
    assert [a.name for a in result.artifacts] == ["b.txt", "a.txt"]
    assert result.status == "completed"
    result = await world.run(plan_of(text % "c.txt"))
    assert result.degraded == ("the artefact 'c.txt' was not made",)


async def test_an_agent_that_abstains_ends_the_run_abstained(world):
    world.agent("one", reply={"text": "I do not know", "abstained": True})
    result = await world.run(plan_of_text("x"))
    assert (result.status, result.answer) == ("abstained", "I do not know")
