"""What asking more agents earns on recorded outcomes: worked numbers, and by the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agentroute.choosing.decide import Choice
from agentroute.choosing.depth import make_depth
from agentroute.choosing.depth.calibration import calibrated, fit_knots
from agentroute.choosing.depth.fixed import Fixed
from agentroute.cli.app import run
from agentroute.errors import UsageError
from agentroute.evaluation.depths.comparing import compare_depths
from agentroute.evaluation.depths.playing import Questions, play
from agentroute.evaluation.depths.tuning import at_equal_calls, data_hash, ladder, tune
from agentroute.evaluation.runner import EvalSpec
from agentroute.features.text import HashingEncoder
from agentroute.model.candidates import Candidates
from agentroute.model.scores import Scores
from tests.evaluation.maketable import row, table, write

HASHING = HashingEncoder()


def asked(quality, mean, cost=None):
    """Rows whose router expects ``mean``."""
    quality = np.array(quality, dtype=float)
    m, n = quality.shape
    means = np.broadcast_to(np.array(mean, dtype=float), (m, n))
    scores = tuple(Scores(p.copy(), np.zeros(n)) for p in means)
    choices = tuple(Choice((int(p.argmax()),), "selected", 1.0, p) for p in means)
    made = table(m=4, n=n)
    candidates = Candidates.idle(made.cardset(HASHING))
    price = np.ones((m, n)) if cost is None else np.broadcast_to(np.array(cost, float), (m, n))
    return Questions(np.arange(m), scores, choices, candidates, quality, price)


RIGHT_LATE = [[0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 1]]


def test_sigma_on_recorded_outcomes_by_hand():
    q = asked(RIGHT_LATE, [0.9, 0.8, 0.7])
    policy = make_depth({"name": "sigma", "audit": 0.0})
    played = play(policy, q, "alike")
    # two differ: a third decides; two agree, rightly or wrongly: they stand
    assert played.calls.tolist() == [3, 2, 2, 3]
    assert played.right.tolist() == [True, True, False, True]
    assert played.agreed.tolist() == [False, True, True, False]
    assert played.cost_usd.tolist() == [3.0, 2.0, 2.0, 3.0]
    apart = play(policy, q, "differ")  # the two wrong ones of row 2 do not agree
    assert apart.calls.tolist() == [3, 2, 3, 3]
    assert not (apart.agreed & ~apart.right).any()


def test_random_depth_at_equal_calls_is_a_mix_of_the_ladder():
    q = asked(RIGHT_LATE, [0.9, 0.8, 0.7])
    rungs = ladder(q, "alike")
    assert [float(r.quality.mean()) for r in rungs] == [0.5, 0.5, 0.75]
    played = play(make_depth({"name": "sigma", "audit": 0.0}), q, "alike")
    like = at_equal_calls(played, rungs)  # half of the rows get 2 calls, half 3
    assert like.tolist() == ((rungs[1].quality + rungs[2].quality) / 2).tolist()
    for k in (1, 2, 3):
        same = play(Fixed(k), q, "alike")
        assert at_equal_calls(same, rungs).tolist() == same.quality.tolist()


def test_a_cascade_asks_the_cheapest_that_clears_the_bar_and_stops():
    q = asked([[1, 0, 1]] * 2, [0.9, 0.8, 0.2], cost=[5.0, 1.0, 0.1])
    priced = table(m=4, n=3)
    played = play(make_depth({"name": "cascade", "accept_at": 0.7}), q, "alike")
    assert played.calls.tolist() == [1, 1]
    assert len(priced.arms) == 3


@pytest.mark.checklist("PR6", "AC4")
def test_policies_stand_beside_always_one_two_all_and_random_depth():
    """An oracle's own table: what is measured is what was recorded, and of the test rows alone."""
    made = table(m=200, n=3, flip=0.2)
    spec = EvalSpec(
        train=made, test=made, train_split=("train",), test_split=("test",), routers=("knn",),
        seeds=10, embedder=HASHING,
    )  # fmt: skip
    found = compare_depths(spec, ["sigma", "cascade", "confidence", "entropy"])
    by = {(r.depth, r.world): r for r in found.policies}
    for world in ("alike", "differ"):
        one, full = by["always 1", world], by["always all", world]
        assert (one.calls, full.calls) == (1.0, 3.0)
        for name in ("sigma", "cascade", "confidence", "entropy"):
            r = by[name, world]
            assert one.calls <= r.calls <= 5
            assert set(r.less) == {
                "equal calls", "equal cost", "always 1", "always 2", "always all"
            }  # fmt: skip
            mean, lo, hi = r.less["always 1"]
            assert lo <= mean <= hi
            assert mean == pytest.approx(r.quality - one.quality)
        assert by["sigma", world].calls < full.calls
    assert found.seeds == 10
    assert found.anybody >= max(r.right for r in found.policies)


def test_what_the_test_rows_say_changes_nothing_that_was_learned():
    made = table(m=120, n=3)
    other = table(m=120, n=3)
    rows = other.rows(["test"])
    other.scores[rows] = 1 - other.scores[rows]
    specs = [
        EvalSpec(train=t, test=t, train_split=("train",), test_split=("test",), routers=("knn",),
                 seeds=2, embedder=HASHING)
        for t in (made, other)
    ]  # fmt: skip
    a, b = (compare_depths(s, ["confidence"], tuning=True) for s in specs)
    assert [t.spec for t in a.tuned] == [t.spec for t in b.tuned]
    assert [t.sha256 for t in a.tuned] == [t.sha256 for t in b.tuned]


@pytest.mark.checklist("PR4")
def test_tuning_finds_the_threshold_that_earns_its_calls():
    """A second opinion helps where the first is unsure alone: tau_c between both."""
    sure, unsure = [0.9, 0.5, 0.5], [0.5, 0.45, 0.4]
    quality = [[1, 0, 0]] * 20 + [[0, 1, 1]] * 20
    q = asked(quality, [sure] * 20 + [unsure] * 20)
    made = tune({"name": "confidence", "tau_a": 0.0, "calibration": []}, q)
    played = play(make_depth(made), q, "alike")
    assert 0.5 < made["tau_c"] <= 0.9
    assert played.right.all()
    assert played.calls.tolist() == [1] * 20 + [3] * 20
    assert tune({"name": "confidence", "tau_c": 0.2, "calibration": []}, q)["tau_c"] == 0.2


@pytest.fixture
def folder(tmp_path):
    topics = ("refund my order please", "fix this python traceback", "book a flight to Rome")
    rng = np.random.default_rng(0)
    rows = [
        row(i, prompt=f"{topics[i % 3]} {i}", features={}, split="val" if i % 4 == 3 else "train",
            scores={a: float((j == i % 3) != (rng.random() < 0.2)) for j, a in enumerate("xyz")})
        for i in range(160)
    ]  # fmt: skip
    return write(tmp_path / "t", rows, arms=("x", "y", "z"), priced=True)


def evaluated(folder, *more):
    argv = ["eval", "--train", folder, "--test", folder, "--train-split", "train", "--test-split",
            "val", "--embedder", "hashing", "--router", "knn", "--seeds", "3"]  # fmt: skip
    return run([str(a) for a in (*argv, *more)])


@pytest.mark.checklist("PR4", "PR5", "PR6")
def test_eval_tunes_on_train_rows_and_keeps_it_with_the_hash_of_the_data(folder, tmp_path, capsys):
    out = tmp_path / "kept" / "depth.json"
    assert (
        evaluated(folder, "--depth", "confidence", "--depth", "sigma", "--tune", "--out", out) == 0
    )
    said = capsys.readouterr().out
    for words in (
        "always 1",
        "always all",
        "random, equal calls",
        "equal cost",
        "sha256",
        "before",
    ):
        assert words in said
    kept = json.loads(out.read_text())
    tuned = kept["tuned"][0]
    assert make_depth(tuned["spec"]).name == "confidence"  # as settings take it
    assert len(tuned["sha256"]) == 64
    r = tuned["reliability"]
    assert 0 <= r["error_after"] <= 1 and r["bins_before"] and r["bins_after"]
    assert {p["depth"] for p in kept["policies"]} >= {"confidence", "confidence, tuned", "sigma"}
    assert evaluated(folder, "--depth", "cascade", "--verifier-accuracy", "1.0", "--json") == 0
    by = {(p["depth"], p["world"]): p for p in json.loads(capsys.readouterr().out)["policies"]}
    assert by["cascade", "alike"]["quality"] >= by["always 1", "alike"]["quality"]


def test_the_hash_is_of_what_was_learned_from(folder):
    made, rows = table(), np.arange(10)
    first = data_hash(made, rows)
    assert first == data_hash(table(), rows)
    made.scores[3, 0] = 0.25
    assert data_hash(made, rows) != first


@pytest.mark.checklist("AC4", "AC5")
def test_bench_sigma_prints_calls_saved_and_how_often_agreement_is_wrong(folder, capsys):
    argv = ["bench", "sigma", str(folder), "--router", "knn", "--cuts", "2"]
    assert run(argv) == 0
    said = capsys.readouterr().out
    for words in ("single", "two", "three", "adaptive", "P(wrong | agreed)", "ceiling"):
        assert words in said
    assert run([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    by = {(p["depth"], p["world"]): p for p in found["policies"]}
    assert by["adaptive", "alike"]["calls"] < by["three", "alike"]["calls"] == 3.0
    assert by["adaptive", "alike"]["wrong_if_agreed"] > 0.0
    assert by["adaptive", "differ"]["wrong_if_agreed"] == 0.0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--depth", "sigm"), "sigma"), (("--depth", "sigma", "--depth", "sigma"), "twice"),
        (("--depth", "sigma", "--mode", "bandit"), "full mode"), (("--tune",), "--depth"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_said(folder, argv, words, capsys):
    assert evaluated(folder, *argv) != 0
    assert words in capsys.readouterr().err


def test_depth_needs_rows_to_learn_from():
    with pytest.raises(UsageError, match="rows to learn from"):
        compare_depths(EvalSpec(test=table(), routers=("knn",), embedder=HASHING), ["sigma"])


@pytest.mark.checklist("PR5")
def test_a_rising_line_is_nearer_to_what_came():
    rng = np.random.default_rng(1)
    stated = rng.random(4000)
    came = (rng.random(4000) < stated**2).astype(float)  # over-confident
    knots = fit_knots(stated, came)
    y = [b for _, b in knots]
    assert y == sorted(y)
    gap = np.abs(calibrated(knots, stated) - stated**2).mean()
    assert gap < 0.05 < np.abs(stated - stated**2).mean()
