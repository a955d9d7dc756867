"""LangChain and LangGraph runnables as agents, by duck type: nothing of theirs is imported."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agentroute.adapters.inline.threads import THREADS
from agentroute.errors import AgentFailedError
from agentroute.model.calls import AgentCall, AgentReply, OnChunk, Usage

OUTPUT_KEYS = ("output", "answer", "text", "result", "content")


def is_runnable(handler: Any) -> bool:
    """Whether it has ``invoke`` or ``ainvoke``."""
    return callable(getattr(handler, "ainvoke", None)) or callable(getattr(handler, "invoke", None))


async def call_runnable(
    handler: Any, call: AgentCall, *, limit_s: float, on_chunk: OnChunk | None = None
) -> AgentReply:
    """Invoke it with ``{"input", "messages", "inputs", "params"}``; its output becomes a reply.

    With ``call.params["input"] == "text"`` (a card's ``params``) it gets the prompt alone. It
    answers in one piece: ``on_chunk`` is never called.

    Raises:
        TimeoutError: not done within ``limit_s``.
        AgentFailedError: an output that holds no text.
    """
    payload = _payload(call)
    if callable(getattr(handler, "ainvoke", None)):
        async with asyncio.timeout(limit_s):
            output = await handler.ainvoke(payload)
    else:
        output = await THREADS.run(lambda: handler.invoke(payload), limit_s=limit_s)
    return reply_of(output)


def _payload(call: AgentCall) -> Any:
    prompt = call.task.prompt
    if call.params.get("input") == "text":
        return prompt
    turns = [(m.role, m.text) for m in call.task.history]
    return {
        "input": prompt,
        "messages": [*turns, ("user", prompt)],
        "inputs": {k: r.text for k, r in call.inputs.items()},
        "params": {k: v for k, v in call.params.items() if k != "input"},
    }


def reply_of(output: Any) -> AgentReply:
    """A string, a message, or a mapping with one of the usual keys, as a reply."""
    if isinstance(output, AgentReply):
        return output
    if isinstance(output, str):
        return AgentReply(text=output)
    if isinstance(output, Mapping):
        return _of_mapping(output)
    content = getattr(output, "content", None)
    if content is None:
        raise AgentFailedError(f"the runnable returned {type(output).__name__}, which has no text")
    return AgentReply(text=_text(content), usage=_usage(output))


def _of_mapping(output: Mapping[str, Any]) -> AgentReply:
    messages = output.get("messages")
    if messages:
        return reply_of(messages[-1])
    for key in OUTPUT_KEYS:
        if isinstance(output.get(key), str):
            return AgentReply(text=output[key])
    raise AgentFailedError(
        f"the runnable's output has none of messages, {', '.join(OUTPUT_KEYS)}",
        hint="return one of these keys",
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [p if isinstance(p, str) else str(p.get("text", "")) for p in content]
    return "".join(parts)


def _usage(message: Any) -> Usage:
    meta = getattr(message, "usage_metadata", None) or {}
    return Usage(
        input_tokens=meta.get("input_tokens", 0), output_tokens=meta.get("output_tokens", 0)
    )
