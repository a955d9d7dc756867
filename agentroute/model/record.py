"""The base of all records that users or files meet."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict

V = TypeVar("V")


class Part(BaseModel):
    """Base of every frozen record that files or users meet; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def json_only(value: V) -> V:
    """``value``, which is stored and sent as JSON, where it can be: for a field of any type.

    Raises:
        ValueError: a number beyond 64 bits, half a surrogate pair, a thing that JSON has not.
    """
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    try:
        orjson.dumps(value, default=_dumped, option=option)
    except (TypeError, RecursionError) as e:
        raise ValueError(f"must be JSON: {e}") from None
    return value


def _dumped(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)
