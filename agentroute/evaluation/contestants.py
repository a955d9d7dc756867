"""One router under evaluation: how it learns from a table, and how it is scored frozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentroute.choosing.catalog import FIELD, make_policy
from agentroute.choosing.exploration import DEFAULT, Epsilon
from agentroute.choosing.policy import Policy
from agentroute.choosing.protocol import FittableRouter, Router
from agentroute.errors import UsageError
from agentroute.evaluation.stream import Stream
from agentroute.features.text import Embedder
from agentroute.learning.observe import with_evidence
from agentroute.model.arrays import F64, Ints
from agentroute.model.ids import keyed_rng
from agentroute.model.plans import AgentUse, Spec

NOBODY = -1
PolicyFactory = Callable[[int], Policy]
RouterFactory = Callable[[int], Router]


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """What a router did with rows: ``chosen`` (m,) an arm or -1 for nobody; ``us`` (m,) time."""

    chosen: Ints
    us: F64


def factories(
    routers: Sequence[Spec] | Mapping[str, RouterFactory],
    embedder: Embedder,
    *,
    exploration: float | None = None,
) -> dict[str, PolicyFactory]:
    """Name to a function of the seed that makes a fresh policy.

    Specs are as in YAML (a ``label`` tells two settings of one router apart); a mapping gives
    functions that make routers of the user's own. ``exploration`` overrides every epsilon.

    Raises:
        UsageError: a name twice, or a state: what it was fitted on may be among the test rows.
        ConfigError: an unknown router or parameter (from the catalogue).
    """
    if isinstance(routers, Mapping):
        return {name: _wrapped(make, exploration) for name, make in routers.items()}
    out: dict[str, PolicyFactory] = {}
    for spec in routers:
        written = AgentUse.of(spec, field=FIELD).written()
        label = str(written.pop("label", written["name"]))
        if "state" in written:
            raise UsageError(
                f"'{label}' names a state: here routers learn from the train rows alone",
                hint="leave state out",
            )
        if label in out:
            raise UsageError(f"the router '{label}' is given twice", hint="add a label")
        out[label] = _from_catalog(written, embedder, exploration)
    return out


def _wrapped(make: RouterFactory, exploration: float | None) -> PolicyFactory:
    how = DEFAULT if exploration is None else Epsilon(exploration)
    return lambda seed: Policy(make(seed), exploration=how)


def _from_catalog(spec: Spec, embedder: Embedder, exploration: float | None) -> PolicyFactory:
    def make(seed: int) -> Policy:
        return make_policy(spec, embedder=embedder, seed=seed, exploration=exploration)

    make(0)  # an unknown name or parameter is refused before any work
    return make


async def learn_full(
    policy: Policy, stream: Stream, rows: Ints, embedder: Embedder, seed: int
) -> None:
    """Show every outcome of every row: by ``fit``, else by ``update``, rows in a seeded order.

    Rows of a table carry no time, so their order in a file (often sorted by task) means nothing;
    streamed as they lie, it would read as drift.
    """
    router = policy.router
    if isinstance(router, FittableRouter):
        router.fit(stream.table.examples(rows, embedder), seed=seed)
        return
    seq = 0
    for i in keyed_rng(seed, "order").permutation(rows):
        request = stream.request(i)
        for j in stream.known(i):
            seq += 1
            p = 1.0 if stream.table.propensity is None else float(stream.table.propensity[i, j])
            router.update(stream.observation(request, i, j, seq, p))


async def learn_bandit(
    policy: Policy, stream: Stream, order: Ints, rng: np.random.Generator
) -> Picks:
    """Stream the rows; only the chosen arm's outcome is shown. Returns what was chosen."""
    chosen, us = np.full(len(order), NOBODY, np.int64), np.zeros(len(order))
    for t, i in enumerate(order):
        request = stream.request(i)
        start = time.perf_counter()
        scores, choice = await policy.choose(request, rng=rng)
        us[t] = 1e6 * (time.perf_counter() - start)
        if choice.positions:
            j = chosen[t] = choice.positions[0]
            asked = with_evidence(request, scores)  # as rows of a ledger are folded
            policy.router.update(stream.observation(asked, i, j, t + 1, choice.propensity))
    return Picks(chosen, us)


async def play_frozen(
    policy: Policy, stream: Stream, rows: Ints, rng: np.random.Generator
) -> Picks:
    """Argmax of the mean: no bonus, no exploration, nothing learned. Ties are drawn by ``rng``."""
    chosen, us = np.full(len(rows), NOBODY, np.int64), np.zeros(len(rows))
    for t, i in enumerate(rows):
        request = stream.request(i)
        start = time.perf_counter()
        scores = await policy.scores(request)
        if scores.out_of_scope < policy.abstain_at:
            chosen[t] = request.candidates.rows[argmax(scores.mean, rng)]
        us[t] = 1e6 * (time.perf_counter() - start)
    return Picks(chosen, us)


def argmax(mean: F64, rng: np.random.Generator) -> int:
    """A position of the largest value; ties within 1e-6 are drawn; NaN is never chosen."""
    best = np.flatnonzero(mean >= np.nanmax(mean) - 1e-6)
    return int(best[0] if len(best) == 1 else rng.choice(best))
