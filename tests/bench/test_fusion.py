"""The sweep over k, and items from an outcome table, by the command line."""

import json

import pytest

from agentroute.bench.teams.fusion import fusion, table_items
from agentroute.cli.app import run as cli
from agentroute.features.text import HashingEncoder
from tests.evaluation.maketable import row, table, write

E = HashingEncoder(64)
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def folder(tmp_path):
    """Arm a is right on sums, b on words, c and d nowhere."""
    rows = []
    for i in range(120):
        kind = ("sums", "words")[i % 2]
        right = NAMES[i % 2]
        scores = {n: float(n == right) for n in NAMES}
        rows.append(row(i, prompt=f"{kind} number {i}", features={"kind": kind}, scores=scores))
    return write(tmp_path / "t", rows, NAMES)


@pytest.mark.checklist("AR5")
def test_the_sweep_is_from_one_to_all_and_is_written_down(folder, tmp_path, capsys):
    out = tmp_path / "results" / "fusion.json"
    assert cli(["bench", "fusion", str(folder), "--out", str(out)]) == 0
    assert "no two alike" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert set(found["agents"]) == set(NAMES)
    assert found["agents"]["c"] == 0.0
    assert [r["k"] for r in found["sweep"][::3]] == [1, 2, 3, 4]
    by = {(r["k"], r["weights"]): r for r in found["sweep"]}
    assert by[1, "routing"]["low"] == by[1, "routing"]["high"] == 1.0
    assert by[4, "routing"]["low"] == 1.0  # three that are wrong alike weigh less than the expert
    assert by[4, "equal"]["low"] == 0.0
    assert by[4, "equal"]["high"] == 0.25


@pytest.mark.checklist("SM6")
def test_items_of_a_table_are_of_rows_that_nothing_was_learned_from(folder, tmp_path, capsys,
                                                                    monkeypatch):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    items = table_items(folder, embedder=E)
    assert len(items) == fusion(folder, embedder=E).rows
    assert {i.kind.split("=")[1] for i in items} == {"sums", "words"}
    assert all(i.right == {"sums": "a", "words": "b"}[i.kind.split("=")[1]] for i in items)
    assert cli(["bench", "aggregators", str(folder), "--json"]) == 0
    ranks = json.loads(capsys.readouterr().out)["ranks"]
    best = next(r for r in ranks if not r["kind"])
    assert (best["use"]["params"]["weights"], best["accuracy"]) == ("routing", 1.0)


def test_the_sweep_is_repeatable():
    t = table(90, 4, flip=0.2)
    assert fusion(t, embedder=E) == fusion(t, embedder=E)
