import dataclasses
import json

import numpy as np
import pytest

from agentroute.errors import ConfigError, MissingExtraError, NestedLoopError, UsageError
from agentroute.evaluation.baselines import tfidf as linear
from agentroute.evaluation.runner import EvalSpec, evaluate, evaluate_async, make_cuts
from agentroute.features.text import HashingEncoder
from tests.evaluation.maketable import row, table, write
from tests.evaluation.players import Fitted, Recorder

E = HashingEncoder(64)
CHEAP = ("random", "best_single", "best_per_feature", "oracle")


def spec(t, routers, **changes):
    base = {
        "train": t, "test": t, "routers": routers, "embedder": E, "seeds": 2, "baselines": CHEAP,
    }  # fmt: skip
    return EvalSpec(**(base | changes))


def kept(cls, made, **kw):
    def make(seed):
        made.append(cls(**kw))
        return made[-1]

    return make


def test_full_mode_shows_a_router_without_fit_every_arm_in_an_order_drawn_by_the_seed():
    t, made = table(40), []
    evaluate(spec(t, {"r": kept(Recorder, made)}, seeds=1))
    train = t.rows(["train"])
    seen = [(o.request.task.id, o.agent, o.quality) for o in made[0].shown]
    wanted = [(t.ids[i], a.name, t.scores[i, j]) for i in train for j, a in enumerate(t.arms)]
    assert seen[: len(wanted)] != [] and sorted(seen) == sorted(wanted)
    order = [s[0] for s in seen[:: len(t.arms)]]
    assert order != list(t.ids[train]), "the order of a file means nothing"
    evaluate(spec(t, {"r": kept(Recorder, made)}, seeds=1))
    assert [o.request.task.id for o in made[1].shown[:: len(t.arms)]] == order
    evaluate(spec(t, {"r": kept(Recorder, made)}, seeds=1, first_seed=1))
    assert [o.request.task.id for o in made[2].shown[:: len(t.arms)]] != order
    assert [o.seq for o in made[0].shown] == list(range(1, len(wanted) + 1))


def test_full_mode_fits_a_router_that_can_be_fitted_on_train_rows_alone():
    t, made = table(40), []
    evaluate(spec(t, {"r": kept(Fitted, made)}, seeds=1))
    assert [x.id for x in made[0].examples.tasks] == list(t.ids[t.rows(["train"])])
    assert made[0].shown == []


def test_bandit_mode_shows_only_the_chosen_arm_in_a_random_order():
    t, made = table(60), []
    evaluate(spec(t, {"r": kept(Recorder, made)}, mode="bandit"))
    train = [t.ids[i] for i in t.rows(["train"])]
    orders = [[o.request.task.id for o in r.shown] for r in made]
    assert all(sorted(o) == sorted(train) for o in orders)
    assert orders[0] != orders[1] and orders[0] != train
    assert {o.propensity for o in made[0].shown} != {1.0}


def test_scoring_learns_nothing_and_is_greedy_on_the_mean():
    t, made = table(60), []
    result = evaluate(spec(t, {"r": kept(Recorder, made)}, mode="bandit", seeds=1))
    assert len(made[0].shown) == len(t.rows(["train"]))
    best = []
    for i in t.rows(["test"]):
        means = [made[0].sums.get((t.features[i]["kind"], a.name), 0.0) + 0.5 for a in t.arms]
        seen = [made[0].counts.get((t.features[i]["kind"], a.name), 0) + 1 for a in t.arms]
        best.append(t.scores[i, int(np.argmax(np.divide(means, seen)))])
    assert result.routers["r"].score == pytest.approx(np.mean(best))


def permuted(t, seed):
    """The same table with the labels of the test rows shuffled among arms and rows."""
    rng = np.random.default_rng(seed)
    scores, abstain = t.scores.copy(), t.abstain.copy()
    rows = t.rows(["test"])
    scores[rows] = rng.permuted(scores[rng.permutation(rows)], axis=1)
    abstain[rows[::3]] = True
    return dataclasses.replace(t, scores=scores, abstain=abstain, _vectors={}, _cards={})


@pytest.mark.parametrize("mode", ["full", "bandit"])
@pytest.mark.parametrize("cut", [{}, {"holdout": 0.3, "cuts": 2, "test": None}])
def test_permuting_the_labels_of_test_rows_changes_nothing_that_is_learned(mode, cut):
    """Same split, fit, hyper-parameters and choices, whatever the test labels say."""
    t = table(90, splits=("train",)) if cut else table(90)
    made, picks = ([], []), []
    scored = make_cuts(spec(t, ["uniform"], **cut))
    for k in (0, 1):
        changed = t
        if k and cut:  # the rows that are scored in the first cut
            changed = dataclasses.replace(t, split=t.split.copy(), _vectors={}, _cards={})
            changed.split[scored[0].test_rows] = "test"
            changed = permuted(changed, 5)
            changed.split[:] = "train"
        elif k:
            changed = permuted(t, 5)
        s = spec(changed, {"r": kept(Recorder, made[k]), "f": kept(Fitted, made[k])}, **cut)
        s = dataclasses.replace(s, mode=mode, cuts=1)
        evaluate(s)
        picks.append([[q.task.id for q in r.asked] for r in made[k]])
    assert picks[0] == picks[1]
    for one, two in zip(*made, strict=True):
        assert one.sums == two.sums and one.counts == two.counts
        assert [o.quality for o in one.shown] == [o.quality for o in two.shown]


def test_permuting_test_labels_changes_no_guess_of_a_baseline():
    from agentroute.evaluation.baselines.rules import BASELINES
    from agentroute.evaluation.tables.problem import make_problem
    from agentroute.evaluation.tables.splits import split_cut

    one = table(120, n=4)
    problems = [make_problem(split_cut(t, t), E) for t in (one, permuted(one, 1))]
    assert not np.array_equal(problems[0].truth.quality, problems[1].truth.quality)
    for name, baseline in BASELINES.items():
        a, b = (baseline(p.train, p.known, p.test, np.random.default_rng(0)) for p in problems)
        assert np.array_equal(a.quality, b.quality), name
        assert np.array_equal(a.out_of_scope, b.out_of_scope), name


def test_abstaining_scores_zero_in_scope_and_is_counted_out_of_scope():
    t = table(60, flip=0.0)
    t.abstain[:] = [f["kind"] == "k2" for f in t.features]
    test = t.rows(["test"])
    kinds = t.column("kind")[test]
    refuse = {"some": ("k1", "k2"), "right": ("k2",), "first": ("k0", "k2")}
    routers = {n: kept(Recorder, [], refuse=r) for n, r in refuse.items()}
    out = evaluate(spec(t, routers)).routers
    assert out["right"].score == 1.0
    assert (out["right"].abstain_recall, out["right"].abstain_precision) == (1.0, 1.0)
    assert out["some"].score == pytest.approx((kinds == "k0").sum() / (kinds != "k2").sum())
    # Where the first arm is right too: who refuses is not scored as whoever stands first.
    assert out["first"].score == pytest.approx((kinds == "k1").sum() / (kinds != "k2").sum())
    assert out["some"].abstain_precision == pytest.approx(np.mean(kinds[kinds != "k0"] == "k2"))
    assert out["some"].mean_agents == pytest.approx(np.mean(kinds == "k0"))


def test_without_train_a_bandit_learns_on_the_test_table_as_it_goes():
    t, made = table(80, splits=("test",)), []
    result = evaluate(spec(t, {"r": kept(Recorder, made)}, train=None, mode="bandit", seeds=1))
    got = np.mean([o.quality for o in made[0].shown])
    assert result.routers["r"].score == pytest.approx(got) == result.routers["r"].learning
    assert result.train is None and any("cross-fitted" in n for n in result.notes)
    assert len(made[0].shown) == 80


def test_the_json_has_the_documented_shape(tmp_path):
    rows = [row(i, split="train" if i < 30 else "test", cost_usd={"a": 0.5}) for i in range(40)]
    folder = write(tmp_path, rows, priced=True)
    s = EvalSpec(train=folder, test=folder, routers=["uniform"], embedder="hashing", seeds=2)
    out = json.loads(json.dumps(evaluate(s).to_json()))
    names = {"random", "best_single", "best_per_feature", "knn", "linear", "oracle"}
    assert set(out["baselines"]) == names
    assert (out["train"], out["test"], out["rows"], out["arms"]) == ("toy", "toy", 10, ["a", "b"])
    mine = out["routers"]["uniform"]
    for key in ("score", "ci95", "abstain_recall", "cost_usd", "mean_agents", "decision_us_p50"):
        assert key in mine
    assert len(mine["ci95"]) == 2 and mine["abstain_recall"] is None and mine["mean_agents"] == 1.0
    assert mine["cost_usd"] == 0.5 and mine["decision_us_p50"] > 0
    assert out["baselines"]["best_single"] == 1.0 and out["baselines"]["random"] == 0.5
    header, lines = evaluate(s).table()
    assert all(len(line) == len(header) for line in lines) and len(lines) == 7


def test_a_run_repeats_with_its_seed():
    t = table(60)
    outs = [evaluate(spec(t, ["linucb"], mode="bandit")).routers["linucb"] for _ in (0, 1)]
    assert outs[0].per_seed == outs[1].per_seed
    assert outs[0].differences == outs[1].differences


def test_arms_that_were_withheld_from_training_are_candidates_all_the_same():
    train, test = table(40, 2), table(40, 3, splits=("test",), name="other")
    made = []
    result = evaluate(spec(train, {"r": kept(Fitted, made)}, test=test, seeds=1))
    assert list(made[0].examples.cards.names) == ["a", "b"]
    assert list(made[0].asked[-1].candidates.names) == ["a", "b", "c"]
    assert any("1 arms have no train row" in n for n in result.notes)


BAD = [
    {"mode": "half"}, {"train": None}, {"seeds": 0}, {"routers": []}, {"group_by": "kind"},
    {"holdout": 0.5}, {"test": None}, {"baselines": ("best",)}, {"routers": ["uniform", "uniform"]},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_spec_that_cannot_be_run_is_a_usage_error(bad):
    with pytest.raises(UsageError) as e:
        evaluate(
            spec(table(), ["uniform"], **bad) if "routers" not in bad else spec(table(), **bad)
        )
    assert e.value.hint


def test_an_unknown_router_is_refused_before_any_work():
    with pytest.raises(ConfigError, match="linucbb"):
        evaluate(spec(table(), ["linucbb"]))


async def test_inside_a_loop_the_async_form_is_named():
    with pytest.raises(NestedLoopError, match="event loop"):
        evaluate(spec(table(), ["uniform"]))
    assert (await evaluate_async(spec(table(), ["uniform"]))).repetitions == 2


def test_the_linear_baseline_names_its_extra(monkeypatch):
    def missing():
        raise MissingExtraError("fit", needed_for="the baseline 'linear'")

    monkeypatch.setattr("agentroute.evaluation.runner.require_fit", missing)
    with pytest.raises(MissingExtraError, match="'fit'"):
        evaluate(spec(table(), ["uniform"], baselines=("linear",)))
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(MissingExtraError):
        linear.require_fit()
