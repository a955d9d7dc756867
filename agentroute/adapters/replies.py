"""What an agent returned, made into an ``AgentReply`` or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from agentroute.errors import AgentFailedError
from agentroute.model.calls import AgentCall, AgentReply, Artifact
from agentroute.model.tasks import Task

MAX_REPLY = 8 * 1024 * 1024


def as_reply(value: Any, workdir: Path, *, cap: int = MAX_REPLY) -> AgentReply:
    """``AgentReply | str | dict`` as a checked reply; artefact paths become absolute.

    A dict whose keys are all fields of ``AgentReply`` is a reply; any other dict is its ``data``,
    with the same as JSON for people in ``text``.

    Raises:
        AgentFailedError: something else, fields that do not fit, ``data`` that is not JSON, over
            ``cap`` bytes, or an artefact that is missing or outside ``workdir``.
    """
    reply = _parse(value)
    if _size(reply) > cap:
        raise AgentFailedError(
            f"the reply is larger than {cap:,} bytes",
            hint="write large results to a file in call.workdir",
            retryable=False,
        )
    if not reply.artifacts:
        return reply
    placed = tuple(_placed(a, workdir.resolve()) for a in reply.artifacts)
    return reply.model_copy(update={"artifacts": placed})


def _parse(value: Any) -> AgentReply:
    if isinstance(value, AgentReply):
        return value
    if isinstance(value, str):
        return AgentReply(text=value)
    if not isinstance(value, dict):
        raise AgentFailedError(
            f"returned {type(value).__name__}, not an AgentReply, str or dict",
            hint="return AgentReply(text=...)",
        )
    try:
        return AgentReply.model_validate(value if _is_reply(value) else _as_data(value))
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise AgentFailedError(f"the reply does not fit: {where}: {first['msg']}") from None


def _is_reply(value: dict[str, Any]) -> bool:
    """A dict of ``AgentReply``'s own fields is a reply; any other dict is its ``data``."""
    return bool(value) and value.keys() <= AgentReply.model_fields.keys()


def _as_data(value: dict[str, Any]) -> dict[str, Any]:
    text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY, default=str).decode()
    return {"data": value, "text": text}


def _size(reply: AgentReply) -> int:
    try:
        data = orjson.dumps(reply.data, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as e:
        raise AgentFailedError(f"reply.data is not JSON: {e}", retryable=False) from None
    return len(data) + len(reply.text)


def _placed(artifact: Artifact, workdir: Path) -> Artifact:
    path = (workdir / artifact.path).resolve()
    if not path.is_relative_to(workdir):
        raise AgentFailedError(
            f"the artefact '{artifact.name}' is outside the call's folder",
            hint="write it into call.workdir",
            retryable=False,
        )
    if not path.is_file():
        raise AgentFailedError(f"the artefact '{artifact.name}' was not written")
    return artifact.model_copy(update={"path": str(path)})


def dump_call(call: AgentCall) -> dict[str, Any]:
    """A call as JSON data."""
    return {
        "task": call.task.model_dump(mode="json"),
        "inputs": {k: r.model_dump(mode="json") for k, r in call.inputs.items()},
        "params": call.params,
        "call_id": call.call_id,
        "deadline_s": call.deadline_s,
        "budget_usd": call.budget_usd,
        "workdir": str(call.workdir),
        "transcript": [list(turn) for turn in call.transcript],
    }


def load_call(data: dict[str, Any]) -> AgentCall:
    """The inverse of ``dump_call``."""
    return AgentCall(
        task=Task.model_validate(data["task"]),
        inputs={k: AgentReply.model_validate(r) for k, r in data["inputs"].items()},
        params=data["params"],
        call_id=data["call_id"],
        deadline_s=data["deadline_s"],
        budget_usd=data["budget_usd"],
        workdir=Path(data["workdir"]),
        transcript=tuple((t, text) for t, text in data["transcript"]),
    )
