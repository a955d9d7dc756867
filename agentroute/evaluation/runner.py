"""Routers against baselines on outcome tables: the work behind ``agentroute eval``.

Order of work: choose the rows, learn, then score; the test part's labels are read by the scorer
alone. ``full`` learns from all arms' outcomes, ``bandit`` from the chosen arm's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from agentroute.errors import NestedLoopError, UsageError
from agentroute.evaluation.baselines.reference import BASELINE_NAMES, baseline_scores
from agentroute.evaluation.baselines.tfidf import require_fit
from agentroute.evaluation.contestants import (
    Picks,
    PolicyFactory,
    RouterFactory,
    factories,
    learn_bandit,
    learn_full,
    play_frozen,
)  # fmt: skip
from agentroute.evaluation.results import EvalResult
from agentroute.evaluation.stream import Stream, objective_bounds
from agentroute.evaluation.summary import Repetition, summarise
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.evaluation.tables.problem import Problem, make_problem
from agentroute.evaluation.tables.reading import load_table
from agentroute.evaluation.tables.splits import Cut, holdout_cuts, split_cut
from agentroute.features.text import Embedder, make_embedder
from agentroute.model.arrays import Ints
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Objective
from agentroute.model.plans import Spec

Mode = Literal["full", "bandit"]
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class EvalSpec:
    """What ``agentroute eval`` is asked for.

    ``train`` and ``test`` are folders or tables; with ``holdout`` one of them is cut ``cuts``
    times. ``routers`` are specs as in YAML, or a mapping of name to a function of the seed.
    ``seeds`` None means 10, or 1 for each cut of a holdout. ``exploration`` None means each
    policy's own epsilon while it learns. ``objective`` weighs cost and latency in a choice;
    ``score`` stays quality.
    """

    test: Path | str | OutcomeTable | None = None
    train: Path | str | OutcomeTable | None = None
    routers: Sequence[Spec] | Mapping[str, RouterFactory] = ("default",)
    mode: Mode = "full"
    seeds: int | None = None
    train_split: Sequence[str] = ()
    test_split: Sequence[str] = ()
    holdout: float | None = None
    group_by: str | None = None
    cuts: int = 1
    embedder: str | Embedder = "wordllama"
    exploration: float | None = None
    objective: Objective = field(default_factory=Objective)
    baselines: Sequence[str] = BASELINE_NAMES
    first_seed: int = 0


def evaluate(spec: EvalSpec, *, told: Told | None = None) -> EvalResult:
    """Learn, score, and set routers beside baselines.

    Args:
        spec: what is asked for.
        told: called with (repetitions done, repetitions in all) after each.

    Raises:
        UsageError: a spec that cannot be run.
        TableError: see ``load_table`` and ``splits``.
        MissingExtraError: the baseline 'linear' without the extra 'fit'.
        NestedLoopError: called inside a running event loop; await ``evaluate_async`` there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(evaluate_async(spec, told=told))
    raise NestedLoopError(
        "evaluate() was called inside a running event loop", hint="await evaluate_async(spec)"
    )


async def evaluate_async(spec: EvalSpec, *, told: Told | None = None) -> EvalResult:
    """See ``evaluate``."""
    _check(spec)
    return await evaluate_cuts(spec, make_cuts(spec), told=told)


async def evaluate_cuts(
    spec: EvalSpec, cuts: Sequence[Cut], *, told: Told | None = None
) -> EvalResult:
    """As ``evaluate``, on cuts that are already made."""
    _check(spec)
    embedder = make_embedder(spec.embedder) if isinstance(spec.embedder, str) else spec.embedder
    makers = factories(spec.routers, embedder, exploration=spec.exploration)
    done = []
    for c, cut in enumerate(cuts):
        if spec.mode == "bandit":
            refuse_partial([cut], "a bandit has to be told what its own choice earned")
        problem = make_problem(cut, embedder)
        references = baseline_scores(problem, spec.baselines, keyed_rng(spec.first_seed, "base", c))
        for s in range(repetitions_of(spec)):
            seed = spec.first_seed + c * repetitions_of(spec) + s
            plays = {
                name: await _play(make, spec, problem, embedder, seed)
                for name, make in makers.items()
            }
            done.append(Repetition(problem, references, plays))
            if told is not None:
                told(len(done), len(cuts) * repetitions_of(spec))
    return summarise(done, mode=spec.mode, settings=_settings(spec, embedder))


def make_cuts(spec: EvalSpec) -> list[Cut]:
    """The parts to learn from and to score, before anything is learned."""
    train, test = _table(spec.train), _table(spec.test)
    if spec.holdout is not None:
        table = train or test
        if table is None or (train is not None and test is not None):
            raise UsageError("a holdout cuts one table", hint="give --train or --test, not both")
        return holdout_cuts(
            table, holdout=spec.holdout, cuts=spec.cuts, group_by=spec.group_by,
            splits=spec.train_split, seed=spec.first_seed,
        )  # fmt: skip
    if test is None:
        raise UsageError("there is no test table", hint="--test DIR, or --train DIR --holdout 0.2")
    same = spec.train is not None and train is not None and _same_place(spec.train, spec.test)
    return [
        split_cut(
            test if same else train, test,
            train_split=spec.train_split, test_split=spec.test_split,
        )
    ]  # fmt: skip


def refuse_partial(cuts: Sequence[Cut], why: str) -> None:
    """Refuse tables of which only the chosen outcomes are known.

    Raises:
        UsageError: one of the tables is partial; ``why`` says what needs all outcomes.
    """
    partial = [t.name for cut in cuts for t in (cut.train, cut.test) if t.partial]
    if partial:
        raise UsageError(f"{partial[0]} is a partial table: {why}", hint="--mode full alone")


def repetitions_of(spec: EvalSpec) -> int:
    """Seeds for each cut."""
    if spec.seeds is not None:
        return spec.seeds
    return 10 if spec.holdout is None else 1


async def _play(
    make: PolicyFactory, spec: EvalSpec, problem: Problem, embedder: Embedder, seed: int
) -> tuple[Picks, Picks | None, Ints, float]:
    """(frozen picks, picks while learning, order of learning, seconds spent learning)."""
    cut, policy = problem.cut, make(seed)
    learn, score = _streams(cut, embedder, spec.objective)
    alone = not len(cut.train_rows)
    rows = cut.test_rows if alone else cut.train_rows
    order = keyed_rng(seed, "order").permutation(rows)
    start, online = time.perf_counter(), None
    if spec.mode == "bandit":
        online = await learn_bandit(policy, learn, order, keyed_rng(seed, "explore"))
    else:
        await learn_full(policy, learn, rows, embedder, seed)
    spent = time.perf_counter() - start
    if alone and online is not None:
        back = np.argsort(order)
        return Picks(online.chosen[back], online.us[back]), online, order, spent
    picks = await play_frozen(policy, score, cut.test_rows, keyed_rng(seed, "ties"))
    return picks, online, order, spent


def _streams(cut: Cut, embedder: Embedder, objective: Objective) -> tuple[Stream, Stream]:
    """The train stream and the test stream, under bounds that come from the train rows."""
    learn = Stream(cut.train, embedder, objective)
    rows = cut.train_rows
    if objective.cost or objective.latency:
        objective = replace(objective, bounds=objective_bounds(cut.train, rows, learn.candidates))
        learn = Stream(cut.train, embedder, objective)
    same = cut.test is cut.train
    return learn, learn if same else Stream(cut.test, embedder, objective)


def _check(spec: EvalSpec) -> None:
    if spec.mode not in ("full", "bandit"):
        raise UsageError(f"'{spec.mode}' is not a mode", hint="--mode full or --mode bandit")
    if spec.mode == "full" and spec.train is None and spec.holdout is None:
        raise UsageError("full mode needs rows to learn from", hint="--train DIR")
    if repetitions_of(spec) < 1:
        raise UsageError(f"{spec.seeds} seeds are too few", hint="--seeds 10")
    if not spec.routers:
        raise UsageError("no router is named", hint="--router linucb")
    if spec.group_by is not None and spec.holdout is None:
        raise UsageError("--group-by belongs to --holdout", hint="--holdout 0.2 --group-by NAME")
    if "linear" in spec.baselines:
        require_fit()


def _table(where: Path | str | OutcomeTable | None) -> OutcomeTable | None:
    return where if where is None or isinstance(where, OutcomeTable) else load_table(where)


def _same_place(a: object, b: object) -> bool:
    if isinstance(a, (str, Path)) and isinstance(b, (str, Path)):
        return Path(a).resolve() == Path(b).resolve()
    return a is b


def _settings(spec: EvalSpec, embedder: Embedder) -> dict[str, object]:
    return {
        "embedder": embedder.id,
        "seeds": repetitions_of(spec),
        "cuts": spec.cuts if spec.holdout is not None else 1,
        "holdout": spec.holdout,
        "group_by": spec.group_by,
        "train_split": list(spec.train_split),
        "test_split": list(spec.test_split),
        "exploration": spec.exploration,
        "weights": [spec.objective.quality, spec.objective.cost, spec.objective.latency],
    }
