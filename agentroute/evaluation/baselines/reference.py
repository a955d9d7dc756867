"""Scores of the baselines row by row, so that a router can be paired with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentroute.errors import UsageError, did_you_mean
from agentroute.evaluation.baselines.rules import BASELINES, Baseline, Guess
from agentroute.evaluation.tables.problem import Inputs, Labels, Problem
from agentroute.evaluation.tables.splits import folds
from agentroute.model.arrays import F64

BASELINE_NAMES = ("random", "best_single", "best_per_feature", "knn", "linear", "oracle")
ABSTAIN_AT = 0.5


def baseline_scores(
    problem: Problem, names: Sequence[str], rng: np.random.Generator
) -> dict[str, F64]:
    """(m,) score of each test row under each baseline; rows out of scope hold 0 and do not count.

    ``random`` is the expectation over arms. Where there are no train rows (a bandit that learns on
    the test table), the learning baselines are cross-fitted over five folds of the test rows with
    all labels: what somebody with full information of the other four fifths would get.

    Of a partial table there is no ``oracle``: the largest of noisy values is none.

    Raises:
        UsageError: an unknown baseline.
    """
    if problem.cut.test.partial:
        names = [n for n in names if n != "oracle"]
    return {name: _row_scores(name, problem, rng) for name in names}


def _row_scores(name: str, problem: Problem, rng: np.random.Generator) -> F64:
    truth = problem.truth
    if name == "random":
        return np.asarray(np.nanmean(truth.quality, axis=1))
    if name == "oracle":
        return np.asarray(truth.quality.max(axis=1))
    if name not in BASELINES:
        raise UsageError(f"no baseline is called '{name}'", hint=did_you_mean(name, BASELINE_NAMES))
    if len(problem.train):
        guess = BASELINES[name](problem.train, problem.known, problem.test, rng)
    else:
        guess = _cross_fitted(BASELINES[name], problem.test, truth, rng)
    return picked_scores(guess, truth)


def picked_scores(guess: Guess, truth: Labels) -> F64:
    """(m,) quality of the arm with the best guess; 0 where the guess is that nobody should go."""
    possible = np.where(np.isnan(truth.quality), -np.inf, guess.quality)
    picked = truth.quality[np.arange(len(truth)), possible.argmax(axis=1)]
    return np.where(guess.out_of_scope >= ABSTAIN_AT, 0.0, picked)


def _cross_fitted(
    baseline: Baseline, inputs: Inputs, truth: Labels, rng: np.random.Generator
) -> Guess:
    quality, away = np.zeros(truth.quality.shape), np.zeros(len(truth))
    for fit, held in folds(len(inputs), 5, rng):
        guess = baseline(inputs.take(fit), truth.take(fit), inputs.take(held), rng)
        quality[held], away[held] = guess.quality, guess.out_of_scope
    return Guess(quality, away)
