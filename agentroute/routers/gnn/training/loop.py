"""The training loop: KL to soft labels and squared error, AdamW, early stopping.

Each step hides some agents (no identity, no history, an average expectation), so that the network
learns to score agents that it has never seen from their cards and edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentroute.features.knowledge import I64
from agentroute.model.arrays import F64
from agentroute.routers.gnn.fitted import TrainConfig
from agentroute.routers.gnn.labels import TAU, kl_divergence, soft_labels, softmax
from agentroute.routers.gnn.training.extra import load_torch
from agentroute.routers.gnn.training.prepare import Prepared, Rows

if TYPE_CHECKING:
    from torch import Tensor

    from agentroute.routers.gnn.training.net import Batch, RouterNet, Statics

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of ``select`` or ``refit``; ``kl_val`` in nats, None where nothing is held out."""

    stage: str
    epoch: int
    epochs: int
    loss: float
    kl_val: float | None


def as_new(expected: F64, new: Bools) -> F64:
    """(m, N) expected, where the agents ``new`` (N,) are expected to be like the average agent."""
    return np.where(new, expected.mean(axis=1, keepdims=True), expected)


def batch_size(config: TrainConfig, m: int) -> int:
    """Tasks a step for m rows: about 16 steps an epoch until the largest batch is reached."""
    return int(np.clip(m // 16, 16, config.batch))


def epochs_for(config: TrainConfig, m: int) -> int:
    """Most epochs for m rows, so that the steps stay in bounds: work does not depend on time."""
    per_epoch = -(-m // batch_size(config, m))
    return max(1, min(config.epochs, config.steps // per_epoch))


class Training:
    """One network being trained on prepared rows."""

    def __init__(
        self, config: TrainConfig, prepared: Prepared, progress: Callable[[Epoch], None] | None
    ) -> None:
        torch = load_torch()
        from agentroute.routers.gnn.training.net import RouterNet

        self.config, self.prepared, self.progress = config, prepared, progress
        (_, e), (_, n) = prepared.rows.x.shape, prepared.rows.f.shape
        self.stand_ins: Bools = np.arange(n) % 5 == 4 if n >= 5 else np.arange(n) == n - 1
        self.net: RouterNet = RouterNet(e, config.hidden, n, config.dropout)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.lr, weight_decay=config.decay
        )

    def select(self, held: Rows, rng: np.random.Generator, epochs: int) -> int:
        """Trains until held rows no longer gain; returns the best epoch, whose weights it keeps.

        A held row counts twice: as it is, and with the ``stand_ins`` hidden, so that the network
        kept is good for new agents too. 0 means that no network beat none at all.
        """
        new, state = self.stand_ins, self._copy()
        alone = as_new(held.expected, new)
        best, best_at = self._loss(held, held.expected) + self._loss(held, alone), 0
        for epoch in range(1, epochs + 1):
            loss = self._epoch(rng)
            f_hat = held.expected + self.predict(held)
            now = self._loss(held, f_hat) + self._loss(held, alone + self.predict(held, new))
            self._tell(Epoch("select", epoch, epochs, loss, self.kl(held, f_hat)))
            if now < best:
                best, best_at, state = now, epoch, self._copy()
            if epoch - best_at >= self.config.patience:
                break
        self.net.load_state_dict(state)
        return best_at

    def refit(self, rng: np.random.Generator, epochs: int) -> None:
        """Trains for a known number of epochs."""
        for epoch in range(1, epochs + 1):
            self._tell(Epoch("refit", epoch, epochs, self._epoch(rng), None))

    def _epoch(self, rng: np.random.Generator) -> float:
        return float(np.mean([self.step(k, at) for k, at in self._batches(rng)]))

    def _copy(self) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in self.net.state_dict().items()}

    def _tell(self, progress: Epoch) -> None:
        if self.progress is not None:
            self.progress(progress)

    def _batches(self, rng: np.random.Generator) -> list[tuple[int, I64]]:
        """Fold and rows of each step; a batch stays in one fold, so that it has one graph."""
        size = batch_size(self.config, len(self.prepared.fold))
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
        new = torch.rand(rows.f.shape[1]) < self.config.hide
        z = self.net(self._hidden(self.prepared.graphs[fold], new), batch_of(rows, at))
        f_hat = torch.tensor(as_new(rows.expected[at], new.numpy()), dtype=torch.float32) + z
        f, p = (torch.tensor(v[at], dtype=torch.float32) for v in (rows.f, rows.label))
        seen = ~torch.isnan(f)
        c = self.net.log_c.exp()
        log_q = torch.log_softmax((c * f_hat / TAU).masked_fill(~seen, -1e9), dim=1)
        kl = torch.where(seen, torch.xlogy(p, p) - p * log_q, 0.0).sum(1).mean()
        error = torch.where(seen, f_hat - f.nan_to_num(), 0.0)
        loss = kl + self.config.mse * (error**2).sum() / seen.sum()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.optimiser.step()
        return float(loss.detach())

    def _hidden(self, graph: Statics, new: Tensor) -> Statics:
        from agentroute.routers.gnn.training.net import hide

        return hide(graph, new, len(self.net.identity) - 1)

    def predict(self, rows: Rows, new: Bools | None = None) -> F64:
        """(m, N) z of held rows over the graph of all training rows; agents ``new`` are hidden."""
        torch = load_torch()
        self.net.eval()
        graph = self.prepared.graph
        if new is not None:
            graph = self._hidden(graph, torch.tensor(new))
        with torch.inference_mode():
            parts = [
                self.net(graph, batch_of(rows, np.arange(i, min(i + 512, len(rows.x)))))
                for i in range(0, len(rows.x), 512)
            ]
        return np.asarray(torch.cat(parts).numpy(), np.float64)

    def _loss(self, rows: Rows, f_hat: F64) -> float:
        """The training loss."""
        return self.kl(rows, f_hat) + self.config.mse * float(np.nanmean((f_hat - rows.f) ** 2))

    def kl(self, rows: Rows, f_hat: F64) -> float:
        """Mean KL from the soft labels, in nats, at the network's own sharpness c."""
        c = float(self.net.log_c.detach().exp())
        q = softmax(np.where(np.isnan(rows.f), -np.inf, c * f_hat / TAU))
        return float(kl_divergence(soft_labels(rows.f), q).mean())


def batch_of(rows: Rows, at: I64) -> Batch:
    """The tensors of these rows."""
    torch = load_torch()
    from agentroute.routers.gnn.training.net import Batch

    k = np.array([len(rows.entities[i]) for i in at], np.int64)
    entity = np.array([e for i in at for e in rows.entities[i]], np.int64)
    task = np.repeat(np.arange(len(at)), k)
    share = np.repeat(1.0 / np.maximum(k, 1), k).astype(np.float32)
    pairs = torch.tensor(np.stack([task, entity]))
    return Batch(torch.tensor(rows.x[at]), pairs, torch.tensor(share))
