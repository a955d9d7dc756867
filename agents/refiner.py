"""Joins what several steps or agents said into one answer: pass, vote, list, merge, or refuse."""

from __future__ import annotations

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.refining.joining import join
from agentroute.refining.refusal import refuse
from agentroute.toolbox.handover import adopt


def agent(call: AgentCall) -> AgentReply:
    """``params``: ``strategy`` auto (default), vote, list or merge; ``weights`` by task or agent.

    One reply passes through unchanged (its files are copied). ``auto`` votes on short answers to
    one question, lists short answers to different ones (``prompts``), merges long texts.
    """
    if not call.inputs:
        return refuse({call.task.id: "no reply came in"})
    joined = join(
        call.inputs,
        strategy=str(call.params.get("strategy", "auto")),
        weights=dict(call.params.get("weights", {})),
        prompts=dict(call.params.get("prompts", {})),
    )
    return joined.model_copy(update={"artifacts": adopt(call, joined.artifacts)})
