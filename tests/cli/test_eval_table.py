"""One table is enough for ``eval``: what it scores is said, and follows from names of splits."""

import html
import json
import shlex
import sys
from datetime import UTC, datetime

import pytest

ROWS = 40
EVAL = ("eval", "table", "--embedder", "hashing", "--router", "knn", "--seeds", 1)


def write(folder, split):
    """A table of two arms: odd rows are the one's, even rows the other's."""
    folder.mkdir(exist_ok=True)
    (folder / "arms.json").write_text('[{"name": "odd"}, {"name": "even"}]')
    (folder / "meta.json").write_text("{}")
    rows = [
        {"id": f"r{i}", "split": split(i), "prompt": ["stone", "water"][i % 2], "features": {},
         "scores": {"odd": i % 2, "even": 1 - i % 2}}
        for i in range(ROWS)
    ]  # fmt: skip
    (folder / "outcomes.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize(
    ("split", "said", "learned", "scored"),
    [
        (lambda i: "test" if i < 10 else "val" if i < 20 else "train", "split test", 30, 10),
        (lambda i: "val" if i < 10 else "train", "split val are scored", 30, 10),
        (lambda i: "test" if i < 10 else "val", "split test", 30, 10),
        (lambda i: "train", "30 % is held out", 28, 12),
        (lambda i: "val", "30 % is held out", 28, 12),
        (lambda i: "test", "30 % is held out", 28, 12),
    ],
)
def test_a_table_alone_is_scored_by_its_own_splits_or_cut(here, cli, split, said, learned, scored):
    write(here / "table", split)
    out = cli(*EVAL)
    assert said in out.err
    assert f"{learned} rows learned, {scored} scored" in out.out
    assert f"{scored} rows are scored: intervals of so few" in out.out
    found = json.loads(cli(*EVAL, "--json").out)
    assert found["routers"]["knn"]["score"] == 1.0


def test_what_is_said_beside_a_table_holds(here, cli):
    write(here / "table", lambda i: "test" if i < 10 else "val" if i < 20 else "train")
    assert "20 rows learned, 10 scored" in cli(*EVAL, "--train-split", "train").out
    assert "20 rows learned, 10 scored" in cli(*EVAL, "--test-split", "val").out  # no test row
    out = cli(*EVAL, "--holdout", 0.5)
    assert "15 rows learned, 15 scored" in out.out and out.err == ""


def test_one_table_or_two(here, cli):
    write(here / "table", lambda i: "train")
    for option in ("--train", "--test"):
        assert "TABLE alone, or --train DIR --test DIR" in cli(*EVAL, option, "table", code=2).err


def test_a_long_evaluation_says_how_far_it_is(here, cli, monkeypatch):
    write(here / "table", lambda i: "train")
    monkeypatch.setattr("agentroute.cli.parts.evalshown.Progress.EVERY_S", 0.0)
    said = [line for line in cli(*EVAL[:-1], 3).err.splitlines() if "to go" in line]
    assert [line.split(",")[0] for line in said] == ["1 of 3 repetitions", "2 of 3 repetitions"]


def test_a_report_says_when_and_by_what_command_it_was_made(here, cli):
    write(here / "table", lambda i: "train")
    more = ("--holdout", 0.5, "--report", "own report.html")
    cli(*EVAL, *more)
    foot = html.unescape((here / "own report.html").read_text().partition("<footer>")[2])
    made = shlex.join(map(str, ("agentroute", *EVAL, *more)))
    today = datetime.now(UTC).date().isoformat()
    assert foot.startswith(today) and f" UTC. Made by {made}.</footer>" in foot


def test_without_scikit_learn_its_baseline_is_left_out_and_said(here, cli, monkeypatch):
    write(here / "table", lambda i: "train")
    assert "linear" in json.loads(cli(*EVAL, "--json").out)["baselines"]
    monkeypatch.setitem(sys.modules, "sklearn", None)
    out = cli(*EVAL, "--json")
    assert "left out: the baseline 'linear' needs the extra 'fit'" in out.err
    assert set(json.loads(out.out)["baselines"]) >= {"random", "best_single", "knn", "oracle"}
    assert "linear" not in json.loads(out.out)["baselines"]
