"""Fitting, from examples to all that serving needs; rows outside the examples are never read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agentroute.errors import NotFittedError, RouterStateError
from agentroute.model.arrays import F64, Embedder
from agentroute.model.candidates import Examples
from agentroute.routers.gnn.fitted import Fitted, TrainConfig
from agentroute.routers.gnn.labels import kl_divergence, soft_labels
from agentroute.routers.gnn.training.calibrate import chosen_quality, fit_scope, trust_in
from agentroute.routers.gnn.training.extra import load_torch, one_thread
from agentroute.routers.gnn.training.loop import Epoch, Training, as_new, epochs_for
from agentroute.routers.gnn.training.prepare import Preparation, Rows


def fit_network(
    examples: Examples,
    embedder: Embedder,
    *,
    seed: int = 0,
    config: TrainConfig | None = None,
    progress: Callable[[Epoch], None] | None = None,
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
    preparation = Preparation(examples, embedder, config)
    rng = np.random.default_rng(seed)
    observed = np.flatnonzero(~np.isnan(examples.quality).all(axis=1))
    order = rng.permutation(observed)
    cut = max(1, round(config.val_share * len(order)))
    val, train = np.sort(order[:cut]), np.sort(order[cut:])
    with one_thread(seed):
        prepared = preparation.prepare(train, rng)
        run = Training(config, prepared, progress)
        held = preparation.held(val, prepared)
        best = run.select(held, rng, epochs_for(config, len(train)))
        z = run.predict(held) if best else np.zeros_like(held.f)
        trust, gamma = trust_in(z, held.f - held.expected)
        trust *= _chooses_no_worse(held, held.expected + trust * z)
        trust_new = _trust_new(run, held) if best else 0.0
        f_hat = held.expected + trust * z
        scope = fit_scope(f_hat.max(axis=1), examples.abstain[val])
        metrics = _metrics(run, held, f_hat) | {"gamma": gamma, "epochs": float(best)}
        whole = preparation.prepare(observed, rng)
        final = Training(config, whole, progress)
        final.refit(rng, best)
    weights = {k: v.detach().numpy().copy() for k, v in final.net.state_dict().items()}
    prior = float(np.mean([c.prior_quality for c in examples.cards.cards]))
    return Fitted(
        whole.means, whole.profile, whole.knowledge, weights, trust, trust_new, scope, prior,
        embedder.id, config, seed, examples.sha256(), metrics,
    )  # fmt: skip


def marginal(rows: Rows) -> F64:
    """(N,) the mean soft label of training rows: the best distribution that ignores the task."""
    p = soft_labels(rows.f).mean(axis=0)
    return np.asarray(p / p.sum())


def _metrics(run: Training, held: Rows, f_hat: F64) -> dict[str, float]:
    """What held-out rows say: KL in nats, mean quality of the agents chosen."""
    p = marginal(run.prepared.rows)
    return {
        "kl_val": run.kl(held, f_hat),
        "kl_uniform": run.kl(held, np.zeros_like(f_hat)),
        "kl_marginal": float(np.mean(kl_divergence(soft_labels(held.f), p))),
        "kl_expected": run.kl(held, held.expected),
        "quality": chosen_quality(f_hat, held.f),
        "quality_expected": chosen_quality(held.expected, held.f),
        "rows_held_out": float(len(held.x)),
    }


def _chooses_no_worse(held: Rows, f_hat: F64) -> bool:
    """Whether held-out choices by f_hat are at least as good as without the network."""
    return chosen_quality(f_hat, held.f) >= chosen_quality(held.expected, held.f)


def _trust_new(run: Training, held: Rows) -> float:
    """Trust in z for agents without outcomes, measured on stand-ins whose outcomes are hidden."""
    new = run.stand_ins
    z = run.predict(held, new)[:, new]
    return trust_in(z, (held.f - as_new(held.expected, new))[:, new], centred=False)[0]


def _check(examples: Examples, embedder: Embedder) -> None:
    load_torch()
    if embedder.id != examples.cards.embedder_id:
        raise RouterStateError(
            f"the examples were embedded by '{examples.cards.embedder_id}', "
            f"the router 'gnn' embeds by '{embedder.id}'"
        )
    observed = int((~np.isnan(examples.quality).all(axis=1)).sum())
    if observed < 10:
        raise NotFittedError(
            f"the router 'gnn' cannot be trained on {observed} rows with outcomes",
            hint="give it at least 10 tasks with observed quality",
        )
