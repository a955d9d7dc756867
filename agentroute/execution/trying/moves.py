"""What to do after a failed attempt: retry, fall back, ask again, or give up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from agentroute.execution.calls.caller import Called
from agentroute.execution.progress import Assignment
from agentroute.model.cards import CapabilityCard

MAX_REROUTES = 8
PATIENCE_S = 10.0  # a longer wait for the same agent goes to the others, where there are any


@dataclass(frozen=True, slots=True)
class Move:
    """The next attempt: by ``only``, or a free choice among those not tried. ``wait_s`` first.

    ``k`` is how many are asked, None as the depth policy says.
    """

    only: str | None = None
    policy: str = ""
    reason: str = ""
    wait_s: float = 0.0
    k: int | None = None


def next_move(
    failed: Sequence[Sequence[Called]],
    card_of: Callable[[str], CapabilityCard],
    *,
    free: bool,
    barred: Collection[str] = (),
    left_s: float = float("inf"),
    patience_s: float = PATIENCE_S,
    backoff_s: float = 0.05,
) -> Move | None:
    """After the attempts so far (each the calls of its team): the next one, or None.

    1. The same agent again, while its card's ``max_attempts`` allow and a retry can help: not after
       a timeout, for the time is gone, and not where the wait is longer than ``left_s`` or, with
       others to ask, than ``patience_s``. 2. The fallbacks its card declares, in order. 3. With
       ``free``, another choice by the policy, at most ``MAX_REROUTES`` times. Who is ``barred``
       cannot be asked now.
    """
    words = "; ".join(f"{c.agent}: {c.error}" for c in failed[-1])
    retry = _retry(failed, card_of, barred, backoff_s, words)
    other = _other(failed, card_of, barred, free, words)
    if (
        retry is not None
        and retry.wait_s < left_s
        and (other is None or retry.wait_s <= patience_s)
    ):
        return retry
    return other


def _retry(
    failed: Sequence[Sequence[Called]],
    card_of: Callable[[str], CapabilityCard],
    barred: Collection[str],
    backoff_s: float,
    words: str,
) -> Move | None:
    if len(failed[-1]) != 1:
        return None
    (c,) = failed[-1]
    tries = sum(len(calls) == 1 and calls[0].agent == c.agent for calls in failed)
    spent = tries >= card_of(c.agent).limits.max_attempts
    if c.agent in barred or not c.retryable or c.timed_out or spent:
        return None
    wait_s = c.retry_after_s or backoff_s * 2 ** (tries - 1)
    return Move(c.agent, "retry", f"retry after {words}", wait_s)


def _other(
    failed: Sequence[Sequence[Called]],
    card_of: Callable[[str], CapabilityCard],
    barred: Collection[str],
    free: bool,
    words: str,
) -> Move | None:
    tried = {c.agent for calls in failed for c in calls}
    for agent in dict.fromkeys(c.agent for calls in failed for c in calls):
        for other in card_of(agent).fallbacks:
            if other not in tried and other not in barred:
                return Move(other, "fallback", f"declared fallback of {agent} after {words}")
    if free and len(tried) <= MAX_REROUTES + len(failed[0]) - 1:
        return Move(reason=f"chosen again without {', '.join(sorted(tried))} after {words}")
    return None


def first_move(work: Assignment) -> Move:
    """What is tried first."""
    if work.agent is None:
        return Move(reason=work.reason)
    policy = "pinned" if work.kind == "route" else "named"
    return Move(work.agent, policy, work.reason or f"{policy} by the graph or the settings")


def context_of(work: Assignment) -> dict[str, Any]:
    """What a join was made with, so that it can be made again from what is recorded."""
    if work.kind != "refine":
        return {}
    told = {k: v for k, v in work.task.params.items() if k != "prompts"}
    return {"inputs": list(work.inputs), "params": told}
