"""Answers become one, through the front door: the four cases, weights, the primary, learned."""

from __future__ import annotations

import json
import re

import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.cli.app import run as cli
from agentroute.config.paths import search_order
from agentroute.errors import ConfigError
from agentroute.execution.history import stored_reply
from agentroute.learning.aggregators import keep_winners
from agentroute.model.calls import Citation
from agentroute.model.plans import AgentUse
from agentroute.planning.graphfile import make_plan, parse_graph
from agentroute.refining.joining import join

ASK = Task(prompt="How long is the bridge?", skills=("s",))
OLD = "The bridge spans the river beside the old mill and was built of stone in a hard winter, all"


def opened(tmp_path, answers, *, shipped=True, **options):
    registry = Registry(search_order("agents")) if shipped else Registry()
    seen = {}
    for name, said in answers.items():

        @registry.agent(name=name, skills=["s"])
        async def member(call, name=name, said=said):
            """Says one thing."""
            seen.setdefault(name, []).append(call)
            if isinstance(said, Exception):
                raise said
            return said(call) if callable(said) else said

    options.setdefault("depth", {"name": "fixed", "k": len(answers)})
    orc = Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path / "out", embedder="hashing",
        state=tmp_path / "state", **options,
    )  # fmt: skip
    orc.seen = seen
    return orc


def said(text, **more):
    return AgentReply(text=text, **more)


# -- the four cases ------------------------------------------------------------------------------


@pytest.mark.checklist("TC6")
async def test_what_several_say_is_said_once_and_all_of_it(tmp_path):
    a = said(f"{OLD}. It carries the trains of two lines.", citations=(Citation(source="a.md"),))
    b = said(f"{OLD} indeed. It is painted green all over.", citations=(Citation(source="b.md"),))
    async with opened(tmp_path, {"a": a, "b": b}, router=Sure()) as orc:
        run = await orc.run(ASK)
    assert run.answer == (
        f"{OLD}. [a, b]\nIt carries the trains of two lines. [a]\nIt is painted green all over. [b]"
    )  # fmt: skip
    assert {c.source for c in run.replies["task"].citations} == {"a.md", "b.md"}
    assert run.status == "completed"


@pytest.mark.checklist("TC6")
async def test_a_conflict_is_stated_and_not_decided(tmp_path):
    pad = "It was a long day at the river, and much was noted down in the book of the mill. " * 2
    a = said(f"{pad}\nColour: red\nThe bridge is 9 m long. The bridge is open.")
    b = said(f"{pad}\nColour: blue\nThe bridge is 8 m long. The bridge is not open.")
    async with opened(tmp_path, {"a": a, "b": b}, router=Sure()) as orc:
        run = await orc.run(ASK)
    assert run.answer.splitlines()[:3] == [
        "Conflict: Colour: red (a); blue (b)",
        "Conflict: The bridge is … m long: 9 (a); 8 (b)",
        "Conflict: The bridge is open: yes (a); no (b)",
    ]


@pytest.mark.checklist("TC6")
@pytest.mark.parametrize("silent", [True, False])
async def test_where_nobody_can_answer_it_is_refused(tmp_path, silent):
    no = said("I do not know", abstained=True) if silent else ValueError("no")
    async with opened(tmp_path, {"a": no, "b": no}) as orc:
        run = await orc.run(ASK)
    assert run.status == ("abstained" if silent else "failed")
    assert run.answer.startswith("Nobody could answer." if silent else "No answer: every step")
    assert {"a", "b"} <= set(re.findall(r"\b[ab]\b", run.answer))
    assert "refine" not in [d.kind for d in run.decisions]


@pytest.mark.checklist("TC6")
async def test_one_answer_is_passed_on_as_it_is(tmp_path):
    async with opened(tmp_path, {"a": said("9 m")}) as orc:
        run = await orc.run(ASK)
    assert run.answer == "9 m"
    assert "refine" not in [d.kind for d in run.decisions]


# -- weights, the primary, who was measured best ---------------------------------------------------


class Sure:
    """a is worth 0.9, everybody else 0.4."""

    name = "sure"

    def __init__(self):
        from agentroute.model.scores import Taxonomy

        self.taxonomy = Taxonomy("before", ("task",), "rules")

    async def score(self, request):
        import numpy as np

        from agentroute.model.scores import Scores

        mean = np.where(request.candidates.names == "a", 0.9, 0.4)
        return Scores(mean, np.zeros(len(mean)), {"sure": mean})

    def update(self, observation):
        """Learns nothing."""

    def state_dict(self):
        from agentroute.choosing.state import StateDict

        return StateDict(self.name, 1, {}, {})

    load_state_dict = update


@pytest.mark.checklist("AR5")
@pytest.mark.parametrize(("weights", "answer"), [("routing", "9"), ("equal", "8")])
async def test_a_vote_is_weighed_by_what_the_router_expected(tmp_path, weights, answer):
    refine = {"name": "refiner", "strategy": "vote", "weights": weights}
    answers = {"a": said("9"), "b": said("8"), "c": said("8")}
    if weights == "routing":
        answers["c"] = said("7")
    async with opened(tmp_path, answers, refine=refine, router=Sure()) as orc:
        run = await orc.run(ASK)
    assert run.data["answer"] == answer


async def test_the_primary_writes_and_its_peers_send_notes(tmp_path):
    def primary(call):
        if not call.inputs:
            return said("draft")
        return said(" | ".join(f"{who}: {r.text}" for who, r in sorted(call.inputs.items())))

    answers = {"a": primary, "b": said("note", citations=(Citation(source="b.md"),))}
    async with opened(tmp_path, answers, refine="primary", router=Sure()) as orc:
        run = await orc.run(ASK)
        assert "your peers' notes" in orc.seen["a"][1].task.prompt
    assert run.answer == "a: draft | b: note"
    (row,) = [d for d in run.decisions if d.kind == "refine"]
    assert row.chosen == ("a",)
    assert "the primary writes" in row.reason
    assert run.replies["task"].citations[0].source == "b.md"


async def test_the_winner_for_a_kind_of_task_joins_it(tmp_path):
    winners = {
        "topic=sums": AgentUse(name="refiner", params={"strategy": "median"}),
        "": AgentUse(name="refiner", params={"strategy": "vote", "weights": "equal"}),
    }
    answers = {"a": said("1"), "b": said("5"), "c": said("9")}
    sums = Task(prompt="p", skills=("s",), features={"topic": "sums"})
    async with opened(tmp_path, answers, refine="learned") as orc:
        before = await orc.run(sums)
        keep_winners(tmp_path / "state", winners)
        after = await orc.run(sums)
    why = [d.reason for run in (before, after) for d in run.decisions if d.kind == "refine"]
    assert "no aggregator was measured" in why[0]
    assert "won for 'topic=sums'" in why[1]
    assert after.data["answer"] == "5"


async def test_a_graph_that_names_a_refiner_has_a_single_answer_refined(tmp_path):
    graph = "tasks: [{id: t, prompt: p, skills: [s]}]\nrefine: loud\n"
    async with opened(tmp_path, {"a": said("hi", citations=(Citation(source="x"),))}) as orc:

        @orc.registry.agent(name="loud", skills=["refine"])
        async def loud(call):
            """Joins loudly."""
            return call.inputs["t"].text.upper()

        run = await orc.run(make_plan(parse_graph(graph)))
    assert run.answer == "HI"
    assert run.replies["t"].text == "hi"


# -- every way to name who joins -------------------------------------------------------------------

VOTE = {"name": "refiner", "strategy": "vote", "weights": "routing"}
THREE = {"a": said("9"), "b": said("8"), "c": said("8")}


@pytest.mark.checklist("AR5")
@pytest.mark.parametrize("way", ["setting", "graph", "option"])
async def test_who_joins_is_named_by_setting_graph_or_run(tmp_path, way):
    only = {**VOTE, "top": 1}
    setting = {"refine": only} if way == "setting" else {}
    option = {"refine": only} if way == "option" else {}
    work = ASK
    if way == "graph":
        work = tmp_path / "vote.yaml"
        work.write_text(
            "name: vote\ntasks: [{id: task, prompt: How long?, skills: [s]}]\n"
            "refine: {name: refiner, strategy: vote, weights: routing, top: 1}\n"
        )
    async with opened(tmp_path, THREE, router=Sure(), **setting) as orc:
        run = await orc.run(work if work is ASK else str(work), **option)
        other = await orc.run(ASK, refine={**VOTE, "top": 3, "weights": "equal"})
    assert (run.answer, run.status) == ("9", "completed")
    assert other.data["answer"] == "8"


@pytest.mark.checklist("AR5")
@pytest.mark.parametrize(("top", "answer"), [(1, "9"), (2, "9"), (3, "8")])
async def test_a_vote_among_the_k_that_the_router_values_most(tmp_path, top, answer):
    weights = {"weights": "equal"} if top == 3 else {}
    async with opened(tmp_path, THREE, router=Sure()) as orc:
        run = await orc.run(ASK, refine={**VOTE, "top": top, **weights})
    assert run.replies["task"].text.splitlines()[0] == answer


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strategy": "votes"}, "did you mean 'vote'"),
        ({"weights": "route"}, "did you mean 'routing'"),
        ({"top": 0}, "whole number"),
    ],
)
@pytest.mark.parametrize("way", ["setting", "graph", "option"])
async def test_rules_that_are_not_there_are_refused_before_anybody_is_called(
    tmp_path, wrong, words, way
):
    use = {"name": "refiner", **wrong}
    path = tmp_path / "g.yaml"
    path.write_text(json.dumps({"name": "g", "tasks": [{"id": "t", "prompt": "p"}], "refine": use}))

    async def go():
        setting = {"refine": use} if way == "setting" else {}
        async with opened(tmp_path, THREE, **setting) as orc:
            option = {"refine": use} if way == "option" else {}
            await orc.run(str(path) if way == "graph" else ASK, **option)

    with pytest.raises(ConfigError) as e:
        await go()
    assert words in f"{e.value} {e.value.hint}"
    assert e.value.field.startswith("refine.")


def test_the_command_line_names_who_joins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    for name, text in (("one", "9"), ("two", "8"), ("loud", None)):
        skill = "refine" if text is None else "length"
        (tmp_path / f"agents/{name}.yaml").write_text(
            f"name: {name}\ndescription: says a length\nskills: [{skill}]\n"
            f"entrypoint: {name}.py:agent\n"
        )
        body = f"return {text!r}" if text else (
            "return ' and '.join(sorted(r.text for r in call.inputs.values()))"
        )  # fmt: skip
        (tmp_path / f"agents/{name}.py").write_text(f"def agent(call):\n    {body}\n")
    (tmp_path / "g.yaml").write_text(
        "name: g\ntasks: [{id: a, prompt: p, agent: one}, {id: b, prompt: p, agent: two}]\n"
    )
    assert cli(["run", "g.yaml", "--refine", "loud", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == "8 and 9"
    assert cli(["run", "g.yaml", "--refine", "{name: refiner, strategy: central}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["answer"] in ("8", "9")
    assert cli(["run", "g.yaml", "--refine", "loudly"]) == 2
    assert "loud" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["primary", "learned"])
async def test_a_graph_may_say_primary_or_learned(tmp_path, word):
    path = tmp_path / "g.yaml"
    path.write_text(
        f"name: g\ntasks: [{{id: task, prompt: How long?, skills: [s]}}]\nrefine: {word}\n"
    )
    async with opened(tmp_path, THREE) as orc:
        run = await orc.run(str(path))
    (row,) = [d for d in run.decisions if d.kind == "refine"]
    assert run.status == "completed"
    assert ("primary writes" if word == "primary" else "no aggregator was measured") in row.reason


async def test_a_join_is_made_again_from_what_is_recorded(tmp_path):
    async with opened(tmp_path, THREE, refine=VOTE, router=Sure()) as orc:
        run = await orc.run(ASK)
        again = await orc.run(None, resume=run.run_id)
        assert all(len(calls) == 1 for calls in orc.seen.values())
        (row,) = [d for d in run.decisions if d.kind == "refine"]
        context = orc.ledger.record(row.id).context
        kept = {o.agent: stored_reply(orc.ledger, o.reply) for o in orc.ledger.outcomes(run.run_id)}
    assert row.propensity == 1.0
    assert context["params"]["routing"] == {"a": 0.9, "b": 0.4, "c": 0.4}
    params = {k: v for k, v in context["params"].items() if k != "agents"}
    joined = join({a: kept[a] for a in context["inputs"]}, **params)
    assert joined.text == run.answer == again.answer


# -- who joins best ------------------------------------------------------------------------------


@pytest.mark.checklist("SM6")
def test_the_benchmark_ranks_aggregators_and_keeps_the_winner(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = []
    for i in range(6):
        wrong = [{"text": str(100 + i), "right": False, "confidence": 0.2}]
        wrong += [{"text": str(i), "right": False, "confidence": 0.3}]
        right = {"text": str(50 + i), "right": True, "confidence": 0.1}
        rows.append({"kind": "topic=sums", "prompt": f"n {i}?", "answers": [right, *wrong]})
        calm = [{**w, "confidence": 0.1} for w in wrong]
        word = {"text": "abcdef"[i] * 3, "right": True, "confidence": 0.9}
        rows.append({"kind": "topic=words", "prompt": f"w {i}?", "answers": [word, *calm]})
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert cli(["bench", "aggregators", "items.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    best = {}
    for r in found["ranks"]:
        best.setdefault(r["kind"], (r["use"]["params"]["strategy"], r["accuracy"], r["items"]))
    assert best["topic=sums"] == ("median", 1.0, 6)
    assert best["topic=words"] == ("vote", 1.0, 6)
    kept = json.loads((tmp_path / "agentroute-state/aggregators.json").read_text())
    assert kept["winners"]["topic=sums"]["strategy"] == "median"
    assert cli(["bench", "aggregators", "items.jsonl"]) == 0
    assert "refine: learned" in capsys.readouterr().out


@pytest.mark.checklist("SM6")
async def test_an_agent_that_joins_is_measured_by_calling_it(tmp_path):
    from agentroute.bench.teams.aggregators import rank_aggregators, read_items, winners_of

    answers = [
        {"text": "the right one", "right": True}, {"text": "b", "right": False},
        {"text": "c", "right": False},
    ]  # fmt: skip
    path = tmp_path / "items.jsonl"
    rows = [{"prompt": f"q{i}", "answers": answers} for i in range(3)]
    path.write_text("\n".join(map(json.dumps, rows)))
    registry = Registry()

    @registry.agent(name="wise", skills=["refine"])
    async def wise(call):
        """Joins: the longest answer."""
        return max((r.text for r in call.inputs.values()), key=len)

    ranks = await rank_aggregators(read_items(path), agents=["wise"], registry=registry)
    assert (ranks[0].use.name, ranks[0].accuracy) == ("wise", 1.0)
    assert winners_of(ranks) == {"": AgentUse(name="wise")}


async def test_items_come_from_what_was_scored(tmp_path):
    from agentroute.bench.teams.aggregators import items_of

    answers = {"a": said("9"), "b": said("8"), "c": said("7")}
    async with opened(tmp_path, answers, router=Sure()) as orc:
        run = await orc.run(ASK)
        route = next(d for d in run.decisions if d.kind == "route")
        for agent, score in (("a", 1.0), ("b", 0.0), ("c", 0.1)):
            await orc.feedback(route.id, score=score, agent=agent)
        (item,) = items_of(orc.ledger)
    assert item.replies[item.right].text == "9"
    assert item.routing[item.right] == 0.9
