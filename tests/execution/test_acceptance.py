"""An answer verified below ``accept_at`` is tried once more, and says so where it stays below."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentroute.execution.progress import RunLimits

CHAIN = """
tasks:
  - {id: load, prompt: load, skills: [load]}
  - {id: work, prompt: work, skills: [s], depends_on: [load]}
  - {id: side, prompt: side, skills: [load], depends_on: [load]}
  - {id: report, prompt: report, skills: [load], depends_on: [work, side]}
verifier: check
topology: %s
"""


def check(marks, task="work"):
    """A verifier that marks the agent's name in the reply of one task."""

    def reply(call):
        score = marks[call.inputs[task].text.partition("(")[0]]
        return {"data": {"scores": [{"task_id": task, "score": score, "method": "by name"}]}}

    return reply


def team(world, marks, **card):
    world.agent("loader", skills=("load",), reply=lambda c: told(c))
    for name in marks:
        world.agent(name, **card)
    world.agent("check", skills=("verify",), reply=check(marks))


def told(call):
    return f"loader({call.task.id}) of " + "+".join(r.text for r in call.inputs.values())


def routes(result):
    return [(d.task_id, d.attempt, d.chosen) for d in result.decisions if d.kind == "route"]


@pytest.mark.parametrize("shape", ["hybrid", "sequential", "parallel", "hierarchical"])
async def test_low_work_goes_once_to_a_rival_and_what_used_it_is_done_again(world, plan_of, shape):
    team(world, {"bad": 0.2, "good": 0.9})
    world.router.script["work"] = "bad"
    result = await world.run(plan_of(CHAIN % shape))
    assert (result.status, result.degraded) == ("completed", ())
    assert "good(work)" in result.answer
    assert "bad" not in result.answer
    assert result.verdict.accepted
    assert result.verdict.tasks == {"work": 0.9}
    made = [r for r in routes(result) if r[1] == 2]
    again = {"work": ("good",), "report": ("loader",)}
    if shape == "sequential":  # everything later heard it
        order = plan_of(CHAIN % shape).graph().order
        again = {v: again.get(v, ("loader",)) for v in order[order.index("work") :]}
    assert {v: chosen for v, _, chosen in made} == again
    decision = next(d for d in result.decisions if (d.task_id, d.attempt) == ("work", 2))
    assert decision.policy == "scripted"
    assert "verified at 0.20, below 0.50" in decision.reason
    assert [(r["agent"], r["score"]) for r in result.scores] == [("bad", 0.2), ("good", 0.9)]
    learned = {(f.agent, f.score) for f in world.ledger.feedback(result.run_id)}
    assert learned == {("bad", 0.2), ("good", 0.9)}


@pytest.mark.parametrize(
    ("marks", "kept"),
    [({"bad": 0.2, "worse": 0.1}, "bad"), ({"bad": 0.2, "middling": 0.4}, "middling"),
     ({"bad": 0.2}, "bad")],
)  # fmt: skip
async def test_what_stays_low_is_the_better_of_two_and_says_so_first(world, plan_of, marks, kept):
    team(world, marks)
    world.router.script["work"] = "bad"
    result = await world.run(plan_of(CHAIN % "hybrid"))
    assert result.status == "degraded"
    assert f"{kept}(work)" in result.answer
    assert result.answer.startswith(result.verdict.words + "\n\n")
    assert result.degraded[0] == result.verdict.words
    assert result.verdict.words == (
        f"NOT ACCEPTED: the answer is below 0.50: 'work' {marks[kept]:.2f} by check (by name)"
    )
    assert len([r for r in routes(result) if r[0] == "work"]) == len(marks)


async def test_at_the_limit_is_accepted_and_zero_asks_nothing(world, plan_of):
    team(world, {"bad": 0.2})
    for limit, accepted in ((0.2, True), (0.0, True), (0.21, False)):
        text = CHAIN % "hybrid" + f"accept_at: {limit}\n"
        assert (await world.run(plan_of(text))).verdict.accepted is accepted


async def test_a_pinned_task_is_given_to_nobody_else(world, plan_of):
    team(world, {"bad": 0.2, "good": 0.9})
    text = (CHAIN % "hybrid").replace("skills: [s]", "skills: [s], agent: bad")
    result = await world.run(plan_of(text))
    assert result.status == "degraded"
    assert [r for r in routes(result) if r[1] > 1] == []


async def test_nobody_is_called_beyond_the_budget(world, plan_of):
    def dear(call):
        return {"text": f"bad({call.task.id})", "usage": {"cost_usd": 1.0}}

    team(world, {"bad": 0.2, "good": 0.9}, pricing={"expected_usd": 1.0}, reply=dear)
    world.router.script["work"] = "bad"
    result = await world.run(plan_of(CHAIN % "hybrid"), bounds=RunLimits(usd=1.5))
    assert result.status == "degraded"
    assert [c.task.id for c in world.calls].count("work") == 1


async def test_what_follows_and_needs_a_human_is_not_done_twice(world, plan_of):
    team(world, {"bad": 0.2, "good": 0.9})
    world.agent("sender", skills=("send",), requires_approval=True)
    text = (CHAIN % "hybrid").replace("report, skills: [load]", "report, skills: [send]")
    world.router.script["work"] = "bad"
    waiting = await world.run(plan_of(text), run_id="r")
    assert waiting.status == "waiting"
    result = await world.run(plan_of(text), run_id="r", approvals={"report": True})
    assert result.status == "degraded"
    assert [c.task.id for c in world.calls].count("report") == 1


async def test_a_rival_that_needs_approval_is_not_asked(world, plan_of):
    team(world, {"bad": 0.2})
    world.agent("guarded", requires_approval=True)
    world.router.script["work"] = "bad"
    result = await world.run(plan_of(CHAIN % "hybrid"))
    assert result.status == "degraded"
    assert "guarded" not in {a for r in routes(result) for a in r[2]}


async def test_where_what_follows_fails_the_first_answer_stands(world, plan_of):
    team(world, {"bad": 0.2, "good": 0.9})
    world.router.script["work"] = "bad"
    made = []

    async def once(call):
        made.append(call.call_id)
        if len(made) > 1:
            raise ValueError("twice is once too often")
        return told(call)

    world.registry.agent(name="once", description="d", skills=["end"])(once)
    text = (CHAIN % "hybrid").replace("report, skills: [load]", "report, skills: [end]")
    result = await world.run(plan_of(text))
    assert result.status == "degraded"
    assert "bad(work)" in result.answer
    assert result.verdict.score == 0.2


async def test_several_verifiers_the_lowest_counts_and_of_a_team_the_best(world, plan_of):
    team(world, {"bad": 0.2, "good": 0.9})
    marks = [{"task_id": "work", "score": s, "agent": a} for a, s in (("bad", 0), ("good", 1))]
    world.agent("members", skills=("verify",), reply={"data": {"scores": marks}})
    world.agent("strict", skills=("verify",), reply={
        "data": {"scores": [{"task_id": "side", "score": 0.7}]}
    })  # fmt: skip
    text = (CHAIN % "hybrid").replace("verifier: check", "verifier: [members, strict]")
    result = await world.run(plan_of(text + "depth: {name: fixed, k: 2}\n"))
    assert result.verdict.tasks == {"work": 1.0, "side": 0.7}
    assert result.verdict.score == 0.7


async def test_a_resumed_run_decides_and_calls_nothing_anew(world, plan_of):
    team(world, {"bad": 0.2, "worse": 0.1, "good": 0.9})
    world.router.script["work"] = "bad"
    text = CHAIN % "hybrid"
    first = await world.run(plan_of(text), run_id="r")
    before = len(world.calls), world.ledger.head()[0]
    second = await world.run(plan_of(text), run_id="r")
    assert (len(world.calls), second.answer) == (before[0], first.answer)
    assert [d.id for d in second.decisions] == [d.id for d in first.decisions]
    assert second.verdict == first.verdict


async def test_one_agent_used_twice_as_a_verifier_is_asked_twice(world, plan_of):
    team(world, {"bad": 0.6})
    text = (CHAIN % "hybrid").replace("verifier: check", "verifier: [check, check]")
    await world.run(plan_of(text))
    assert [c.task.id for c in world.calls].count("verify") == 2


PAGE = "<!doctype html><html><head><title>x</title></head><body class=a><h1>R</h1></body></html>"


@pytest.mark.parametrize(("mark", "low"), [(0.2, True), (0.9, False)])
async def test_the_files_of_the_answer_say_what_it_is_worth(world, plan_of, mark, low):
    async def writer(call):
        files = {"r.html": PAGE, "r.md": "# R\n", "r.csv": "a,b\n"}
        for name, text in files.items():
            (call.workdir / name).write_text(text)
        return {"text": "t", "artifacts": [{"name": n, "path": n} for n in files]}

    world.registry.agent(name="writer", description="d", skills=["w"])(writer)
    rows = [{"task_id": "a", "score": mark, "method": "<b>counted</b>"}]
    world.agent("check", skills=("verify",), reply={"data": {"scores": rows}})
    result = await world.run(plan_of("tasks: [{id: a, prompt: p, skills: [w]}]\nverifier: check\n"))
    text = {a.name: Path(a.path).read_text() for a in result.artifacts}
    _, _, rest = text["r.html"].partition("<body class=a>")
    assert rest.lstrip().startswith('<div role="alert"' if low else '<div role="note"')
    assert f"{mark:.2f} by check (&lt;b&gt;counted&lt;/b&gt;)" in rest
    assert "<b>" not in rest
    assert rest.endswith("<h1>R</h1></body></html>")
    assert text["r.md"] == (f"{result.verdict.words}\n\n# R\n" if low else "# R\n")
    assert text["r.csv"] == "a,b\n"
