"""From labelled examples to what training reads, with no row's own outcome in what predicts it.

The expected quality of a training row leaves the row out; the profile and the history on the
edges that a row sees are learned on other folds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentroute.features.entities import Vocabulary, find_mentions
from agentroute.features.knowledge import I64, Knowledge, history, learn_knowledge
from agentroute.model.arrays import F32, F64, Embedder
from agentroute.model.candidates import Examples
from agentroute.routers.gnn.arrays import graph_arrays, uses_mentions
from agentroute.routers.gnn.fitted import TrainConfig
from agentroute.routers.gnn.labels import hard_labels, soft_labels
from agentroute.routers.gnn.means import ShrunkenMeans
from agentroute.routers.gnn.profile import Profile

if TYPE_CHECKING:
    from agentroute.routers.gnn.training.net import Statics


class Rows(NamedTuple):
    """Training rows as arrays: x (m, e), entity rows, f and expected (m, N), label (m, N)."""

    x: F32
    entities: list[list[int]]
    f: F64
    expected: F64
    label: F64


class Prepared(NamedTuple):
    """What one training run reads."""

    means: ShrunkenMeans
    profile: Profile
    knowledge: Knowledge
    rows: Rows
    fold: I64
    graphs: list[Statics]
    graph: Statics


class Preparation:
    """One table of examples, its mentions found once."""

    def __init__(self, examples: Examples, embedder: Embedder, config: TrainConfig) -> None:
        self.examples, self.embedder, self.config = examples, embedder, config
        self.mentions = [find_mentions(t) for t in examples.tasks]
        self.agents = [str(a) for a in examples.cards.names]

    def knowledge(self, rows: I64, residual: F64) -> Knowledge:
        """Knowledge of these rows; ``residual`` aligned with them."""
        mentions = [self.mentions[i] for i in rows]
        return learn_knowledge(mentions, residual, self.agents, self.embedder)

    def rows(self, at: I64, expected: F64, vocabulary: Vocabulary) -> Rows:
        """Arrays of these rows; ``expected`` (m, N) what means and profile say of them."""
        f = self.examples.quality[at]
        reach = uses_mentions(self.config.variant)
        entities = [vocabulary.rows(self.mentions[i]) if reach else [] for i in at]
        label = hard_labels(f) if self.config.variant == "hard_label" else soft_labels(f)
        return Rows(self.examples.embedding[at], entities, f, expected, label)

    def prepare(self, at: I64, rng: np.random.Generator) -> Prepared:
        """Means, profile, knowledge, and graphs whose history leaves one fold out each."""
        tasks, f = [self.examples.tasks[i] for i in at], self.examples.quality[at]
        weight = None if self.examples.weight is None else self.examples.weight[at]
        means = ShrunkenMeans.learn(tasks, f, weight)
        expected = means.expected_all(tasks, f, weight)
        residual = f - expected
        residual -= np.nanmean(residual, axis=1, keepdims=True)
        fold = rng.permutation(len(at)) % self.config.folds
        profile, others = Profile.learn(self.examples.embedding[at], residual, fold)
        knowledge = self.knowledge(at, residual)
        rows = self.rows(at, expected + others, knowledge.vocabulary)
        graphs = [self._graph(self._without(knowledge, rows, residual, fold == k))
                  for k in range(self.config.folds)]  # fmt: skip
        return Prepared(means, profile, knowledge, rows, fold, graphs, self._graph(knowledge))

    def held(self, at: I64, prepared: Prepared) -> Rows:
        """Rows that ``prepared`` has not seen."""
        tasks = [self.examples.tasks[i] for i in at]
        expected = prepared.means.expected_all(tasks)
        expected = expected + self.examples.embedding[at] @ prepared.profile.weight
        return self.rows(at, expected, prepared.knowledge.vocabulary)

    def _without(
        self, knowledge: Knowledge, rows: Rows, residual: F64, left: NDArray[np.bool_]
    ) -> Knowledge:
        keep = np.flatnonzero(~left)
        kept = [rows.entities[i] for i in keep]
        return replace(knowledge, history=history(kept, residual[keep], len(knowledge.vocabulary)))

    def _graph(self, knowledge: Knowledge) -> Statics:
        from agentroute.routers.gnn.training.net import statics

        return statics(graph_arrays(knowledge, self.examples.cards, self.config.variant))
