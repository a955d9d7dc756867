"""Live state from the ledger: what the last outcomes say of the agents, each seen once."""

from __future__ import annotations

from datetime import datetime

from agentroute.ledger import Ledger
from agentroute.model.cards import Limits
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import EMBEDDERS, PLANNERS, ROUTERS, Outcome
from agentroute.registry.registry import Registry

RESET = "agent.reset"
LATEST = 1000


def take_up(registry: Registry, ledger: Ledger) -> None:
    """Observe the last outcomes that this registry has not seen of that ledger, in order.

    A breaker opens by the limits of the agent's own card, with the time taken from the rows. An
    outcome that an agent's reset forgives leaves its breaker shut.
    """
    live, name = registry.live, str(ledger.path)
    known, head = live.known.get(name, 0), ledger.head()[0]
    forgiven = {n.data["agent"]: int(n.data["seq"]) for n in ledger.notes("", RESET)}
    for row in ledger.last_outcomes(LATEST):
        o = row.value
        if (
            row.seq <= known
            or not isinstance(o, Outcome)
            or o.agent.startswith((ROUTERS, EMBEDDERS, PLANNERS))
        ):
            continue
        limits = registry[o.agent].card.limits if o.agent in registry else Limits()
        live.observe(
            o.agent, cost_usd=o.cost_usd, latency_s=o.latency_s, error=o.error is not None,
            at_s=datetime.fromisoformat(row.at).timestamp(),
            cooldown_failures=limits.cooldown_failures, cooldown_s=limits.cooldown_s,
        )  # fmt: skip
        if row.seq <= forgiven.get(o.agent, 0):
            live.reset(o.agent)
    live.known[name] = max(known, head)


def reset_note(agent: str, ledger: Ledger) -> Note:
    """The event that closes a breaker: outcomes up to now no longer count for it."""
    return Note(id=uuid7(), type=RESET, data={"agent": agent, "seq": ledger.head()[0]})
