import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agentroute.errors import TableError, UsageError
from agentroute.evaluation.learning import learning_curve
from agentroute.evaluation.reportdata import charts
from agentroute.evaluation.runner import EvalSpec, evaluate, make_cuts
from agentroute.evaluation.sweep import Point, cost_sweep, hypervolume, summarise_sweep
from agentroute.features.text import HashingEncoder
from tests.evaluation.maketable import table
from tests.evaluation.players import Recorder

DATA = Path(__file__).parents[2] / "examples" / "data"
E = HashingEncoder(64)
CHEAP = ("random", "best_single", "best_per_feature", "oracle")


def test_hypervolume_by_hand():
    """Scale from log1p(0) to log1p(e - 1) = 1: costs 0 and e - 1 are saved 1 and 0."""
    hi = np.e - 1
    half = np.exp(0.5) - 1
    assert hypervolume([Point("a", 0.6, 0.0)], 0.0, hi) == pytest.approx(0.6)
    assert hypervolume([Point("a", 0.9, hi)], 0.0, hi) == 0.0
    both = [Point("a", 0.9, half), Point("b", 0.6, 0.0), Point("dominated", 0.5, half)]
    assert hypervolume(both, 0.0, hi) == pytest.approx(0.5 * 0.9 + 0.5 * 0.6)
    assert hypervolume(both, 1.0, 1.0) == 0.9


def test_monotone_and_dominated_are_judged_from_the_points():
    arms = [Point("dear", 0.8, 2.0), Point("cheap", 0.5, 1.0)]
    good = summarise_sweep("r", [Point("0", 0.9, 1.5), Point("1", 0.5, 1.0)], arms, 10)
    assert good.monotone and good.dominated == ("dear",)
    assert good.hypervolume > good.arms_hypervolume
    rising = [Point("0", 0.9, 1.0), Point("1", 0.5, 1.1)]
    assert not summarise_sweep("r", rising, arms, 9).monotone
    hardly = summarise_sweep("r", [Point("0", 0.9, 1.0), Point("1", 0.9, 1.001)], arms, 9)
    assert not hardly.monotone and hardly.largest_rise == pytest.approx(0.001 / 1.001)


@pytest.mark.checklist("LB4")
def test_a_sweep_over_real_costs_is_monotone_and_beats_single_agents():
    """Learn on one half of the rows with measured costs, score on the other."""
    spec = EvalSpec(
        train=DATA / "coderouterbench", routers=["linucb"], holdout=0.5, train_split=["val"]
    )
    sweep = cost_sweep(spec, (0.0, 0.1, 0.35, 1.0, 16.0))[0]
    assert sweep.rows > 450 and len(sweep.arms) == 8
    assert sweep.monotone
    assert sweep.curve[-1].cost_usd < 0.5 * sweep.curve[0].cost_usd
    cheapest = min(sweep.arms, key=lambda a: a.cost_usd).label
    assert set(sweep.dominated) >= {a.label for a in sweep.arms} - {cheapest}
    assert sweep.hypervolume > sweep.arms_hypervolume + 0.05
    json.dumps(sweep.to_json())


def test_a_sweep_is_the_mean_of_its_cuts():
    """Curves and arms of three cuts; each cut alone is what the sweep of that cut says."""
    one = EvalSpec(
        train=DATA / "coderouterbench", routers=["skill_match"], holdout=0.1, train_split=["val"]
    )
    many = replace(one, cuts=3)
    sweep, first = (cost_sweep(x, (0.0, 1.0))[0] for x in (many, one))
    complete = [
        (c.test, [r for r in c.test_rows if np.isfinite(c.test.cost_usd[r]).all()])
        for c in make_cuts(many)
    ]
    assert sweep.rows == sum(len(rows) for _, rows in complete)
    for j, arm in enumerate(sweep.arms):
        assert arm.quality == pytest.approx(
            np.mean([t.scores[rows, j].mean() for t, rows in complete])
        )
        assert arm.cost_usd == pytest.approx(
            np.mean([t.cost_usd[rows, j].mean() for t, rows in complete])
        )
    assert [p.label for p in sweep.curve] == ["0", "1"]
    assert sweep.curve != first.curve


def test_a_sweep_without_measured_costs_is_refused():
    with pytest.raises(TableError, match="no measured cost"):
        cost_sweep(EvalSpec(train=table(), test=table(), routers=["uniform"], embedder=E))


def spec(t, **changes):
    base = {
        "train": t, "test": t, "routers": {"r": lambda seed: Recorder()}, "embedder": E,
        "seeds": 2, "baselines": CHEAP,
    }  # fmt: skip
    return EvalSpec(**(base | changes))


async def test_a_learning_curve_ends_where_the_evaluation_is():
    t = table(300, flip=0.0)
    curve = await learning_curve(spec(t), sizes=[2, 20, 5_000])
    assert curve["at"] == [2, 20, 150]
    assert curve["routers"]["r"][-1] == 1.0 > curve["routers"]["r"][0]
    assert len(curve["baselines"]["best_single"]) == 3
    assert len(set(curve["baselines"]["oracle"])) == 1, "the test rows stay the same"


@pytest.mark.parametrize("bad", [[], [1]])
async def test_a_learning_curve_that_cannot_be_drawn_is_refused(bad):
    with pytest.raises(UsageError):
        await learning_curve(spec(table()), sizes=bad)
    with pytest.raises(UsageError, match="train rows"):
        await learning_curve(spec(table(), train=None, mode="bandit"))


def test_regret_along_a_stream_adds_up():
    t = table(200, flip=0.0)
    result = evaluate(spec(t, mode="bandit"))
    curve = result.routers["r"].curve
    assert curve["at"][0] == 1 and curve["at"][-1] == 100
    lost = (1 - result.routers["r"].learning) * 100
    assert curve["regret"]["oracle"][-1] == pytest.approx(lost)
    assert curve["regret"]["best_per_feature"][-1] == pytest.approx(lost), "nothing is noisy"
    assert curve["regret"]["uniform"][-1] < 0 < curve["regret"]["oracle"][-1]


def test_the_charts_are_plain_data():
    result = evaluate(spec(table(200), mode="bandit"))
    sweep = summarise_sweep("r", [Point("0", 0.9, 2.0)], [Point("a", 0.5, 1.0)], 3)
    curve = {"at": [2, 4], "routers": {"r": [0.1, 0.2]}, "baselines": {"random": [0.1, 0.1]}}
    drawn = charts(result, [sweep], curve)
    json.dumps(drawn)
    assert [c["kind"] for c in drawn] == ["bars", "lines", "lines", "lines", "points"]
    values = [b["value"] for b in drawn[0]["bars"]]
    assert values == sorted(values, reverse=True) and len(values) == 5
