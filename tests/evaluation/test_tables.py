import json
from pathlib import Path

import numpy as np
import pytest

from agentroute.errors import TableError
from agentroute.evaluation.tables.outcomes import NO_TEXT
from agentroute.evaluation.tables.reading import load_table
from agentroute.features.text import MAX_CHARS, HashingEncoder
from tests.evaluation.maketable import row, write

DATA = Path(__file__).parents[2] / "examples" / "data"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_table_becomes_arrays(tmp_path, zipped):
    rows = [
        row(0, cost_usd={"a": 0.5, "b": None}, latency_s={"b": 2.0}),
        row(1, split="dev", prompt=" ", scores={"b": 0.25, "a": 1}),
    ]
    t = load_table(write(tmp_path, rows, zipped=zipped, priced=True))
    assert t.scores.tolist() == [[1.0, 0.0], [1.0, 0.25]]
    assert t.split.tolist() == ["train", "val"] and t.rows(["valid"]).tolist() == [1]
    assert t.cost_usd[0, 0] == 0.5 and np.isnan(t.cost_usd[0, 1]) and np.isnan(t.cost_usd[1]).all()
    assert t.latency_s[0, 1] == 2.0
    assert t.column("kind").tolist() == ["even", "odd"]
    # 1,000 tokens in at 2 USD a million and 1,000 out at 3: 0.005 USD
    assert t.cards[1].pricing.expected_usd == pytest.approx(0.005)


def test_an_empty_prompt_is_a_row_of_zeros_and_a_task_without_text(tmp_path):
    t = load_table(write(tmp_path, [row(0, prompt="")]))
    e = HashingEncoder(64)
    assert not t.embedding(e).any()
    assert t.tasks[0].prompt == NO_TEXT
    assert not e.encode([NO_TEXT]).any()


def test_a_million_characters_are_cut_and_counted(tmp_path):
    t = load_table(write(tmp_path, [row(0, prompt="x" * 1_000_001), row(1)]))
    assert len(t.prompts[0]) == MAX_CHARS and t.clipped == 1
    assert t.examples(np.array([0, 1]), HashingEncoder(64)).embedding.shape == (2, 64)


def test_a_sparse_table_scores_absent_arms_zero(tmp_path):
    rows = [row(0, scores={"b": 1.0}), row(1, scores={}, abstain=True)]
    t = load_table(write(tmp_path, rows, meta={"sparse": True}))
    assert t.scores.tolist() == [[0, 1], [0, 0]] and t.abstain.tolist() == [False, True]


BAD_ROWS = {
    "scores.b: this arm has no score": row(0, scores={"a": 1.0}),
    "scores.b: nan is not": '{"id":"x","split":"train","prompt":"","scores":{"a":1,"b":NaN}}',
    "scores.b: inf is not": '{"id":"x","split":"train","prompt":"","scores":{"a":1,"b":Infinity}}',
    "scores.b: 1.5 is not in": row(0, scores={"a": 1.0, "b": 1.5}),
    "scores.b: -0.1 is not": row(0, scores={"a": 1.0, "b": -0.1}),
    "scores.b: True is not": row(0, scores={"a": 1.0, "b": True}),
    "scores.b: None is not": row(0, scores={"a": 1.0, "b": None}),
    "scores.c: no such arm": row(0, scores={"a": 1.0, "b": 1.0, "c": 1.0}),
    "cost_usd.a: -1 is not": row(0, cost_usd={"a": -1}),
    "split: 'holdout' is not a split": row(0, split="holdout"),
    "split: is missing": {"id": "x", "prompt": "", "scores": {"a": 1, "b": 1}},
    "prompt: must be text": row(0, prompt=None),
    "features.kind: must be text": row(0, features={"kind": 3}),
    "id: must be text": row(0, id=7),
    "abstain: must be true or false": row(0, abstain="yes"),
    "label: no column is called so": row(0, label=1),
    "1: not JSON": "{broken",
    "1: a row must be": "[1]",
}


@pytest.mark.parametrize("message", BAD_ROWS)
def test_a_bad_row_names_file_row_and_column(tmp_path, message):
    write(tmp_path, [row(9), BAD_ROWS[message]])
    with pytest.raises(TableError, match=r"outcomes\.jsonl:2:") as e:
        load_table(tmp_path)
    assert f"outcomes.jsonl:2:{message}" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_duplicate_id_names_both_rows(tmp_path):
    write(tmp_path, [row(0), row(1), row(0)])
    with pytest.raises(TableError, match=r":3:id: 't0' is also the id of row 1"):
        load_table(tmp_path)


def broken_folders(tmp_path):
    for missing in ("arms.json", "meta.json", "outcomes.jsonl"):
        (write(tmp_path / missing, [row()]) / missing).unlink()
        yield tmp_path / missing, missing.split(".")[0]
    (write(tmp_path / "both", [row()]) / "outcomes.jsonl.gz").write_bytes(b"")
    yield tmp_path / "both", "both"
    yield write(tmp_path / "none", []), "no rows"
    (write(tmp_path / "gz", [row()], zipped=True) / "outcomes.jsonl.gz").write_bytes(b"\x1f\x8bno")
    yield tmp_path / "gz", "cannot be read"
    (write(tmp_path / "arm", [row()]) / "arms.json").write_text('[{"name":"a"},{"name":"a"}]')
    yield tmp_path / "arm", "listed twice"
    (write(tmp_path / "arms", [row()]) / "arms.json").write_text("[")
    yield tmp_path / "arms", "not JSON"
    (write(tmp_path / "price", [row()]) / "arms.json").write_text(
        json.dumps([{"name": "a", "input_usd_per_mtok": -1}])
    )
    yield tmp_path / "price", "price"
    (write(tmp_path / "sparse", [row()]) / "meta.json").write_text('{"sparse": "no"}')
    yield tmp_path / "sparse", "sparse"
    yield tmp_path / "absent", "not a folder"


def test_a_broken_folder_is_a_table_error(tmp_path):
    for folder, message in broken_folders(tmp_path):
        with pytest.raises(TableError, match=message):
            load_table(folder)


def test_arm_names_that_are_no_card_names_are_made_plain(tmp_path):
    arms = ("open/model?", "open model_", "open_model?", "é")
    rows = [row(0, scores=dict.fromkeys(arms, 0.5))]
    t = load_table(write(tmp_path, rows, arms=arms))
    assert [c.name for c in t.cards] == ["open_model_", "open model_", "open_model_-2", "a_"]
    assert [a.name for a in t.arms] == list(arms)


def test_cards_do_not_look_at_the_rows(tmp_path):
    e = HashingEncoder(64)
    one = load_table(write(tmp_path / "1", [row(0, cost_usd={"a": 1.0, "b": 9.0})], priced=True))
    two = load_table(write(tmp_path / "2", [row(0, cost_usd={"a": 5.0, "b": 0.0})], priced=True))
    assert one.cardset(e).sha256 == two.cardset(e).sha256


@pytest.mark.parametrize(
    ("name", "rows", "arms"),
    [
        ("coderouterbench", 7080, 8),
        ("llmrouter_mixed9", 5489, 9),
        ("swebench_agents", 356, 46),
        ("clinc150", 18200, 150),
        ("banking77", 10003, 77),
    ],
)
def test_the_shipped_tables_load_and_name_their_licence(name, rows, arms):
    t = load_table(DATA / name)
    assert t.scores.shape == (rows, arms)
    assert t.meta["licence"] and t.meta["source"]


def test_the_shipped_agent_table_carries_no_issue_texts():
    assert not any(load_table(DATA / "swebench_agents").prompts)
