"""Refused before any call: what nobody fits, what nobody gets inputs for, what is unknown."""

import json

import pytest

from agentroute.cli.app import run


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def call(*argv, code=0):
        got = run([str(a) for a in argv])
        out = capsys.readouterr()
        assert got == code, out.err or out.out
        return out

    return call


@pytest.mark.parametrize(
    "text",
    ["drive from A to B", "Book me a flight to Oslo", "write me a poem about love"],
)
def test_a_prompt_that_nobody_fits_ends_abstained_and_calls_nobody(cli, tmp_path, text):
    cli("init", tmp_path / "new")
    agents = ("--agents", tmp_path / "new" / "agents")  # a card of one's own changes nothing
    result = json.loads(cli("run", text, *agents, "--json", code=1).out)
    assert (result["status"], result["answer"], result["usage"]["calls"]) == ("abstained", "", 0)
    said = result["degraded"][0]
    assert "nobody's card speaks of this; nearest: " in said and "agentroute graphs ls" in said
    found = cli("route", text, *agents).out
    assert found.startswith("nobody  (abstained") and "nearest: " in found


def test_a_summary_of_nothing_is_not_four_failed_calls(cli):
    result = json.loads(cli("run", "Summarise the README", "--json", code=1).out)
    assert (result["status"], result["usage"]["calls"]) == ("abstained", 0)
    assert "needs files, root from an earlier task" in result["degraded"][0]


def test_an_unknown_skill_is_met_with_the_nearest_one(cli):
    err = cli("route", "2 + 2", "--skill", "anser", code=1).err
    assert "no agent has the skill 'anser': did you mean 'answer'?" in err


GRAPH = "name: g\ntasks:\n- {id: s, prompt: sum it up, skills: [summarise]}\n"
ASKS = GRAPH.replace("skills: [summarise]", "skills: [answer]")
NOT_READ = "task 's': nobody could get what he needs (summarise_cover, summarise_lead: files"


@pytest.mark.parametrize(
    ("text", "said", "code"),
    [
        (GRAPH, NOT_READ, 1),
        (GRAPH.replace("skills: [summarise]", "agent: calculatr"), "mean 'calculator'?", 2),
        (ASKS + "router: linuc", "'linucb'", 3),
        (ASKS + "verifier: verify_answer", "'verify_answers'", 2),
        (ASKS + "refine: refinr", "'refiner'", 2),
    ],
)
def test_plan_and_graphs_check_refuse_what_cannot_be_carried_out(cli, tmp_path, text, said, code):
    (tmp_path / "graphs").mkdir()
    file = tmp_path / "graphs" / "g.yaml"
    file.write_text(text)
    assert said in cli("graphs", "check", "g", code=3).err
    assert said in cli("plan", "g", code=code).err
    assert json.loads(cli("config", "check", "--json", code=3).out)["problems"]
    file.write_text(ASKS)
    assert cli("graphs", "check", "g").out == "graphs: 1 ok\n"
    assert cli("graphs", "check").err == ""


def test_config_check_refuses_an_unknown_router_a_missing_folder_and_a_missing_refiner(
    cli, tmp_path
):
    file = tmp_path / "agentroute.yaml"
    for text, said in (
        ("router: linuc", "unknown router 'linuc'"),
        ("agents: [nowhere]", "agents: there is no folder"),
        ("graphs: [nowhere]", "graphs: there is no folder"),
        ("refine: refinr", "no agent is called 'refinr' (did you mean 'refiner'"),
        ("depth: deepest", "unknown depth policy 'deepest'"),
    ):
        file.write_text(text + "\n")
        out = cli("config", "check", code=3)
        assert said in out.err and "settings: 0 ok" in out.out
    file.write_text("router: skill_match\n")
    assert "settings: 1 ok" in cli("config", "check").out
