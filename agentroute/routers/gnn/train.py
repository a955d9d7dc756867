"""Training: soft labels, KL, AdamW, early stopping on validation rows of the examples alone.

Two guards keep a row's own outcome out of what predicts it: the expected quality of a training row
leaves the row out, and the history on the graph's edges that a row sees is learned on other folds.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentroute.errors import MissingExtraError, NotFittedError, RouterStateError
from agentroute.features.entities import Mention, Vocabulary, find_mentions
from agentroute.features.knowledge import I64, Knowledge, history, learn_knowledge
from agentroute.model.embedding import Embedder
from agentroute.model.scores import F64, Examples
from agentroute.routers.gnn.arrays import graph_arrays, uses_mentions
from agentroute.routers.gnn.fitted import Fitted, TrainConfig
from agentroute.routers.gnn.labels import TAU, hard_labels, kl_divergence, soft_labels, softmax
from agentroute.routers.gnn.means import ShrunkenMeans

if TYPE_CHECKING:
    from agentroute.routers.gnn.net import Batch, RouterNet, Statics


@dataclass(frozen=True, slots=True)
class Progress:
    """One epoch: ``kl_val`` in nats, beside that of the uniform and of the expected-mean router."""

    stage: str
    epoch: int
    epochs: int
    loss: float
    kl_val: float
    kl_uniform: float
    kl_expected: float


class Rows(NamedTuple):
    """Training rows as arrays: x (m, e), entity rows, f and expected (m, N), label (m, N)."""

    x: NDArray[np.float32]
    entities: list[list[int]]
    f: F64
    expected: F64
    label: F64


@contextmanager
def one_thread(seed: int) -> Iterator[None]:
    """Torch on one thread and seeded, as it was afterwards (performance.md, section 0)."""
    torch = load_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def load_torch() -> Any:
    """The module ``torch``, imported now.

    Raises:
        MissingExtraError: the extra ``gnn`` is not installed.
    """
    try:
        with warnings.catch_warnings():
            # torch_geometric touches deprecated parts of torch.jit when it is imported.
            warnings.simplefilter("ignore")
            import torch
            import torch_geometric.nn  # noqa: F401  the other half of the extra
    except ImportError as e:
        raise MissingExtraError("gnn", needed_for="training the router 'gnn'") from e
    return torch


class _Trainer:
    """One examples table, its mentions found once; ``run`` trains a network on some of its rows."""

    def __init__(self, examples: Examples, embedder: Embedder, config: TrainConfig) -> None:
        self.examples, self.embedder, self.config = examples, embedder, config
        self.mentions = [find_mentions(t) for t in examples.tasks]
        self.agents = [str(a) for a in examples.cards.names]

    def knowledge(self, rows: I64, residual: F64) -> Knowledge:
        """Knowledge of these rows; ``residual`` aligned with them."""
        mentions: list[tuple[Mention, ...]] = [self.mentions[i] for i in rows]
        return learn_knowledge(mentions, residual, self.agents, self.embedder)

    def rows(self, at: I64, means: ShrunkenMeans, vocabulary: Vocabulary, *, own: bool) -> Rows:
        """Arrays of these rows; ``own`` says that ``means`` were learned on them."""
        f = self.examples.quality[at]
        tasks = [self.examples.tasks[i] for i in at]
        reach = uses_mentions(self.config.variant)
        entities = [vocabulary.rows(self.mentions[i]) if reach else [] for i in at]
        label = hard_labels(f) if self.config.variant == "hard_label" else soft_labels(f)
        expected = means.expected_all(tasks, f if own else None)
        return Rows(self.examples.embedding[at], entities, f, expected, label)

    def prepare(self, at: I64, rng: np.random.Generator) -> Prepared:
        """Means, knowledge, and graphs whose history leaves one fold out each."""
        means = ShrunkenMeans.learn([self.examples.tasks[i] for i in at], self.examples.quality[at])
        tasks = [self.examples.tasks[i] for i in at]
        f = self.examples.quality[at]
        residual = f - means.expected_all(tasks, f)
        residual -= np.nanmean(residual, axis=1, keepdims=True)
        knowledge = self.knowledge(at, residual)
        rows = self.rows(at, means, knowledge.vocabulary, own=True)
        fold = rng.permutation(len(at)) % self.config.folds
        graphs = [self._graph(self._without(knowledge, rows, residual, fold == k))
                  for k in range(self.config.folds)]  # fmt: skip
        return Prepared(means, knowledge, rows, fold, graphs, self._graph(knowledge))

    def _without(
        self, knowledge: Knowledge, rows: Rows, residual: F64, left: NDArray[np.bool_]
    ) -> Knowledge:
        keep = np.flatnonzero(~left)
        kept = [rows.entities[i] for i in keep]
        return replace(knowledge, history=history(kept, residual[keep], len(knowledge.vocabulary)))

    def _graph(self, knowledge: Knowledge) -> Statics:
        from agentroute.routers.gnn.net import statics

        return statics(graph_arrays(knowledge, self.examples.cards, self.config.variant))


class Prepared(NamedTuple):
    """What one training run reads."""

    means: ShrunkenMeans
    knowledge: Knowledge
    rows: Rows
    fold: I64
    graphs: list[Statics]
    graph: Statics


def fit_network(
    examples: Examples,
    embedder: Embedder,
    *,
    seed: int = 0,
    config: TrainConfig | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Fits means, graph and network; chooses the number of epochs on rows that it holds out.

    The network is trained twice: on 80 % of the rows, where the other 20 % say when to stop, how
    far to trust it and what is out of scope; then on all rows for that many epochs.

    Raises:
        MissingExtraError: torch or torch-geometric is not installed.
        NotFittedError: fewer than 10 rows, or no observed quality.
        RouterStateError: the cards were embedded by another embedder.
    """
    config = config or TrainConfig()
    _check(examples, embedder)
    trainer = _Trainer(examples, embedder, config)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(examples))
    cut = max(1, round(config.val_share * len(order)))
    val, train = np.sort(order[:cut]), np.sort(order[cut:])
    with one_thread(seed):
        prepared = trainer.prepare(train, rng)
        held = trainer.rows(val, prepared.means, prepared.knowledge.vocabulary, own=False)
        run = _Run(config, prepared, held, progress)
        best = run.train("select", rng, _epochs(config, len(train)), stop_early=True)
        trust, scope, metrics = run.calibrate(examples.abstain[val])
        if not best:
            trust = 0.0
        final = _Run(config, trainer.prepare(np.arange(len(examples)), rng), held, progress)
        final.train("refit", rng, max(best, 1), stop_early=False)
    metrics |= {"epochs": float(best), "rows": float(len(examples)), "trust": trust}
    weights = {k: v.detach().numpy().copy() for k, v in final.net.state_dict().items()}
    prior = float(np.mean([c.prior_quality for c in examples.cards.cards]))
    return Fitted(
        final.prepared.means, final.prepared.knowledge, weights, trust, scope, prior,
        embedder.id, config, seed, data_sha256(examples), metrics,
    )  # fmt: skip


def data_sha256(examples: Examples) -> str:
    """Names the training data: tasks, cards, embeddings and labels."""
    digest = hashlib.sha256(examples.cards.sha256.encode())
    for task in examples.tasks:
        digest.update(task.model_dump_json().encode() + b"\0")
    for array in (examples.embedding, examples.quality, examples.abstain):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check(examples: Examples, embedder: Embedder) -> None:
    load_torch()
    if embedder.id != examples.cards.embedder_id:
        raise RouterStateError(
            f"the examples were embedded by '{examples.cards.embedder_id}', "
            f"the router 'gnn' embeds by '{embedder.id}'"
        )
    if len(examples) < 10 or np.isnan(examples.quality).all():
        raise NotFittedError(
            f"the router 'gnn' cannot be trained on {len(examples)} rows",
            hint="give it at least 10 tasks with observed quality",
        )


def _batch_size(config: TrainConfig, m: int) -> int:
    return int(np.clip(m // 16, 16, config.batch))


def _epochs(config: TrainConfig, m: int) -> int:
    per_epoch = -(-m // _batch_size(config, m))
    return max(1, min(config.epochs, config.steps // per_epoch))


class _Run:
    """One network being trained on prepared rows."""

    def __init__(
        self,
        config: TrainConfig,
        prepared: Prepared,
        held: Rows,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        torch = load_torch()
        from agentroute.routers.gnn.net import RouterNet

        self.config, self.prepared, self.held, self.progress = config, prepared, held, progress
        n = prepared.rows.f.shape[1]
        self.net: RouterNet = RouterNet(prepared.rows.x.shape[1], config.hidden, n, config.dropout)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.lr, weight_decay=config.decay
        )

    def train(self, stage: str, rng: np.random.Generator, epochs: int, *, stop_early: bool) -> int:
        """Trains and returns the best epoch (0: the untrained network was best)."""
        state = {k: v.clone() for k, v in self.net.state_dict().items()}
        best, best_at = self.held_loss(np.zeros_like(self.held.f)), 0
        for epoch in range(1, epochs + 1):
            loss = float(np.mean([self.step(k, at) for k, at in self._batches(rng)]))
            z = self.predict(self.held)
            self._tell(stage, epoch, epochs, loss, z)
            now = self.held_loss(z)
            if stop_early and now < best:
                best, best_at = now, epoch
                state = {k: v.clone() for k, v in self.net.state_dict().items()}
            if stop_early and epoch - best_at >= self.config.patience:
                break
        if stop_early:
            self.net.load_state_dict(state)
        return best_at

    def _batches(self, rng: np.random.Generator) -> list[tuple[int, I64]]:
        """Fold and rows of each step; a batch stays in one fold, so that it has one graph."""
        size = _batch_size(self.config, len(self.prepared.fold))
        found: list[tuple[int, I64]] = []
        for k in range(self.config.folds):
            at = rng.permutation(np.flatnonzero(self.prepared.fold == k))
            found += [(k, at[i : i + size]) for i in range(0, len(at), size)]
        return [found[i] for i in rng.permutation(len(found))]

    def step(self, fold: int, at: I64) -> float:
        """One AdamW step on KL(p* || softmax(f_hat / tau)) + mse (f_hat - f)^2."""
        torch = load_torch()
        self.net.train()
        rows = self.prepared.rows
        z = self.net(self.prepared.graphs[fold], batch_of(rows, at))
        f_hat = torch.tensor(rows.expected[at], dtype=torch.float32) + z
        p = torch.tensor(rows.label[at], dtype=torch.float32)
        log_q = torch.log_softmax(self.net.log_c.exp() * f_hat / TAU, dim=1)
        kl = (p * (p.log() - log_q)).sum(1).mean()
        f = torch.tensor(rows.f[at], dtype=torch.float32)
        loss = kl + self.config.mse * torch.nanmean((f_hat - f) ** 2)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.optimiser.step()
        return float(loss.detach())

    def predict(self, rows: Rows) -> F64:
        """(m, N) z of held rows over the graph of all training rows."""
        torch = load_torch()
        self.net.eval()
        with torch.inference_mode():
            parts = [
                self.net(
                    self.prepared.graph, batch_of(rows, np.arange(i, min(i + 512, len(rows.x))))
                )
                for i in range(0, len(rows.x), 512)
            ]
        return np.asarray(torch.cat(parts).numpy(), np.float64)

    def held_loss(self, z: F64) -> float:
        """The training loss on held rows."""
        f_hat = self.held.expected + z
        error = np.nanmean((f_hat - self.held.f) ** 2)
        return float(self.held_kl(f_hat) + self.config.mse * error)

    def held_kl(self, f_hat: F64) -> float:
        """Mean KL from the soft labels of held rows, in nats, at the network's own sharpness."""
        c = float(self.net.log_c.detach().exp())
        return float(kl_divergence(soft_labels(self.held.f), softmax(c * f_hat / TAU)).mean())

    def _tell(self, stage: str, epoch: int, epochs: int, loss: float, z: F64) -> None:
        if self.progress is not None:
            kl = self.held_kl(self.held.expected + z)
            zero = self.held_kl(np.zeros_like(z))
            self.progress(
                Progress(stage, epoch, epochs, loss, kl, zero, self.held_kl(self.held.expected))
            )

    def calibrate(
        self, abstain: NDArray[np.bool_]
    ) -> tuple[float, tuple[float, float] | None, dict[str, float]]:
        """Trust in z, the out-of-scope line, and the metrics, all on held rows.

        ``trust`` is the least-squares gamma of (f - expected) ~ gamma z, both centred over the
        agents (only differences between agents matter to a choice), clipped to [0, 1].
        """
        z = self.predict(self.held)
        residual = self.held.f - self.held.expected
        r = residual - np.nanmean(residual, axis=1, keepdims=True)
        c = z - z.mean(axis=1, keepdims=True)
        gamma = float(np.nansum(r * c) / max(float((c * c).sum()), 1e-12))
        trust = float(np.clip(gamma, 0.0, 1.0))
        f_hat = self.held.expected + trust * z
        metrics = {
            "kl_val": self.held_kl(f_hat),
            "kl_uniform": self.held_kl(np.zeros_like(z)),
            "kl_expected": self.held_kl(self.held.expected),
            "gamma": gamma,
        }
        return trust, fit_scope(f_hat.max(axis=1), abstain), metrics


def fit_scope(best: F64, abstain: NDArray[np.bool_]) -> tuple[float, float] | None:
    """(slope, offset) of P(out of scope) = sigmoid(slope best + offset), by 50 Newton steps.

    ``best`` (m,) the largest expected quality of each row. Out-of-scope rows weigh as much as the
    rest together, up to four times their number. None where there are none.
    """
    if not abstain.any() or abstain.all():
        return None
    y = abstain.astype(np.float64)
    w = np.where(abstain, min(4.0, (~abstain).sum() / abstain.sum()), 1.0)
    x = np.column_stack([best, np.ones(len(best))])
    theta = np.zeros(2)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ theta, -30, 30)))
        hessian = (x * (w * p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        theta -= np.linalg.solve(hessian, x.T @ (w * (p - y)) + 1e-3 * theta)
    return float(theta[0]), float(theta[1])


def batch_of(rows: Rows, at: I64) -> Batch:
    """The tensors of these rows."""
    torch = load_torch()
    from agentroute.routers.gnn.net import Batch

    k = np.array([len(rows.entities[i]) for i in at], np.int64)
    entity = np.array([e for i in at for e in rows.entities[i]], np.int64)
    task = np.repeat(np.arange(len(at)), k)
    share = np.repeat(1.0 / np.maximum(k, 1), k).astype(np.float32)
    pairs = torch.tensor(np.stack([task, entity]))
    return Batch(torch.tensor(rows.x[at]), pairs, torch.tensor(share))
