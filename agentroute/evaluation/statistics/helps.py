"""Does learning help? What was got, beside what the cards alone would have got."""

from __future__ import annotations

from agentroute.errors import OverlapError
from agentroute.evaluation.offpolicy.estimators import Estimate, estimate
from agentroute.evaluation.offpolicy.logged import from_ledger
from agentroute.learning.base import start_policy
from agentroute.learning.state import StateStore
from agentroute.ledger import Ledger
from agentroute.model.arrays import Embedder
from agentroute.model.plans import Spec
from agentroute.model.record import Part


class Helps(Part):
    """The logged policy's mean quality, and an estimate of the same router untaught."""

    rows: int
    """Judged decisions that count."""
    logged: float
    """Mean quality that was got."""
    untaught: float
    """Doubly robust estimate for the router as it was before the first row."""
    gain: float
    """The difference."""
    ci95: tuple[float, float]
    """95 % interval of the estimate's share of the difference."""
    words: str
    """The same in a sentence."""


async def learning_helps(
    ledger: Ledger,
    router: Spec,
    *,
    embedder: Embedder,
    states: StateStore | None = None,
    seed: int = 0,
    after_seq: int = 0,
) -> Helps | str:
    """Off-policy: what the router would have got had it learned nothing; why not, where it cannot
    be said. A router that starts from a state, one of ``states``, has learned that.
    Only decisions after row ``after_seq`` count.
    """
    policy, _ = start_policy(router, embedder=embedder, states=states, seed=seed, trusted=True)
    try:
        found = await from_ledger(ledger, policy, after_seq=after_seq)
        off = estimate(found.rows)
    except OverlapError as e:
        return f"{e}"
    lo, hi = off.logged.value - off.dr.hi, off.logged.value - off.dr.lo
    gain = off.logged.value - off.dr.value
    return Helps(
        rows=off.rows,
        logged=off.logged.value,
        untaught=off.dr.value,
        gain=gain,
        ci95=(lo, hi),
        words=_words(gain, lo, hi, off.logged, off.rows),
    )


def _words(gain: float, lo: float, hi: float, logged: Estimate, rows: int) -> str:
    sure = "helps" if lo > 0 else "hurts" if hi < 0 else "makes no difference that can be seen"
    return (
        f"learning {sure}: quality {logged.value:.3f} over {rows} judged choices, "
        f"{gain:+.3f} [{lo:+.3f}, {hi:+.3f}] beside the cards alone"
    )
