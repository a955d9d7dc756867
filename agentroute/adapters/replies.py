"""What an agent returned, made into an ``AgentReply`` or refused."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from agentroute.errors import AgentFailedError
from agentroute.model.calls import AgentCall, AgentReply, Artifact, Usage
from agentroute.model.tasks import Task

MAX_DEPTH = 100
MAX_REPLY = 8 * 1024 * 1024
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_LONE = re.compile("[\ud800-\udfff]")


def as_reply(value: Any, workdir: Path, *, cap: int = MAX_REPLY) -> AgentReply:
    """``AgentReply | str | dict`` as a checked reply; artefact paths become absolute.

    A dict whose keys are all fields of ``AgentReply`` is a reply; any other dict, or a pydantic
    model, is its ``data``, with the same as JSON for people in ``text``.

    Raises:
        AgentFailedError: something else, fields that do not fit, ``data`` that is not JSON, over
            ``cap`` bytes, or an artefact that is missing or outside ``workdir``.
    """
    reply = _parse(value)
    try:
        return _whole(reply, workdir, cap)
    except AgentFailedError as e:
        e.spent = reply.usage  # it was worked for, whatever it is worth
        raise


def _whole(reply: AgentReply, workdir: Path, cap: int) -> AgentReply:
    if _is_deep(reply.data):
        raise AgentFailedError(
            f"'data' of the reply nests deeper than {MAX_DEPTH}", hint="return flatter data",
            retryable=False,
        )  # fmt: skip
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
    fields = _fields(value)
    try:
        return AgentReply.model_validate(fields)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        words, spent = f"the reply does not fit: {where}: {first['msg']}", _usage(fields)
        raise AgentFailedError(words, spent=spent) from None


def _usage(fields: Any) -> Usage | None:
    """What a reply that cannot be used says of its cost."""
    try:
        return Usage.model_validate(fields["usage"]) if "usage" in fields else None
    except (ValidationError, TypeError):
        return None


def _fields(value: Any) -> Any:
    """Whatever was returned as the JSON fields of a reply: what is stored is what is passed on.

    Records are taken apart and checked again, since they can be built around their own checks.
    """
    if isinstance(value, str):
        return {"text": _sound(value)}
    if isinstance(value, AgentReply):
        return _as_json({name: getattr(value, name, None) for name in AgentReply.model_fields})
    if isinstance(value, BaseModel):
        return _as_data(_as_json(value))
    if isinstance(value, dict):
        fields = _as_json(value)
        return fields if _is_reply(value) else _as_data(fields)
    raise AgentFailedError(
        f"returned {type(value).__name__}, not an AgentReply, str or dict",
        hint="return AgentReply(text=...)",
    )


def _is_reply(value: dict[str, Any]) -> bool:
    """A dict of ``AgentReply``'s own fields is a reply; any other dict is its ``data``."""
    return bool(value) and value.keys() <= AgentReply.model_fields.keys()


def _as_data(value: dict[str, Any]) -> dict[str, Any]:
    return {"data": value, "text": orjson.dumps(value).decode()}


def _as_json(value: Any) -> Any:
    """JSON of a value and back: numpy, dates, UUIDs and enums as in the ledger, NaN as null."""
    try:
        return orjson.loads(orjson.dumps(value, option=_JSON, default=_plain))
    except (TypeError, ValueError, RecursionError):
        pass  # a lone surrogate or a key that is no text: its sound copy is tried next
    try:
        return orjson.loads(orjson.dumps(_sounded(value), option=_JSON, default=_plain))
    except (TypeError, ValueError, RecursionError) as e:
        raise AgentFailedError(
            f"{_culprit(value)} is not JSON: {e}", hint="return plain values", retryable=False
        ) from None


def _culprit(value: Any) -> str:
    """The first field of a reply that is not JSON by itself."""
    for name, part in value.items() if isinstance(value, dict) else ():
        try:
            orjson.dumps(part, option=_JSON, default=_plain)
        except (TypeError, ValueError, RecursionError):
            return f"'{name}' of the reply"
    return "the reply"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name, None) for name in type(value).model_fields}
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _sounded(value: Any) -> Any:
    """The same with every text storable."""
    if isinstance(value, str):
        return _sound(value)
    if isinstance(value, BaseModel):
        value = _plain(value)
    if isinstance(value, dict):
        return {_sounded(k): _sounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sounded(v) for v in value]
    return value


def _sound(text: str) -> str:
    """Half a surrogate pair, as a stream that was cut leaves it, becomes U+FFFD."""
    return _LONE.sub("\ufffd", text)


def _is_deep(value: Any) -> bool:
    """Whether JSON data nests deeper than ``MAX_DEPTH``: other readers of JSON give up at 200."""
    layer = [value]
    for _ in range(MAX_DEPTH):
        inner = [v for v in layer if isinstance(v, dict | list)]
        layer = [w for v in inner for w in (v.values() if isinstance(v, dict) else v)]
        if not layer:
            return False
    return any(isinstance(v, dict | list) for v in layer)


def _size(reply: AgentReply) -> int:
    return len(orjson.dumps(reply.data)) + len(reply.text)


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
