"""What a person meets on a working day: waiting runs, failures, typos, exit codes, pipes."""

import json
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

ASKS = "name: asks\ndescription: pays\nskills: [pay]\nentrypoint: asks.py:agent\n"
APPROVED = ASKS + "requires_approval: true\n"
PAY = "name: pay\ntasks:\n  - {id: go, prompt: look, skills: [echo]}\n"
PAY += "  - {id: the payment, prompt: pay, skills: [pay], depends_on: [go]}\n"


@pytest.fixture
def paying(here):
    """A graph whose second task needs a human."""
    (here / "agents" / "asks.yaml").write_text(APPROVED)
    (here / "agents" / "asks.py").write_text("def agent(call):\n    return 'paid'\n")
    (here / "graphs" / "pay.yaml").write_text(PAY)
    return here


def commands(text):
    """The command lines that were printed, as arguments."""
    import shlex

    return [shlex.split(x)[1:] for x in text.splitlines() if x.startswith("  agentroute ")]


def test_a_waiting_run_says_so_everywhere_and_how_to_go_on(paying, cli):
    ran = cli("run", "pay", code=1).out
    assert "waiting for approval: task 'the payment' by asks" in ran
    assert "waiting" in cli("runs", "ls").out and "unfinished" not in cli("runs", "ls").out
    assert [r["status"] for r in json.loads(cli("runs", "ls", "--json").out)] == ["waiting"]
    assert len(json.loads(cli("runs", "ls", "--status", "waiting", "--json").out)) == 1
    shown = cli("runs", "show").out
    assert commands(shown) == commands(ran) and len(commands(ran)) == 2
    yes, no = commands(ran)
    assert ("--approve" in yes, "--reject" in no) == (True, True)
    done = cli(*yes).out
    assert "paid" in done and "run " in done and not commands(done)
    assert "completed" in cli("runs", "show").out.splitlines()[0]


def test_the_other_command_of_a_waiting_run_works_too(paying, cli):
    _, no = commands(cli("run", "pay", "--db", "sqlite:///my ledger.db", code=1).out)
    assert "sqlite:///my ledger.db" in no
    refused = cli(*no, code=1).out
    assert "a human refused it" in refused and "paid" not in refused


def test_a_resume_takes_the_start_of_an_id_or_last(paying, cli):
    run_id = json.loads(cli("run", "pay", "--json", code=1).out)["run_id"]
    again = json.loads(cli("run", "--resume", run_id[:20], "--json", code=1).out)
    assert (again["run_id"], again["status"]) == (run_id, "waiting")
    done = json.loads(cli("run", "--resume", "last", "--approve", "the payment", "--json").out)
    assert (done["run_id"], done["answer"]) == (run_id, "paid")
    assert len(done["decisions"]) == len({(d["task_id"], d["kind"]) for d in done["decisions"]})


def test_a_list_in_a_pipe_is_a_line_for_each_run_with_whole_ids(here, cli):
    ids = [json.loads(cli("run", "shout", "--json").out)["run_id"] for _ in range(3)]
    head, *lines = cli("runs", "ls").out.splitlines()
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert head.split()[:2] == ["run", "started"]
    assert cli("runs", "show", ids[1][:-3]).out.startswith(ids[1])
    assert "begins the ids of several runs" in cli("runs", "show", ids[0][:4], code=2).err
    assert "no run 'zz'" in cli("runs", "show", "zz", code=2).err


def test_a_status_that_no_run_ends_with_is_a_usage_error(here, cli):
    cli("run", "shout")
    err = cli("runs", "ls", "--status", "complete", code=2).err
    assert "did you mean 'completed'" in err
    assert "waiting" in cli("runs", "ls", "--status", "bogus", code=2).err


def test_a_bundled_agent_cannot_be_removed_and_that_is_said(here, cli):
    err = cli("agents", "rm", "imports_ast", code=2).err
    assert "bundled" in err and "agents promote imports_ast retired" in err
    assert "no agent is called 'onee'" in cli("agents", "rm", "onee", code=2).err


FAILS = "def agent(call):\n    raise KeyError('missing')\n"


def test_one_failure_is_said_once(here, cli):
    for name in ("one", "two"):
        (here / "agents" / f"{name}.py").write_text(FAILS)
    (here / "graphs" / "both.yaml").write_text(
        "name: both\ntasks:\n  - {id: a, prompt: x, skills: [echo]}\n"
        "  - {id: b, prompt: x, skills: [echo], depends_on: [a]}\n"
        "  - {id: c, prompt: x, skills: [echo], depends_on: [b]}\n"
    )
    lines = json.loads(cli("run", "both", "--json", code=1).out)["degraded"]
    assert len(lines) == 2 and sum("one failed" in x for x in lines) == 1
    assert "KeyError: 'missing'" in lines[1]
    assert lines[1].endswith("; nobody else can do it; not done without it: b, c")
    assert "left out" not in " ".join(lines)


def test_a_folder_without_python_is_one_line(here, cli):
    (here / "docs").mkdir()
    (here / "docs" / "a.txt").write_text("words")
    result = json.loads(cli("run", "review_code", "-i", "path=docs", "--json", code=1).out)
    (line,) = result["degraded"]
    assert "'docs' holds no .py file" in line and "not done without it: defects" in line


def test_a_failed_run_exits_1_and_a_resume_of_it_does_not_pay_again(here, cli):
    (here / "agents" / "one.py").write_text(FAILS)
    cli("agents", "rm", "two")
    failed = json.loads(cli("run", "shout", "--json", code=1).out)
    again = json.loads(cli("run", "--resume", failed["run_id"], "--json", code=1).out)
    assert again["usage"]["calls"] == failed["usage"]["calls"]


def test_a_ledger_that_was_tampered_with_exits_4(here, cli):
    cli("run", "shout")
    assert cli("ledger", "verify").out
    with sqlite3.connect(here / "agentroute.db") as con:
        for (name,) in con.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            con.execute(f"DROP TRIGGER {name}")
        con.execute(
            "UPDATE decisions SET policy = 'forged' WHERE seq = (SELECT min(seq) FROM decisions)"
        )
    con.close()
    cli("ledger", "verify", code=4)
    assert json.loads(cli("ledger", "verify", "--json", code=4).out)["ok"] is False


def test_a_short_secret_of_a_graph_is_in_no_row(here, cli):
    (here / "graphs" / "shout.yaml").write_text(
        "name: shout\ninputs: {password: {type: str}}\n"
        "tasks: [{id: a, prompt: hello, skills: [echo]}]\n"
    )
    cli("run", "shout", "-i", "password=hun7er")
    with sqlite3.connect("agentroute.db") as con:
        texts = b"".join(bytes(body) for (body,) in con.execute("SELECT body FROM blobs"))
    con.close()
    assert b"hun7er" not in texts and b"password=[redacted" in texts


SLOW = "import time\ndef agent(call):\n    time.sleep(60)\n"


def started(*argv, err):
    """The command as a child that Ctrl-C reaches: where the tests run in the background it is
    ignored, and a child would inherit that."""
    command = [sys.executable, "-m", "agentroute", *argv]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with err.open("w") as f:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=f)
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_with_130_one_line_and_no_child(here):
    for name in ("one", "two"):
        (here / "agents" / f"{name}.py").write_text(SLOW)
    err = here / "err"
    child = started("run", "shout", err=err)
    while " a: " not in err.read_text():
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    try:
        child.communicate(timeout=20)
    finally:
        child.kill()  # one that goes on would fail other tests
    assert child.returncode == 130
    last = err.read_text().splitlines()[-1]
    assert last == "agentroute: stopped" and "Traceback" not in err.read_text()


def test_a_reader_that_goes_away_is_no_error(here):
    child = started("agents", "ls", err=here / "err")
    child.stdout.close()
    assert (child.wait(20), (here / "err").read_text()) == (0, "")


def refused(cli, here, text):
    (here / "agents" / "bad.yaml").write_text(text)
    return cli("agents", "check", here / "agents" / "bad.yaml", code=3).err


def test_a_misspelt_key_is_named_and_not_the_one_it_leaves_out(here, cli):
    err = refused(cli, here, "name: bad\ndescripton: x\nskills: [a]\nentrypoint: one.py:agent\n")
    assert "bad.yaml:2: descripton: is not a known key (did you mean 'description'?)" in err
    assert "missing" not in err


def test_all_errors_of_a_card_are_said_at_once(here, cli):
    err = refused(
        cli, here, "name: bad\nskills: x, y\nlimits: {timeout_s: soon, max_attempts: 99}\n"
    )
    assert "line 2: skills: must be a list (for example [x, y])" in err
    assert "line 3: limits.timeout_s: must be a number" in err
    assert "line 3: limits.max_attempts: Input should be less than or equal to 10" in err
    assert "bad.yaml:1: description: is missing (add this key)" in err
    assert len(err.splitlines()) == 1


def test_a_word_that_is_none_of_the_choices_gets_the_nearest(here, cli):
    (here / "g.yaml").write_text(
        "name: g\ntopology: paralel\ntasks: [{id: a, prompt: x, skills: a}]\n"
    )
    err = cli("plan", "g.yaml", code=3).err
    assert "g.yaml:2: topology: must be one of auto, single, parallel" in err
    assert "line 3: tasks[0].skills: must be a list" in err
    assert "did you mean 'parallel'?" in err


def test_weights_that_are_all_zero_are_a_configuration_error(here, cli):
    (here / "agentroute.yaml").write_text("objective: {quality: 0, cost: 0}\n")
    err = cli("run", "shout", code=3).err
    assert "agentroute.yaml:1: objective: one of quality, cost and latency must be above 0" in err


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("nothere.py:agent", "nothere.py does not exist"),
        ("one.py:agnet", "one.py has no function 'agnet' (did you mean 'agent'?)"),
        ("os:nothere", "os has no function 'nothere'"),
        ("no_such_module.part:agent", "no module is called 'no_such_module.part'"),
        ("sys:nothere", "sys has no function 'nothere'"),
        ("os:getcwd", None),
        ("json.decoder:scanstring", None),
    ],
)
def test_a_card_whose_code_is_not_there_is_refused_by_check(here, cli, entry, says):
    text = f"name: bad\ndescription: x\nskills: [a]\nentrypoint: {entry}\n"
    if says:
        assert says in refused(cli, here, text)
        assert says in cli("agents", "check", code=3).err
    else:
        (here / "agents" / "bad.yaml").write_text(text)
        cli("agents", "check", here / "agents" / "bad.yaml")


def test_code_is_looked_at_and_not_run(here, cli):
    (here / "agents" / "one.py").write_text(f"open({str(here / 'ran')!r}, 'w')\n" + FAILS)
    cli("agents", "check")
    assert not (here / "ran").exists()
