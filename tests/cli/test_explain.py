"""``explain``, on runs that were made through the front door."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from agentroute import Objective, Orchestrator, Registry, Task
from agentroute.cli.app import app
from agentroute.errors import UsageError

RUNS = 30
PROMPTS = ("Refund order {}",)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('explain')}/a.db"


def registry():
    registry = Registry()
    for name, cost in (("billing", 0.002), ("helpdesk", 0.001), ("shop", 0.004)):

        @registry.agent(name=name, skills=["refunds"], cost_usd=cost, latency_s=0.1)
        async def clerk(call):
            """Refunds orders."""
            return "done"

    @registry.agent(skills=["mail"])
    async def writer(call):
        """Writes mails."""
        return "Dear customer"

    return registry


def asked(prompt, **more):
    return Task(prompt=prompt, features={"kind": "refund"}, skills=("refunds",), **more)


@pytest.fixture(scope="module")
def taught(url, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")

    async def go():
        async with Orchestrator(registry(), ledger=url, out=out) as orc:
            for i in range(RUNS):
                task = asked(PROMPTS[0].format(i))
                run = await orc.run(task, run_id=f"r{i}", seed=i)
                who = run.decisions[-1].chosen[0]
                await orc.feedback(run.run_id, score=0.9 if who == "billing" else 0.2)
            last = await orc.run(
                [asked("Refund order 99", id="refund"),
                 Task(id="mail", prompt="Tell him", skills=("mail",), depends_on={"refund": 0.5})],
                seed=5, run_id="last-run",
            )  # fmt: skip
            await orc.feedback(last.run_id, score=0.75)
            return last

    return asyncio.run(go())


def said(url, *args):
    done = CliRunner().invoke(app, ["explain", *args, "--db", url])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def told(url, *args):
    return json.loads(said(url, *args, "--json"))


def test_terms_add_up_and_the_sentence_names_the_greatest_part(taught, url):
    e = told(url, "last", "refund")
    (first, *_), chosen = e["candidates"], e["decision"]["chosen"][0]
    assert chosen == "billing" == first["agent"]
    for s in e["candidates"]:
        assert sum(s["terms"].values()) == pytest.approx(s["mean"], abs=1e-6)
    assert sum(t["chosen"] for t in e["terms"]) == pytest.approx(
        first["mean"] + first["bonus"], abs=5e-3
    )
    main = max(e["terms"], key=lambda t: t["chosen"] - t["rival"])
    assert main["words"] in e["headline"] and "billing over" in e["headline"]
    assert "what was learned from results" in said(url, "last", "refund")


def test_rivals_experience_exclusions_and_what_came_of_it(taught, url):
    e = told(url, "last", "refund")
    assert [s["agent"] for s in e["candidates"]].count("writer") == 0
    assert list(e["excluded"].values()) == [["writer"]]
    assert sum(s["calls"] for s in e["candidates"]) == RUNS
    assert sum(s["judged"] for s in e["candidates"]) == RUNS
    assert e["came"][0].startswith("billing answered") and "0.75" in e["came"][1]
    assert sum(s["propensity"] for s in e["candidates"]) == pytest.approx(1.0)


def test_past_cases_are_near_judged_and_before(taught, url):
    e = told(url, "last", "refund", "--cases", "3")
    assert len(e["cases"]) == 3
    alike = [c["similarity"] for c in e["cases"]]
    assert alike == sorted(alike, reverse=True) and alike[-1] >= 0.6
    assert all(c["prompt"].startswith("Refund order") for c in e["cases"])
    assert {c["score"] for c in e["cases"]} <= {0.9, 0.2}
    first = told(url, "r0")
    assert first["cases"] == [] and first["decision"]["run_id"] == "r0"


def test_why_not_says_the_gap_and_the_smallest_change(taught, url):
    e = told(url, "last", "refund", "--why-not", "helpdesk")
    by = {s["agent"]: s for s in e["candidates"]}
    gap = by["billing"]["mean"] + by["billing"]["bonus"]
    gap -= by["helpdesk"]["mean"] + by["helpdesk"]["bonus"]
    assert f"{gap:.3f} below billing" in e["why_not"]["sentence"]
    needed = f"utility of {by['helpdesk']['mean'] + gap:.3f}"
    assert any(needed in c for c in e["why_not"]["changes"])
    assert (
        "not a candidate"
        in told(url, "last", "refund", "--why-not", "writer")["why_not"]["sentence"]
    )
    assert (
        "was chosen" in told(url, "last", "refund", "--why-not", "billing")["why_not"]["sentence"]
    )
    nobody = told(url, "last", "refund", "--why-not", "nobody")["why_not"]["sentence"]
    assert "not registered" in nobody


def test_candidates_terms_and_flip_are_in_the_json(taught, url):
    e = told(url, "last", "refund")
    assert [c["agent"] for c in e["candidates"]] == ["billing", "shop", "helpdesk"] and e["terms"]
    assert e["flip"] == told(url, "last", "refund", "--why-not", e["rival"])["why_not"]
    assert e["rival"] == e["flip"]["agent"] == "shop" and e["flip"]["changes"]
    asked = told(url, "last", "refund", "--why-not", "writer")
    assert asked["flip"] == asked["why_not"] and asked["flip"]["agent"] == "writer"
    assert all("flip" in each for each in told(url, "last"))
    alone = next(x for x in told(url, "last") if not x["rival"])
    assert alone["flip"] is None and len(alone["candidates"]) == 1


async def test_the_weight_that_would_have_flipped_the_choice_does(url, tmp_path, taught):
    e = told(url, "last", "refund", "--why-not", "helpdesk")
    (words,) = [c for c in e["why_not"]["changes"] if "weight of cost" in c]
    weight = float(words.split("weight of cost of ")[1].split(" ")[0])
    task = asked("Refund order 99")
    firsts = []
    for w in (weight * 0.8, weight * 1.05):
        objective = Objective(quality=1.0, cost=w)
        async with Orchestrator(registry(), ledger=url, out=tmp_path, objective=objective) as orc:
            firsts.append((await orc.route(task, seed=1)).ranked[0].agent)
    assert firsts == ["billing", "helpdesk"]


def test_a_run_of_several_tasks_is_said_in_a_sentence_each(taught, url):
    text = said(url, "last")
    assert text.count("\n") == 3 and "refund [" in text
    assert "writer was the only candidate" in text
    with pytest.raises(UsageError, match="no task 'refnd'"):
        said(url, "last", "refnd")
    assert "topology" in said(url, "last", "topology")
