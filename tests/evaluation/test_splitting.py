"""A planner's graphs beside graphs that people wrote down, through the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentroute.cli.app import run
from agentroute.evaluation.splitting import Reference, agreements, kind, match, read_references
from agentroute.features.text import make_embedder
from agentroute.planning.planner import make_planner

ROWS = [
    {
        "task": "Read the log, then write a summary of it", "source": "a",
        "nodes": ["Read the log", "write a summary of it"],
        "edges": [["START", "1"], ["1", "2"], ["2", "END"]],
    },
    {"task": "Say hello", "source": "b", "nodes": ["Say hello"], "edges": [["START", "1"]]},
]  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "graphs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_the_rules_beside_one_task(file, capsys):
    assert run(["bench", "planners", str(file), "--json", "--by-source"]) == 0
    found = {(r["planner"], r["source"]): r for r in json.loads(capsys.readouterr().out)}
    assert len(found) == 6
    whole, split = found["one", "all"], found["offline", "all"]
    assert (split["node_f1"], split["edge_f1"], split["shape"]) == (1.0, 1.0, 1.0)
    assert (whole["edge_f1"], whole["shape"], whole["split"]) == (0.0, 0.5, 0.0)


def test_who_stood_in_for_a_model_is_said(file, capsys):
    assert run(["bench", "planners", str(file), "--json", "--planner", "chat"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["made_by"] == {"offline": 0.5, "one": 0.5}
    assert run(["bench", "planners", str(file), "--planner", "chat"]) == 0
    assert "offline 50 %, one 50 %" in capsys.readouterr().out


def test_what_is_no_graph_is_one_line(tmp_path, capsys):
    bad = tmp_path / "x.jsonl"
    for text in ("", "no json", '{"task": "x"}', '{"task": "x", "nodes": ["a"], "edges": [["1"]]}'):
        bad.write_text(text)
        assert run(["bench", "planners", str(bad)]) != 0
        assert "holds no task graphs" in capsys.readouterr().err


def test_questions_are_judged_by_their_width(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "Who wrote Emma? Who wrote Ulysses?", "branch": 2}\n')
    (row,) = agreements("offline", make_planner("offline"), read_references(path), make_embedder())
    assert row.shape == 1.0 and np.isnan(row.node_f1)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_a_match_is_one_to_one_and_alike(n, m, seed):
    rng = np.random.default_rng(seed)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (
        rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(m, 3)).astype(np.float32)
    ))  # fmt: skip
    found = match(a, b)
    assert len(set(found.values())) == len(found)
    assert all(a[i] @ b[j] >= 0.6 for i, j in found.items())
    assert match(a, a) == {i: i for i in range(n)} or n > 1


def test_a_graph_agrees_with_itself():
    refs = [Reference(r["task"], r["source"], tuple(r["nodes"]), frozenset()) for r in ROWS]
    rows = agreements("one", make_planner("one"), refs[1:], make_embedder())
    assert rows[0].node_f1 == rows[0].shape == 1.0
    assert kind(4, frozenset({(0, 1), (2, 3)})) == "other"
