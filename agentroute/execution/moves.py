"""What to do after a failed attempt: retry, fall back, ask again, or give up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentroute.execution.calls.caller import Called
from agentroute.model.cards import CapabilityCard

MAX_REROUTES = 8


@dataclass(frozen=True, slots=True)
class Move:
    """The next attempt: by ``only``, or a free choice among those not tried. ``wait_s`` first."""

    only: str | None = None
    policy: str = ""
    reason: str = ""
    wait_s: float = 0.0


def next_move(
    failed: Sequence[Sequence[Called]],
    card_of: Callable[[str], CapabilityCard],
    *,
    free: bool,
    backoff_s: float = 0.05,
) -> Move | None:
    """After the attempts so far (each the calls of its team): the next one, or None.

    1. The same agent again, while its card's ``max_attempts`` allow and a retry can help: not after
       a timeout, for the time is gone. 2. The fallbacks its card declares, in order. 3. With
       ``free``, another choice by the policy, at most ``MAX_REROUTES`` times.
    """
    last = failed[-1]
    words = "; ".join(f"{c.agent}: {c.error}" for c in last)
    if len(last) == 1:
        (c,) = last
        tries = sum(len(calls) == 1 and calls[0].agent == c.agent for calls in failed)
        if c.retryable and not c.timed_out and tries < card_of(c.agent).limits.max_attempts:
            wait_s = c.retry_after_s or backoff_s * 2 ** (tries - 1)
            return Move(c.agent, "retry", f"retry after {words}", wait_s)
    tried = {c.agent for calls in failed for c in calls}
    for agent in dict.fromkeys(c.agent for calls in failed for c in calls):
        for other in card_of(agent).fallbacks:
            if other not in tried:
                return Move(other, "fallback", f"declared fallback of {agent} after {words}")
    if free and len(tried) <= MAX_REROUTES + len(failed[0]) - 1:
        return Move(reason=f"chosen again without {', '.join(sorted(tried))} after {words}")
    return None
