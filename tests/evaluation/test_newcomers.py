"""Agents met by their cards alone: counted by the rows that want them, and what others lose."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from agentroute.cli.app import app
from agentroute.errors import UsageError
from agentroute.evaluation.newcomers import Onboarding, draw_hidden, onboarding, without
from agentroute.evaluation.runner import EvalSpec, make_cuts
from agentroute.features.text import HashingEncoder
from agentroute.model.scores import Scores
from tests.evaluation.maketable import row, table, write
from tests.evaluation.players import Recorder

E = HashingEncoder(64)


def intents(folder, n=4, m=48):
    """A task's only word is the name of the agent that is good at it, and so is the card's."""
    arms = ["alpha", "bravo", "charlie", "delta"][:n]
    rows = [
        row(
            i, prompt=f"agent {arms[i % n]}", features={},
            scores={a: float(a == arms[i % n]) for a in arms},
        )
        for i in range(m)
    ]  # fmt: skip
    return write(folder, rows, arms=arms)


def test_hidden_agents_and_their_rows_are_not_learned_of(tmp_path):
    spec = EvalSpec(train=intents(tmp_path / "t"), holdout=0.5, embedder=E)
    cut = make_cuts(spec)[0]
    hidden = draw_hidden(cut, 1, seed=3)
    lessons = without(cut, hidden, E)
    name = cut.test.arms[hidden[0]].name
    assert name not in set(lessons.cards.names) and len(lessons.cards) == 3
    assert all(name not in t.prompt for t in lessons.tasks)
    assert len({tuple(draw_hidden(cut, 2, seed)) for seed in range(20)}) > 3


@pytest.mark.checklist("TC8")
def test_a_router_that_reads_cards_meets_them_at_once(tmp_path):
    spec = EvalSpec(
        train=intents(tmp_path / "t"), holdout=0.5, embedder=E, routers=["skill_match"], seeds=2
    )
    draws = onboarding(spec, 2)["skill_match"]
    assert draws == [Onboarding(1.0, 1.0, 1.0)] * 2
    assert draws[0].to_json()["lost"] == 0.0


class LikesTheLast(Recorder):
    async def score(self, request):
        last = np.arange(len(request.candidates)) / len(request.candidates)
        return Scores(last, np.zeros(len(last)))


def test_before_is_without_their_cards_and_after_with_them(tmp_path):
    spec = EvalSpec(
        train=intents(tmp_path / "t"), holdout=0.5, embedder=E, seeds=12,
        routers={"last": lambda seed: LikesTheLast()},
    )  # fmt: skip
    cut = make_cuts(spec)[0]
    wants = cut.test.scores[cut.test_rows].argmax(axis=1)
    draws = onboarding(spec, 1)["last"]
    hidden = [int(draw_hidden(cut, 1, seed)[0]) for seed in range(12)]
    assert 3 in hidden and set(hidden) != {3}
    for h, got in zip(hidden, draws, strict=True):
        best_known = (wants[wants != h] == max({0, 1, 2, 3} - {h})).mean()
        assert got.newcomers == float(h == 3)
        assert got.before == pytest.approx(best_known)
        assert got.after == pytest.approx(0.0 if h == 3 else best_known)


def test_the_command_prints_them(tmp_path):
    command = ["eval", "--train", str(intents(tmp_path / "t")), "--holdout", "0.5"]
    command += [
        "--embedder",
        "hashing",
        "--router",
        "skill_match",
        "--withhold",
        "1",
        "--seeds",
        "2",
    ]
    words = CliRunner().invoke(app, command)
    assert words.exit_code == 0, words.output
    assert "others lost" in words.stdout
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["newcomers"]
    assert len(found["skill_match"]) == 2


def test_what_cannot_be_withheld():
    spec = EvalSpec(train=table(), holdout=0.3, embedder=E, routers=("knn",))
    with pytest.raises(UsageError, match="withheld"):
        onboarding(spec, 2)
    with pytest.raises(UsageError, match="full mode"):
        onboarding(EvalSpec(test=table(), mode="bandit", embedder=E, routers=("knn",)), 1)
