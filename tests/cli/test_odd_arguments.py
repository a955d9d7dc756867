"""Arguments that no command can use: one line, typed, and nothing left behind."""

import pytest

from agentroute.cli.app import run

LONG = "a" * 5_000


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("somebody's notes")
    (tmp_path / "g.yaml").write_text("tasks: [{id: a, prompt: x, depends_on: [[x]]}]\n")
    (tmp_path / "h.yaml").write_text("tasks: [{id: a, prompt: x, depends_on: [7]}]\n")
    return tmp_path


@pytest.mark.parametrize(
    "argv",
    [
        ["runs", "show", "\udcff\udcfe"],
        ["runs", "show", "a\x00b"],
        ["explain", "\udcff"],
        ["plan", "g.yaml"],
        ["plan", "h.yaml"],
        ["plan", f"{LONG}.yaml"],
        ["plan", "a\x00b.yaml"],
        ["runs", "ls", "--db", f"sqlite:///{LONG}"],
        ["run", "x", "--db", f"sqlite:///{LONG}"],
        ["run", "x", "--out", LONG],
        ["agents", "check", LONG],
        ["agents", "show", LONG],
        ["feedback", "x", "--score", "much"],
    ],
    ids=lambda a: " ".join(a)[:30].encode("ascii", "replace").decode(),
)
def test_an_odd_argument_is_one_typed_line(here, capsys, argv):
    assert run(argv) in (1, 2, 3, 4)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "a bug of agentroute's own" not in said.err


def test_a_file_that_is_no_ledger_stays_as_it_is_and_alone(here, capsys):
    for command in (["run", "x"], ["runs", "ls"], ["feedback", "x", "--score", "1"]):
        assert run([*command, "--db", "sqlite:///other.txt"]) == 4
    assert (here / "other.txt").read_text() == "somebody's notes"
    assert sorted(p.name for p in here.glob("other*")) == ["other.txt"]
