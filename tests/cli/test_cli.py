"""The command line as a person meets it: results, one-line errors, exit codes."""

import json
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import CARD, CODE


def test_the_version_by_both_ways_in(cli):
    from agentroute import __version__

    assert cli("--version").out == f"agentroute {__version__}\n"
    module = subprocess.run(
        [sys.executable, "-m", "agentroute", "--version"], capture_output=True, text=True
    )
    assert (module.returncode, module.stdout) == (0, f"agentroute {__version__}\n")


def test_init_then_run_then_look_then_teach(tmp_path, monkeypatch, cli):
    cli("init", tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    assert "settings: 1 ok" in cli("config", "check").out
    result = json.loads(cli("run", "hello", "--json").out)
    assert result["status"] == "completed"
    assert result["topology"] == "single"
    assert result["answer"].startswith("8 words")
    assert {"run_id", "degraded", "decisions", "usage", "artifacts"} <= result.keys()
    shown = json.loads(cli("runs", "show", "--json").out)
    routed = [c for c in shown["choices"] if c["kind"] == "route"]
    assert routed[0]["chosen"] == ["echo_words"]
    assert json.loads(cli("feedback", routed[0]["id"], "--score", 0.8, "--json").out)["seq"] > 0
    assert "hello" in cli("runs", "ls").out
    assert cli("ledger", "verify").out
    cli("init", tmp_path / "new", code=2)


def test_a_run_in_words_and_plain_lines_in_a_pipe(here, cli):
    out = cli("run", "shout", "--input", "text=good morning")
    assert "GOOD MORNING" in out.out
    assert "a: " in out.err
    assert "run completed" in out.err


@pytest.mark.checklist("TC4")
def test_onboarding_by_config_is_immediate(here, cli):
    cli("agents", "rm", "two")
    assert not (here / "agents" / "two.py").exists()
    before = json.loads(cli("route", "say it", "--skill", "echo", "--json").out)
    assert [r["agent"] for r in before["ranked"]] == ["one"]
    incoming = here / "incoming"
    incoming.mkdir()
    (incoming / "three.yaml").write_text(CARD.format("three"))
    (incoming / "three.py").write_text(CODE)
    cli("agents", "add", incoming / "three.yaml")
    after = json.loads(cli("route", "say it", "--skill", "echo", "--json").out)
    assert {r["agent"] for r in after["ranked"]} == {"one", "three"}
    assert sum(r["propensity"] for r in after["ranked"]) == pytest.approx(1)
    cli("agents", "rm", "three")
    gone = json.loads(cli("route", "say it", "--skill", "echo", "--json").out)
    assert [r["agent"] for r in gone["ranked"]] == ["one"]


def test_promote_edits_the_users_card(here, cli):
    cli("agents", "promote", "one", "shadow")
    found = json.loads(cli("route", "say it", "--skill", "echo", "--json").out)
    assert [r["agent"] for r in found["ranked"]] == ["two"]
    assert found["excluded"]["one"].startswith("status is shadow")


def test_a_malformed_card_is_refused_and_nothing_else_is_affected(here, cli):
    bad = here / "bad.yaml"
    bad.write_text("name: bad\ndescription: x\nskils: [echo]\n")
    out = cli("agents", "add", bad, code=3)
    assert "bad.yaml:3: skils: is not a known key (did you mean 'skills'?)" in out.err
    assert not (here / "agents" / "bad.yaml").exists()
    (here / "agents" / "bad.yaml").write_text(bad.read_text())
    out = cli("run", "shout")
    assert "card left out" in out.err
    assert "HELLO" in out.out
    cli("config", "check", code=3)
    cli("agents", "check", code=3)


BAD = [
    (["run", "shuot"], 3, "did you mean 'shout'"),
    (["run", "none.yaml"], 3, "cannot be read"),
    (["run"], 2, "give a graph"),
    (["run", "   "], 2, "empty"),
    (["run", "shout", "--input", "text"], 2, "not K=V"),
    (["run", "shout", "--input", "txt=1"], 2, "did you mean 'text'"),
    (["run", "shout", "--router", "linubc"], 3, "did you mean 'linucb'"),
    (["run", "shout", "--budget", "-1"], 2, "budget"),
    (["run", "shout", "--budget", "nan"], 2, "budget"),
    (["run", "shout", "--db", "postgres://x"], 2, "not a ledger URL"),
    (["run", "shout", "--db", "sqlite:////nowhere/x/a.db"], 4, "folder"),
    (["run", "shout", "--agents", "nowhere"], 2, "not a folder"),
    (["run", "--resume", "nothing"], 2, "no run"),
    (["route", ""], 2, "empty"),
    (["route", "x", "--skill", "flying"], 1, "no agent is eligible"),
    (["route", "x", "-k", "0"], 2, "k"),
    (["plan", "none.yaml"], 3, "cannot be read"),
    (["agents", "show", "noe"], 2, "no agent is called"),
    (["agents", "add", "nowhere.yaml"], 3, "cannot be read"),
    (["agents", "rm", "onee"], 2, "did you mean 'one'"),
    (["agents", "promote", "one", "famous"], 2, "famous"),
    (["graphs", "show", "shot"], 3, "did you mean 'shout'"),
    (["runs", "ls"], 4, "no ledger"),
    (["runs", "show", "x"], 4, "no ledger"),
    (["ledger", "verify"], 4, "no ledger"),
    (["config", "show", "--config", "none.yaml"], 3, "cannot be read"),
    (["schema", "cards"], 2, "cards"),
    (["eval", "--test", "nowhere"], 2, "needs rows to learn"),
    (["eval", "--train", "nowhere", "--holdout", "0.5"], 3, "nowhere"),
    (["eval", "--train", "nowhere", "--holdout", "2"], 2, "holdout"),
    (["nothing"], 2, "nothing"),
]


@pytest.mark.parametrize(("argv", "code", "says"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input_is_one_line_with_a_code_and_writes_nothing(here, cli, argv, code, says):
    before = sorted(p.name for p in here.rglob("*"))
    out = cli(*argv, code=code)
    lines = out.err.strip().splitlines()
    assert len(lines) == 1, out.err
    assert lines[0].startswith("agentroute: ")
    assert says in lines[0]
    assert not out.out.strip()
    after = [p for p in sorted(p.name for p in here.rglob("*")) if not p.startswith("agentroute")]
    assert after == before


def test_feedback_on_a_ledger_with_runs(here, cli):
    run_id = json.loads(cli("run", "shout", "--json").out)["run_id"]
    assert "between 0 and 1" in cli("feedback", run_id, "--score", 7, code=2).err
    assert "no run or decision" in cli("feedback", "x", "--score", 1, code=2).err
    first = cli("feedback", run_id, "--score", 1, "--key", "k").out
    again = cli("feedback", run_id, "--score", 0, "--key", "k").out
    assert "given before" not in first
    assert "this key was given before" in again


def test_an_open_breaker_is_shown_and_can_be_closed(here, cli):
    (here / "agents" / "one.py").write_text("def agent(call):\n    raise RuntimeError('no')\n")
    (here / "agents" / "two.py").write_text("def agent(call):\n    raise RuntimeError('no')\n")
    cli("run", "shout", code=1)
    cli("run", "shout", code=1)
    shut = [r for r in json.loads(cli("agents", "ls", "--json").out) if r["breaker_open_s"]]
    assert shut and all(0 < r["breaker_open_s"] <= 60 for r in shut)
    name = shut[0]["name"]
    assert "breaker" in cli("agents", "ls").out
    cli("agents", "reset", name)
    left = [r["name"] for r in json.loads(cli("agents", "ls", "--json").out) if r["breaker_open_s"]]
    assert name not in left


def test_feedback_says_what_became_of_it(here, cli):
    run_id = json.loads(cli("run", "shout", "--json").out)["run_id"]
    route = next(
        c
        for c in json.loads(cli("runs", "show", "last", "--json").out)["choices"]
        if c["kind"] == "route"
    )
    (agent,) = route["chosen"]
    first = cli("feedback", "last", "--score", 0.25, "--source", "verifier:me").out
    assert "learned" in first and f"{agent}: the router now expects" in first
    again = cli("feedback", run_id[:30], "--score", 1, "--source", "verifier:other").out
    assert "not learned: this kind of source has spoken of it before" in again
    mine = json.loads(cli("feedback", route["id"], "--score", 0.0, "--key", "k", "--json").out)
    assert mine["learned"] and mine["believes"][agent] < 0.6
    other = json.loads(cli("run", "shout", "--json").out)["run_id"]
    assert "the key 'k'" in cli("feedback", other, "--score", 1, "--key", "k", code=2).err
    stands = json.loads(cli("feedback", route["id"], "--score", 1, "--key", "k", "--json").out)
    assert (stands["score"], stands["learned"]) == (0.0, False)
    err = cli("feedback", "last", "--score", 1, "--agent", "nobody", code=2).err
    assert "no agent is called 'nobody'" in err and "known: " in err


def test_a_bare_input_is_told_its_name(here, cli):
    assert "--input NAME=VALUE" in cli("run", "shout", "data.csv", code=2).err


def test_other_peoples_files_are_not_ledgers(here, cli):
    (here / "x.db").write_text("this is not a database at all, but some text " * 50)
    for argv in (["runs", "ls"], ["run", "shout"]):
        assert "not a database" in cli(*argv, "--db", "sqlite:///x.db", code=4).err
    assert (here / "x.db").read_text().startswith("this is not")


def test_every_read_speaks_json(here, cli):
    cli("run", "shout")
    for argv in (
        ["agents", "ls"], ["agents", "show", "one"], ["graphs", "ls"], ["graphs", "show", "shout"],
        ["config", "show"], ["doctor"], ["route", "x", "--skill", "echo"], ["plan", "shout"],
        ["runs", "ls"], ["runs", "show"], ["ledger", "verify"],
    ):  # fmt: skip
        json.loads(cli(*argv, "--json").out)
    for kind in ("card", "graph", "config"):
        assert json.loads(cli("schema", kind).out)["properties"]


def test_learning_is_visible_in_runs_show(here, cli):
    disliked = None  # whoever comes first, so that both are tried
    for _ in range(8):
        done = json.loads(cli("run", "shout", "--json").out)
        chosen = next(d for d in done["decisions"] if d["kind"] == "route")
        disliked = disliked or chosen["chosen"]
        cli("feedback", chosen["id"], "--score", 0.1 if chosen["chosen"] == disliked else 0.9)
    out = cli("runs", "show", "last").out
    assert "the latest 8 runs" in out
    assert "of the last 4" in out


@pytest.mark.bench
def test_help_is_quick():
    def seconds(code):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        return time.perf_counter() - start

    ours = "from agentroute.cli.app import run; run(['--help'])"
    pairs = [(seconds(ours), seconds("import typer, rich, pydantic")) for _ in range(7)]
    ratio = sorted(a / b for a, b in pairs)[3]
    assert ratio <= 1.5, ratio
