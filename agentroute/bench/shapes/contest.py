"""Who picks the better shape: a rule, what was learned, one shape for all, or many tries of one.

``contest()`` draws a world a seed and plays a stream of real task graphs in it, with couplings,
difficulties and latencies of its own each time. Everybody sees the same graphs and the same luck;
what is compared is the expected utility of the shape that was picked, over tries of one instance.
The learned selector starts with nothing and is told of each run what came of its own choice alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agentroute.choosing.decide import decide
from agentroute.choosing.exploration import Epsilon
from agentroute.config.paths import bundled_data
from agentroute.evaluation.metrics import t_interval
from agentroute.evaluation.splitting import Reference, read_references
from agentroute.evaluation.worlds.shapeworld import Instance, Played, World, play, votes
from agentroute.model.arrays import F64
from agentroute.model.ids import keyed_rng
from agentroute.model.objective import Bounds, Objective
from agentroute.model.plans import Topology
from agentroute.planning.selecting.model import ShapeModel
from agentroute.planning.selecting.selector import NEVER, Selector

SHAPES = tuple(Topology)
OBJECTIVES: Mapping[str, tuple[float, float, float]] = {
    "balanced": (1.0, 0.25, 0.25), "quality alone": (1.0, 0.0, 0.0),
}  # fmt: skip
TRIES, RUNS, CALIBRATE, EXPLORATION = 32, 2_000, 100, 0.05
ADAPTIVE, LEARNED, ORACLE, VOTES = "adaptive", "learned", "oracle", "self-consistency"
NAMES = (*(t.value for t in SHAPES), VOTES, ADAPTIVE, LEARNED, ORACLE)


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """The mean utility of each contestant, (seeds,); ``late`` over the last third of the stream.

    ``best`` counts which shape was the best one of an instance, ``picked`` which was learned.
    """

    objective: str
    utility: dict[str, F64]
    late: dict[str, F64]
    best: Counter[str]
    picked: Counter[str]

    def gap(self, who: str, other: str, *, late: bool = False) -> tuple[float, float, float]:
        """Mean difference over seeds and its 95 % interval by Student's t; paired by seed."""
        of = self.late if late else self.utility
        return t_interval(of[who] - of[other])

    def share(self, of: Counter[str], shape: Topology) -> float:
        """How often a shape was counted, of all."""
        return of[shape.value] / max(1, sum(of.values()))


@dataclass
class _Stream:
    """One world under one objective: the learner, and (utility, what it was) by contestant."""

    objective: Objective
    model: ShapeModel
    rows: dict[str, list[tuple[float, Played]]] = field(default_factory=dict)
    best: Counter[str] = field(default_factory=Counter)
    picked: Counter[str] = field(default_factory=Counter)

    def play(
        self, x: Instance, played: Mapping[str, Played], voted: Played, t: int, seed: int
    ) -> None:
        """One instance: everybody's utility, and what the learner is told."""
        worth = {s: self._worth(p) for s, p in played.items()}
        rule, first = x.choice.topology, max(worth, key=lambda s: worth[s])
        o = self.objective
        plain = Objective(o.quality, o.cost, o.latency)  # the world's bounds are not the learner's
        scores = self.model.scores(x.choice.stats, SHAPES, rule, plain)
        drawn = decide(
            scores, exploration=Epsilon(EXPLORATION), abstain_at=NEVER,
            rng=keyed_rng(seed, "draw", t),
        )  # fmt: skip
        mine = SHAPES[drawn.positions[0]]
        choices = {**{s: s for s in played}, ADAPTIVE: rule.value, LEARNED: mine.value}
        for who, s in {**choices, ORACLE: first}.items():
            self.rows.setdefault(who, []).append((worth[s], played[s]))
        self.rows.setdefault(VOTES, []).append((self._worth(voted), voted))
        self.best[first] += 1
        self.picked[mine.value] += 1
        got = played[mine.value]
        self.model.update(
            x.choice.stats, mine, rule, quality=float(got.quality[t % TRIES]),
            usage=(got.cost_usd, got.seconds),
        )  # fmt: skip

    def _worth(self, p: Played) -> float:
        cost, seconds = np.array(p.cost_usd), np.array(p.seconds)
        return float(self.objective.utility(np.asarray(p.quality.mean()), cost, seconds))


def contest(
    data: Path | None = None, *, seeds: Sequence[int] = range(30), runs: int = RUNS,
    selector: Selector | None = None,
) -> list[Contest]:  # fmt: skip
    """Play ``runs`` graphs of ``data`` (WorFBench's by default) in the world of each seed.

    One result an objective of ``OBJECTIVES``, on the same instances.

    Raises:
        TableError: the file holds no task graphs.
    """
    file = data or bundled_data("worfbench") / "graphs.jsonl.gz"
    graphs = [r for r in read_references(file) if len(r.nodes) > 1]
    worlds = [_world(graphs, seed, runs, selector or Selector()) for seed in seeds]
    return [_summed(name, [w[name] for w in worlds], runs) for name in OBJECTIVES]


def _world(
    graphs: Sequence[Reference], seed: int, runs: int, selector: Selector
) -> dict[str, _Stream]:
    world = World.drawn(seed)
    bounds = _bounds(graphs, world, seed)
    streams = {
        name: _Stream(Objective(*weights, bounds=bounds), selector.model())
        for name, weights in OBJECTIVES.items()
    }
    for t in range(runs):
        rng = keyed_rng(seed, "instance", t)
        x = _drawn(graphs, world, rng)
        draws = rng.random((TRIES, 3, len(x.graph)))
        played = {s.value: play(x, s, world, draws) for s in SHAPES}
        k = max(1, round(played[x.choice.topology.value].tokens / played["single"].tokens))
        voted = votes(x, world, k, tries=TRIES, rng=rng)
        for stream in streams.values():
            stream.play(x, played, voted, t, seed)
    return streams


def _summed(name: str, worlds: Sequence[_Stream], runs: int) -> Contest:
    def means(who: str, start: int = 0) -> F64:
        return np.array([np.mean([u for u, _ in w.rows[who][start:]]) for w in worlds])

    late = runs - runs // 3
    return Contest(
        name,
        {who: means(who) for who in NAMES},
        {who: means(who, late) for who in NAMES},
        sum((w.best for w in worlds), Counter()),
        sum((w.picked for w in worlds), Counter()),
    )


def _drawn(graphs: Sequence[Reference], world: World, rng: np.random.Generator) -> Instance:
    of = graphs[int(rng.integers(len(graphs)))]
    return Instance.drawn(len(of.nodes), sorted(of.edges), world, rng)


def _bounds(graphs: Sequence[Reference], world: World, seed: int) -> Bounds:
    """5th and 95th percentile of what runs of this world cost and take, in any shape."""
    used = []
    for t in range(CALIBRATE):
        rng = keyed_rng(seed, "bounds", t)
        x = _drawn(graphs, world, rng)
        draws = rng.random((TRIES, 3, len(x.graph)))
        used += [(p.cost_usd, p.seconds) for p in (play(x, s, world, draws) for s in SHAPES)]
    (cost_lo, late_lo), (cost_hi, late_hi) = np.percentile(np.log1p(used), [5, 95], axis=0)
    return Bounds(float(cost_lo), float(cost_hi), float(late_lo), float(late_hi))
