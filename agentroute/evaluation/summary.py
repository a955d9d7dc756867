"""Repetitions become one result: means, paired differences, intervals over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.evaluation.contestants import NOBODY, Picks
from agentroute.evaluation.curves import stream_curve
from agentroute.evaluation.metrics import TaskScores, bootstrap_ci, by_task, recall_precision
from agentroute.evaluation.results import EvalResult, Json, RouterResult
from agentroute.evaluation.tables.problem import Problem
from agentroute.features.text import MAX_CHARS
from agentroute.model.arrays import F64, Ints

FEW = 30  # scored rows below which a bootstrap over them says too little

Play = tuple[Picks, Picks | None, Ints, float]


@dataclass(frozen=True, slots=True, eq=False)
class Repetition:
    """One seed of one cut: the baselines' row scores (m,) and what each router did."""

    problem: Problem
    references: Mapping[str, F64]
    plays: Mapping[str, Play]


def summarise(done: Sequence[Repetition], *, mode: str, settings: Json) -> EvalResult:
    """One result over all repetitions; tasks are told apart by their ids."""
    place = _places(done)
    references = {b: _gathered(done, place, b) for b in done[0].references}
    first = done[0].problem.cut
    learned = len(first.train_rows)
    return EvalResult(
        train=first.train.name if learned else None,
        test=first.test.name,
        mode=mode,
        rows=len(place),
        train_rows=learned,
        arms=done[0].problem.arms,
        repetitions=len(done),
        baselines={b: s.mean() for b, s in references.items()},
        baseline_ci95={b: bootstrap_ci(s) for b, s in references.items()},
        routers={n: _router(done, place, n, references) for n in done[0].plays},
        notes=_notes(done[0].problem),
        settings=settings,
    )


def _places(done: Sequence[Repetition]) -> dict[str, int]:
    """A number for each task id that was ever scored."""
    place: dict[str, int] = {}
    for r in done:
        for i in r.problem.cut.test_rows:
            place.setdefault(r.problem.cut.test.ids[i], len(place))
    return place


def _tasks(r: Repetition, place: Mapping[str, int]) -> Ints:
    return np.array([place[x] for x in r.problem.cut.test.ids[r.problem.cut.test_rows]])


def _gathered(
    done: Sequence[Repetition], place: Mapping[str, int], name: str, *, router: bool = False
) -> TaskScores:
    tasks, scores = [], []
    for r in done:
        inside = ~r.problem.truth.abstain
        row_scores = _play_scores(r, name) if router else r.references[name]
        tasks.append(_tasks(r, place)[inside])
        scores.append(row_scores[inside])
    return by_task(np.concatenate(tasks), np.concatenate(scores), len(place))


def _play_scores(r: Repetition, name: str) -> F64:
    return _values(r.problem.truth.quality, r.plays[name][0].chosen)


def _values(values: F64, chosen: Ints) -> F64:
    """(m,) value of the chosen arm; 0 for nobody."""
    picked = values[np.arange(len(chosen)), np.maximum(chosen, 0)]
    return np.where(chosen == NOBODY, 0.0, picked)


def _router(
    done: Sequence[Repetition],
    place: Mapping[str, int],
    name: str,
    references: Mapping[str, TaskScores],
) -> RouterResult:
    mine = _gathered(done, place, name, router=True)
    picks = [r.plays[name][0] for r in done]
    refused = np.concatenate([p.chosen == NOBODY for p in picks])
    recall, precision = recall_precision(
        refused, np.concatenate([r.problem.truth.abstain for r in done])
    )
    us = np.percentile(np.concatenate([p.us for p in picks]), [50, 95])
    curve = stream_curve([(r.problem, *r.plays[name][1:3]) for r in done])
    return RouterResult(
        score=mine.mean(),
        ci95=bootstrap_ci(mine),
        abstain_recall=recall,
        abstain_precision=precision,
        cost_usd=_mean_cost(done, name),
        mean_agents=float(1.0 - refused.mean()),
        decision_us_p50=float(us[0]),
        decision_us_p95=float(us[1]),
        per_seed=tuple(_seed_score(r, name) for r in done),
        differences={b: _difference(mine, s) for b, s in references.items()},
        fit_s=float(np.mean([r.plays[name][3] for r in done])),
        learning=None if curve is None else float(curve["mean"][-1]),
        curve=curve,
    )


def _difference(mine: TaskScores, theirs: TaskScores) -> tuple[float, float, float]:
    gap = mine.minus(theirs)
    return (gap.mean(), *bootstrap_ci(gap))


def _seed_score(r: Repetition, name: str) -> float:
    inside = ~r.problem.truth.abstain
    return float(_play_scores(r, name)[inside].mean()) if inside.any() else float("nan")


def _mean_cost(done: Sequence[Repetition], name: str) -> float | None:
    """Mean over rows whose cost was measured; a row that nobody got costs nothing."""
    parts = [
        _values(r.problem.cost_usd, r.plays[name][0].chosen)
        for r in done
        if r.problem.cost_usd is not None
    ]
    costs = np.concatenate(parts) if parts else np.empty(0)
    measured = costs[np.isfinite(costs)]
    return float(measured.mean()) if len(measured) else None


def _notes(problem: Problem) -> tuple[str, ...]:
    table, notes = problem.cut.test, list[str]()
    if table.partial:
        notes.append(
            "one outcome a row is known: scores are doubly robust estimates, among those who could "
            "have been chosen"
        )
    empty = sum(not p.strip() for p in table.prompts)
    if empty:
        notes.append(f"{empty} of {len(table)} prompts are empty: their embedding is zeros")
    if table.clipped:
        notes.append(f"{table.clipped} prompts were cut to their first {MAX_CHARS:,} characters")
    if len(problem.truth) < FEW:
        notes.append(f"{len(problem.truth)} rows are scored: intervals of so few are too narrow")
    if not len(problem.train):
        notes.append("no train rows: the learning baselines are cross-fitted with all labels")
    unseen = int(np.isnan(problem.known.quality).all(axis=0).sum()) if len(problem.train) else 0
    if unseen:
        notes.append(f"{unseen} arms have no train row: they were never seen")
    return tuple(notes)
