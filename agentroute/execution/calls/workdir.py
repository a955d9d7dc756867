"""A call whose folder is made when the agent first asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentroute.model.calls import AgentCall


class _MadeOnAsking:
    """Stands for ``workdir``; the path itself stays in the slot of ``AgentCall``."""

    def __get__(self, call: AgentCall, owner: type | None = None) -> Path:
        folder: Path = _slot.__get__(call)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def __set__(self, call: AgentCall, folder: Path) -> None:
        _slot.__set__(call, folder)


_slot: Any = AgentCall.__dict__["workdir"]


class InlineCall(AgentCall):
    """An ``AgentCall`` in this process: reading ``workdir`` makes the folder.

    Most inline agents write no file, and their runs leave no folder behind.
    """

    __slots__ = ()
    workdir = _MadeOnAsking()


def inline(call: AgentCall) -> InlineCall:
    """The same call, its folder not made yet."""
    return InlineCall(
        task=call.task,
        inputs=call.inputs,
        params=call.params,
        call_id=call.call_id,
        deadline_s=call.deadline_s,
        budget_usd=call.budget_usd,
        workdir=call.workdir,
        transcript=call.transcript,
    )
