"""Calling one agent by what its card is bound to: inline, in a worker, or a chat model."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from agentroute.adapters.callables import with_place
from agentroute.adapters.kinds import adapter_of
from agentroute.adapters.loading import entry_of, load
from agentroute.adapters.replies import as_reply
from agentroute.adapters.untrusted import words_of
from agentroute.errors import (
    AgentFailedError,
    AgentRouteError,
    AgentTimeoutError,
    BudgetExceededError,
    CardError,
    ConfigError,
    MissingExtraError,
    UnknownAgentError,
)
from agentroute.execution.calls.bulkhead import Bulkheads
from agentroute.execution.calls.pool import WorkerPool
from agentroute.execution.calls.workdir import inline
from agentroute.model.calls import UNSENT, AgentCall, AgentReply, OnChunk, Usage
from agentroute.model.cards import CapabilityCard, Pricing
from agentroute.registry.registry import Binding, Registry

MAX_ALIASES = 4
# The card, the settings or the budget stood against it before anybody was asked.
NEVER_MADE = (ConfigError, BudgetExceededError, MissingExtraError, UnknownAgentError)
ChatFactory = Callable[[CapabilityCard, bool], Callable[[AgentCall], Any]]  # True: in chunks


@dataclass(frozen=True, slots=True)
class Called:
    """What one call came to: a reply or an error, and what it used."""

    agent: str
    reply: AgentReply | None
    error: str | None
    latency_s: float
    cost_usd: float
    tokens: int
    retryable: bool = True
    timed_out: bool = False
    retry_after_s: float | None = None


class Caller:
    """Calls agents; every failure comes back as a ``Called`` with ``error`` set."""

    def __init__(
        self, registry: Registry, pool: WorkerPool, *, chat: ChatFactory | None = None
    ) -> None:
        self._registry, self._pool = registry, pool
        self._chat: ChatFactory = chat or _chat_agent
        self._bulkheads = Bulkheads()

    async def __call__(
        self,
        agent: str,
        call: AgentCall,
        *,
        limit_s: float,
        left_s: float | None = None,
        on_chunk: OnChunk | None = None,
    ) -> Called:
        """Call ``agent`` for at most ``limit_s`` seconds. Only a cancellation is raised.

        ``left_s`` bounds the whole, also the wait for the agent's turn.
        """
        began = time.perf_counter()
        pricing = Pricing()
        try:
            binding = self._registry[agent]
            pricing = binding.card.pricing
            async with asyncio.timeout(left_s):
                reply = await self._dispatch(binding, call, limit_s, on_chunk)
        except TimeoutError:
            e: Exception = AgentTimeoutError(f"no answer within {limit_s:.3g} s")
            return _failed(agent, e, time.perf_counter() - began, pricing)
        except Exception as e:
            return _failed(agent, e, time.perf_counter() - began, pricing)
        took = time.perf_counter() - began
        cost = cost_of(reply.usage, pricing)
        return Called(agent, reply, None, took, cost, reply.usage.tokens)

    async def _dispatch(
        self, binding: Binding, call: AgentCall, limit_s: float, on_chunk: OnChunk | None
    ) -> AgentReply:
        card, origin, params = self._resolve(binding)
        if params:
            call = replace(call, params={**params, **call.params})
        if origin.handler is not None:
            return await self._inline(card, origin.handler, call, limit_s, on_chunk)
        if card.entrypoint == "chat":
            # a reply that is to fit a schema is checked whole, so there is nothing to stream
            chunks = on_chunk is not None and "output_schema" not in {**card.params, **call.params}
            return await self._inline(card, self._chat(card, chunks), call, limit_s, on_chunk)
        entry = entry_of(card.entrypoint or "", origin.folder)
        if card.isolation == "inline":
            return await self._inline(card, load(entry), call, limit_s, on_chunk)
        call.workdir.mkdir(parents=True, exist_ok=True)
        return await self._pool.call(binding.card, entry, call, limit_s=limit_s, on_chunk=on_chunk)

    async def _inline(
        self,
        card: CapabilityCard,
        handler: Any,
        call: AgentCall,
        limit_s: float,
        on_chunk: OnChunk | None,
    ) -> AgentReply:
        async with self._bulkheads.of(card):
            listen = on_chunk or (lambda _: None)
            ask = adapter_of(handler, card.name).ask
            try:
                value = await ask(handler, inline(call), limit_s=limit_s, on_chunk=listen)
                return as_reply(value, call.workdir)
            except asyncio.CancelledError as e:
                if _was_cancelled():
                    raise
                raise AgentFailedError(words_of(e)) from None
            except (Exception, KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as e:  # an exit of the agent's is not one of the host's
                raise AgentFailedError(words_of(e)) from None

    def _resolve(self, binding: Binding) -> tuple[CapabilityCard, Binding, dict[str, Any]]:
        """Follow ``card:NAME``; the nearest card's params stand over those it refers to."""
        origin, chain = binding, [binding.card]
        while (origin.card.entrypoint or "").startswith("card:"):
            if len(chain) > MAX_ALIASES:
                raise CardError(
                    f"'{binding.card.name}' refers to card after card",
                    field="entrypoint",
                    hint="let one of them name a file or a module",
                )
            origin = self._registry[str(origin.card.entrypoint).removeprefix("card:")]
            chain.append(origin.card)
        params: dict[str, Any] = {}
        for card in reversed(chain):
            params |= card.params
        return origin.card, origin, params


@lru_cache(maxsize=256)
def _chat_of(frozen: str, chunks: bool) -> Callable[[AgentCall], Any]:
    from agentroute.adapters.chat import chat_agent, chat_stream_agent

    make = chat_stream_agent if chunks else chat_agent
    return make(CapabilityCard.model_validate_json(frozen))


def _chat_agent(card: CapabilityCard, chunks: bool) -> Callable[[AgentCall], Any]:
    """One handler, and so one client, for each chat card and way to answer."""
    return _chat_of(card.model_dump_json(), chunks)


def cost_of(u: Usage, pricing: Pricing) -> float:
    """US dollars of a call: the card's prices times what was used, or more where the reply says so.

    The word of who is paid does not stand against the price that its owner put on the card.
    """
    tokens = u.input_tokens * pricing.input_mtok_usd + u.output_tokens * pricing.output_mtok_usd
    by_card = pricing.call_usd + u.cpu_s * pricing.cpu_s_usd + tokens / 1e6
    return max(by_card, u.cost_usd or 0.0)


def _spent(e: Exception, pricing: Pricing) -> tuple[float, int]:
    """US dollars and tokens of a failed call; where nobody can say, what one is expected to cost.

    A call that was never made (``NEVER_MADE``, or ``spent`` is ``UNSENT``) costs nothing.
    """
    spent = e.spent if isinstance(e, AgentRouteError) else None
    if spent is UNSENT or (spent is None and isinstance(e, NEVER_MADE)):
        return 0.0, 0
    if isinstance(spent, Usage):
        return cost_of(spent, pricing), spent.tokens
    if isinstance(e, AgentTimeoutError):
        return max(pricing.call_usd, pricing.expected_usd or 0.0), 0
    return pricing.call_usd, 0


def _was_cancelled() -> bool:
    """Whether somebody cancelled us; else the agent raised ``CancelledError`` by itself."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failed(agent: str, e: Exception, took: float, pricing: Pricing) -> Called:
    text = words_of(e)
    cost_usd, tokens = _spent(e, pricing)
    return Called(
        agent=agent,
        reply=None,
        error=with_place(text[:900] or type(e).__name__, e),
        latency_s=took,
        cost_usd=cost_usd,
        tokens=tokens,
        retryable=bool(_said_by(e, "retryable", not isinstance(e, CardError))),
        timed_out=isinstance(e, AgentTimeoutError),
        retry_after_s=_seconds(_said_by(e, "retry_after_s", None)),
    )


def _said_by(e: Exception, name: str, default: Any) -> Any:
    """An attribute of an exception that others wrote."""
    try:
        return getattr(e, name, default)
    except Exception:
        return default


def _seconds(value: Any) -> float | None:
    known = isinstance(value, int | float) and math.isfinite(value) and value >= 0
    return float(value) if known else None
