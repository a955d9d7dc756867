"""What one agent finds of what others handed over: their data, their files, shipped files."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agentroute.adapters.child import STARTED_IN
from agentroute.config.paths import bundled_data
from agentroute.errors import AgentFailedError, UsageError
from agentroute.model.calls import AgentCall, Artifact
from agentroute.model.ids import uuid7

SHIPPED = "shipped:"


def data_with(call: AgentCall, *keys: str) -> dict[str, Any]:
    """The data of the nearest input that has all ``keys`` (the last one given wins), else params.

    Raises:
        AgentFailedError: nobody handed them over: the step that makes them failed or is missing.
    """
    for reply in reversed(list(call.inputs.values())):
        if isinstance(reply.data, dict) and all(k in reply.data for k in keys):
            return reply.data
    if all(k in call.params for k in keys):
        return call.params
    raise AgentFailedError(
        f"no input of '{call.task.id}' holds {', '.join(keys)}",
        hint="the step before it failed, or depends_on leaves it out",
        retryable=False,
    )


def file_of(call: AgentCall, name: str) -> Path:
    """The file called ``name`` that a direct input left behind.

    Raises:
        AgentFailedError: no input has such a file, or it is gone.
    """
    for reply in reversed(list(call.inputs.values())):
        for a in reply.artifacts:
            if a.name == name and Path(a.path).is_file():
                return Path(a.path)
    raise AgentFailedError(f"no input of '{call.task.id}' left a file '{name}'", retryable=False)


def locate(path: str, what: str = "file or folder") -> Path:
    """An existing path; ``shipped:NAME/REST`` means data that comes with agentroute.

    A relative one is taken from where the user is, also in a worker, whose own folder is the
    call's.

    Raises:
        UsageError: there is nothing at that path.
    """
    if path.startswith(SHIPPED):
        name, _, rest = path.removeprefix(SHIPPED).partition("/")
        found = bundled_data(name) / rest
    else:
        found = Path(os.environ.get(STARTED_IN, ""), Path(path).expanduser())
    if not found.exists():
        raise UsageError(f"there is no {what} at '{path}'", hint="check the path")
    return found.resolve()


def leave(call: AgentCall, name: str, text: str, media_type: str) -> Artifact:
    """Write ``text`` (UTF-8) as a file of this call and return the artefact that names it."""
    path = call.workdir / name
    path.write_text(text, encoding="utf-8", newline="")
    return Artifact(name=name, path=str(path), media_type=media_type)


def adopt(call: AgentCall, artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Copies of other calls' files in this call's folder; equal names get a number in front."""
    out: list[Artifact] = []
    for a in artifacts:
        taken = {b.name for b in out}
        name = a.name if a.name not in taken else f"{len(out)}_{a.name}"
        copy_file(a.path, call.workdir / name)
        out.append(a.model_copy(update={"name": name, "path": str(call.workdir / name)}))
    return tuple(out)


def copy_file(path: str | Path, target: Path) -> None:
    """Copy an artefact, from the very place where it was found to be a file of its call.

    What was put there in its place since, a link, a pipe or a folder that is a link, is not
    followed; neither is a link at ``target``, which is replaced.

    Raises:
        OSError: it is not there any more as it was, or cannot be copied.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as source:
        found = os.fstat(source.fileno())
        there = os.path.samestat(found, os.lstat(path)) and os.path.realpath(path) == str(path)
        if not (stat.S_ISREG(found.st_mode) and there):
            raise OSError(errno.ELOOP, "it was replaced since the agent handed it over", str(path))
        part = target.with_name(f".{uuid7()}.part")
        try:
            with part.open("xb") as sink:
                shutil.copyfileobj(source, sink)
            os.replace(part, target)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def missing_inputs(call: AgentCall) -> list[str]:
    """Ids of the needed tasks that handed over nothing."""
    return [t for t in call.task.depends_on if t not in call.inputs]
