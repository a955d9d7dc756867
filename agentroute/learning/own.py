"""Router objects that a caller hands over: each starts from the state it came with."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import orjson

from agentroute.choosing.protocol import Router
from agentroute.choosing.state import StateDict
from agentroute.errors import ConfigError
from agentroute.model.ids import sha256

T = TypeVar("T")


class Came(NamedTuple):
    """A router, the state it was handed over in, and that state's SHA-256."""

    router: Router
    state: StateDict
    sha256: str


class OwnRouters:
    """The router objects of one session.

    A ledger is folded into an object from its first row, each time it is opened. So the object is
    put back first into the state in which it came: a row never counts twice. ``let_go`` leaves
    what was learned in the object, and remembers what it came with, for the next session.
    """

    def __init__(self) -> None:
        self._came: dict[int, Came] = {}

    def start(self, router: Router) -> Came:
        """The router as it came, to fold a ledger into.

        Raises:
            ConfigError: the object learns in another open session.
            NotFittedError, RouterStateError: the router's own.
        """
        user = _get(_USED_BY, router)
        if user is not None and user is not self:
            raise ConfigError(
                f"the router object '{router.name}' already learns in another open orchestrator",
                field="router", hint="hand each one an object of its own",
            )  # fmt: skip
        came = self._came.get(id(router)) or self._first(router)
        router.load_state_dict(deepcopy(came.state))
        self._came[id(router)] = came
        _put(_USED_BY, router, self)
        return came

    def _first(self, router: Router) -> Came:
        now = deepcopy(router.state_dict())
        sha = state_sha256(now)
        left = _get(_LEFT, router)
        if left is not None and left[0] == sha:  # nobody touched it since: it came with less
            return Came(router, left[1], left[2])
        return Came(router, now, sha)

    def let_go(self) -> None:
        """The session is closed: others may have the objects."""
        for router, state, sha in self._came.values():
            if _get(_USED_BY, router) is self:
                _put(_LEFT, router, (state_sha256(router.state_dict()), state, sha))
                with suppress(KeyError, TypeError):
                    del _USED_BY[router]


# By object, for as long as it lives. An object that takes no weak reference is simply not known.
_USED_BY: WeakKeyDictionary[Router, OwnRouters] = WeakKeyDictionary()
_LEFT: WeakKeyDictionary[Router, tuple[str, StateDict, str]] = WeakKeyDictionary()


def _get(table: WeakKeyDictionary[Router, T], router: Router) -> T | None:
    try:
        return table.get(router)
    except TypeError:
        return None


def _put(table: WeakKeyDictionary[Router, T], router: Router, value: T) -> None:
    with suppress(TypeError):
        table[router] = value


def state_sha256(state: StateDict) -> str:
    """The SHA-256 of a state: kind, version, JSON, and each array with its type and shape."""
    head = {
        "kind": state.kind, "version": state.version, "meta": state.meta,
        "arrays": {k: [a.dtype.str, list(a.shape)] for k, a in state.arrays.items()},
    }  # fmt: skip
    option = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    parts = [orjson.dumps(head, option=option)]
    parts += [np.ascontiguousarray(state.arrays[k]).tobytes() for k in sorted(state.arrays)]
    return sha256(b"\0".join(parts))
