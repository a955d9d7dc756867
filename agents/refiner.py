"""Joins what several steps or agents said into one answer: pass, vote, list, merge, or refuse."""

from __future__ import annotations

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.refining.joining import join
from agentroute.refining.refusal import refuse
from agentroute.toolbox.handover import adopt


def agent(call: AgentCall) -> AgentReply:
    """``params``: ``strategy``, ``weights`` (a name, or a mapping by task or agent), ``top``.

    One reply passes through unchanged (its files are copied). ``auto`` (the default) votes on short
    answers to one question, lists short answers to different ones (``prompts``), merges long texts;
    ``vote``, ``best``, ``median``, ``central``, ``list`` and ``merge`` are by request.
    """
    if not call.inputs:
        return refuse({call.task.id: "no reply came in"})
    joined = join(
        call.inputs,
        strategy=str(call.params.get("strategy", "auto")),
        weights=call.params.get("weights", "confidence"),
        routing=call.params.get("routing"),
        prompts=dict(call.params.get("prompts", {})),
        top=call.params.get("top"),
    )
    return joined.model_copy(update={"artifacts": adopt(call, joined.artifacts)})
