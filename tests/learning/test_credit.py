"""Credit through the front door: a setting chooses the rule, the row says which, routers learn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agentroute import AgentReply, Orchestrator, Registry, Task
from agentroute.choosing.state import StateDict
from agentroute.cli.app import run as cli
from agentroute.config.paths import search_order
from agentroute.errors import ConfigError
from agentroute.learning import observations
from agentroute.ledger import Ledger
from agentroute.model.scores import Scores, Taxonomy
from agentroute.planning.graphfile import make_plan, parse_graph


class Learns:
    """Values everybody the same, and keeps what it is told."""

    name = "learns"
    taxonomy = Taxonomy("before", ("task",), "rules")

    def __init__(self):
        self.told = []

    async def score(self, request):
        mean = np.full(len(request.candidates), 0.5)
        return Scores(mean, np.zeros(len(mean)), {"learns": mean})

    def update(self, observation):
        """Keep what says something of quality."""
        if observation.quality is not None:
            self.told.append((observation.agent, observation.quality, round(observation.weight, 4)))

    def state_dict(self):
        return StateDict(self.name, 1, {}, {})

    def load_state_dict(self, state):
        """Nothing."""


def opened(tmp_path, answers, **options):
    registry = Registry(search_order("agents"))
    for name, text in answers.items():

        @registry.agent(name=name, skills=["s", name])
        async def member(call, text=text):
            """Says one thing."""
            return AgentReply(text=text, confidence=0.5)

    return Orchestrator(
        registry, ledger=f"sqlite:///{tmp_path}/a.db", out=tmp_path / "out", embedder="hashing",
        state=tmp_path / "state", **options,
    )  # fmt: skip


ASK = Task(prompt="How long is the bridge?", skills=("s",))
VOTE = {"name": "refiner", "strategy": "vote", "weights": "equal"}
CHAIN = """
tasks:
- {id: look, prompt: look, agent: a}
- {id: count, prompt: count, agent: b, depends_on: [look]}
- {id: write, prompt: write, agent: c, depends_on: [count]}
"""


async def of_team(tmp_path, credit, answers, score=1.0, **options):
    """Shares and lessons of a team's run, and the row."""
    router = Learns()
    async with opened(
        tmp_path, answers, router=router, credit=credit, refine=VOTE,
        depth={"name": "fixed", "k": len(answers)}, **options,
    ) as orc:  # fmt: skip
        run = await orc.run(ASK)
        row = await orc.feedback(run.run_id, score=score)
    return row, router.told


@pytest.mark.checklist("AC10")
@pytest.mark.parametrize(
    ("rule", "supporter", "dissenter"), [("leave_one_out", 0.5, 0), ("shapley", 7 / 12, -1 / 6)]
)
async def test_a_team_is_credited_by_votes_without_each_member(
    tmp_path, rule, supporter, dissenter
):
    row, told = await of_team(tmp_path, rule, {"a": "9", "b": "9", "c": "8"}, score=0.8)
    (shares,) = row["shares"].values()
    assert row["credit"] == rule
    assert shares == pytest.approx({"a": supporter, "b": supporter, "c": dissenter})
    assert sum(shares.values()) * row["score"] == pytest.approx(0.8)
    assert sorted(told) == [(v, 0.8, round(supporter, 4)) for v in "ab"]


async def test_by_default_parts_are_equal_and_the_row_says_so(tmp_path):
    row, told = await of_team(tmp_path, "equal", {"a": "9", "b": "9", "c": "8"})
    assert (row["credit"], row["shares"]) == ("equal", {})
    assert sorted(told) == [(v, 1.0, 0.3333) for v in "abc"]


@pytest.mark.checklist("AC10")
async def test_no_agent_is_called_to_find_credit(tmp_path):
    calls = []
    async with opened(
        tmp_path, {"a": "9"}, credit="shapley", depth={"name": "fixed", "k": 2}
    ) as orc:  # fmt: skip

        @orc.registry.agent(name="b", skills=["s"])
        async def b(call):
            """Counts its calls."""
            calls.append(call)
            return "9"

        run = await orc.run(ASK)
        before = len(orc.ledger.outcomes(run.run_id)), len(calls)
        await orc.feedback(run.run_id, score=1.0)
        assert (len(orc.ledger.outcomes(run.run_id)), len(calls)) == before


async def test_more_than_five_leave_one_out_and_the_row_says_so(tmp_path):
    answers = dict.fromkeys("abcde", "9") | {"f": "8"}
    row, told = await of_team(tmp_path, "shapley", answers)
    assert row["credit"] == "shapley; leave_one_out among 6: exact for at most 5"
    assert sorted(told) == [(v, 1.0, 0.2) for v in "abcde"]


@pytest.mark.checklist("SC12")
@pytest.mark.parametrize(
    ("credit", "parts"),
    [
        ("last_hop", [0, 0, 1]),
        ({"name": "discounted", "gamma": 0.5}, [1 / 7, 2 / 7, 4 / 7]),
        ("shapley", [1 / 3] * 3),
        ("leave_one_out", [1 / 3] * 3),
        ("task_weight", [1 / 3] * 3),
    ],
)
async def test_a_chain_is_credited_by_rule(tmp_path, credit, parts):
    router = Learns()
    answers = {"a": "3 pages", "b": "12 words", "c": "done"}
    async with opened(tmp_path, answers, router=router, credit=credit) as orc:
        run = await orc.run(make_plan(parse_graph(CHAIN)))
        row = await orc.feedback(run.run_id, score=0.5)
    found = {a: x for share in row["shares"].values() for a, x in share.items()}
    assert found == pytest.approx(dict(zip("abc", parts, strict=True)))
    assert sorted(told[0] for told in router.told) == [
        v for v, x in zip("abc", parts, strict=True) if x
    ]


@pytest.mark.checklist("SC12")
async def test_the_steps_of_the_plans_that_win_the_vote_are_credited_once(tmp_path):
    """Three plans of two steps; two come to 9."""
    tasks = []
    for plan, who in (("x", "a"), ("y", "b"), ("z", "c")):
        tasks.append({"id": f"{plan}1", "prompt": "read", "skills": [f"read_{who}"]})
        tasks.append({"id": f"{plan}2", "prompt": "How long?", "skills": [who],
                      "depends_on": [f"{plan}1"]})  # fmt: skip
    graph = {"tasks": tasks, "refine": {**VOTE, "weights": "routing"}}
    router = Learns()
    answers = {"a": "9", "b": "9", "c": "8", "read_a": "x", "read_b": "y", "read_c": "z"}
    async with opened(tmp_path, answers, router=router, credit="shapley") as orc:
        run = await orc.run(make_plan(parse_graph(json.dumps(graph))))
        row = await orc.feedback(run.run_id, score=1.0)
        again = await orc.feedback(run.run_id, score=1.0)
    assert run.data["answer"] == "9"
    assert set(run.data["supporters"]) == {"x2", "y2"}
    assert sorted(router.told) == [(v, 1.0, 0.25) for v in ("a", "b", "read_a", "read_b")]
    assert row["credit"].startswith("shapley; leave_one_out among 6")
    assert (again["learned"], again["reason"]) == (False, "duplicate")


async def test_a_verifiers_word_on_a_team_is_parted_too(tmp_path):
    router = Learns()
    async with opened(
        tmp_path, {"a": "9", "b": "9", "c": "8"}, router=router, credit="shapley", refine=VOTE
    ) as orc:

        @orc.registry.agent(name="judge", skills=["verify"])
        async def judge(call):
            """Scores the whole."""
            return AgentReply(data={"scores": [{"task_id": "t", "score": 0.9}]})

        graph = (
            "tasks: [{id: t, prompt: p, skills: [s]}]\n"
            "depth: {name: fixed, k: 3}\nverifier: judge\n"
        )
        run = await orc.run(make_plan(parse_graph(graph)))
        (row,) = orc.ledger.feedback(run.run_id)
        await orc.settle()
    assert row.credit == "shapley"
    assert sorted(router.told) == [(v, 0.9, 0.2917) for v in "ab"]


async def test_what_was_parted_stays_so_under_another_setting(tmp_path):
    row, told = await of_team(tmp_path, "shapley", {"a": "9", "b": "9", "c": "8"})
    again = Learns()
    async with opened(tmp_path, {"a": "9", "b": "9", "c": "8"}, router=again) as orc:
        await orc.settle()
        await orc.run(ASK)
        seen = [o.agent for o in observations(orc.ledger) if o.quality is not None]
    assert again.told[: len(told)] == told
    assert sorted(seen) == ["a", "b"]
    assert row["credit"] == "shapley"


def test_a_credit_rule_that_is_not_there_is_refused_while_building(tmp_path):
    with pytest.raises(ConfigError, match="no credit rule is called 'shaply'") as e:
        opened(tmp_path, {}, credit="shaply")
    assert "shapley" in e.value.hint


@pytest.mark.checklist("SC12")
def test_the_setting_in_the_file_is_used_and_the_command_line_says_who_got_what(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    for name in "abc":
        (tmp_path / f"agents/{name}_.yaml").write_text(
            f"name: {name}_\ndescription: step {name}\nskills: [x]\nentrypoint: {name}_.py:agent\n"
        )
        (tmp_path / f"agents/{name}_.py").write_text(f"def agent(call):\n    return 'did {name}'\n")
    (tmp_path / "chain.yaml").write_text("name: chain" + CHAIN
        .replace("agent: a", "agent: a_").replace("agent: b", "agent: b_")
        .replace("agent: c", "agent: c_"))  # fmt: skip
    (tmp_path / "agentroute.yaml").write_text("credit: {name: discounted, gamma: 0.5}\n")
    assert cli(["run", "chain.yaml"]) == 0
    assert cli(["feedback", "last", "--score", "1"]) == 0
    out = capsys.readouterr().out
    assert "c_: 0.571 of it, by discounted" in out
    with Ledger.open(f"sqlite:///{tmp_path}/agentroute.db", read_only=True) as ledger:
        (row,) = ledger.feedback(ledger.runs(1)[0].run_id)
    assert row.credit == "discounted"
    (tmp_path / "agentroute.yaml").write_text("credit: half\n")
    assert cli(["config", "check"]) != 0
    assert "no credit rule is called 'half'" in capsys.readouterr().err
