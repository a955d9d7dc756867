"""A run's output as the caller asked for it: artefacts kept in a folder, the answer in a type."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from agentroute.adapters.structured import read_json
from agentroute.errors import AgentFailedError, ConfigError, UsageError
from agentroute.execution.answer.stamping import is_stamped
from agentroute.model.calls import AgentReply, Artifact
from agentroute.model.plans import Plan
from agentroute.model.runs import RunResult
from agentroute.toolbox.handover import copy_file


def keep_artifacts(result: RunResult, plan: Plan, out: Path) -> RunResult:
    """The result with the answer's files kept under ``out/<plan>/<run id>``.

    A copy of each stands in ``out/<plan>``: the last run's, under a name that does not change.
    Only files of the tasks that make the answer are kept; the others stay in their calls' folders.
    A file that cannot be copied is said in ``degraded``.
    """
    ends = _answer_files(result, plan)
    latest = out / _safe(plan.name)
    said: list[str] = []
    kept: list[Artifact] = []
    for a in result.artifacts:
        if a.path not in ends and not is_stamped(a.path):
            continue
        name = a.name if a.name not in {b.name for b in kept} else f"{len(kept)}_{a.name}"
        target = latest / result.run_id / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(a.path, target)
            kept.append(a.model_copy(update={"name": name, "path": str(target.resolve())}))
            copy_file(target.resolve(), latest / name)
        except OSError as e:
            said.append(f"the artefact '{a.name}' could not be kept in {latest}: {e.strerror}")
            if len(kept) == 0 or kept[-1].name != name:
                kept.append(a)
    if not kept:
        return result
    rest = tuple(a for a in result.artifacts if a.path not in ends and not is_stamped(a.path))
    return result.model_copy(
        update={"artifacts": (*kept, *rest), "degraded": (*result.degraded, *said)}
    )


def _answer_files(result: RunResult, plan: Plan) -> set[str]:
    inner = {p for t in plan.tasks for p in t.depends_on}
    ends = [r for v, r in result.replies.items() if v not in inner]
    files = {a.path for r in ends for a in r.artifacts}
    return files or {a.path for a in result.artifacts}


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:80] or "run"


def typed(result: RunResult, output_type: type[BaseModel] | None) -> RunResult:
    """``result`` with ``output`` set: the answer's data, else its text as JSON.

    Raises:
        AgentFailedError: the answer does not fit the type; the run is in the ledger all the same.
    """
    if output_type is None or result.status in ("failed", "waiting"):
        return result
    words = f"{result.verdict.words}\n\n" if result.verdict else ""
    try:
        output = _read(output_type, result.answer.removeprefix(words), result.data)
    except ValueError as e:
        raise AgentFailedError(
            f"the answer of run {result.run_id} is not a {output_type.__name__}: {e}",
            hint="the run is in the ledger; its answer is there as text",
        ) from None
    return result.model_copy(update={"output": output})


def misfit(output_type: type[BaseModel]) -> Callable[[AgentReply], str]:
    """What a reply lacks to be of that type, for whoever is asked again; '' where it is one."""

    def words(reply: AgentReply) -> str:
        try:
            _read(output_type, reply.text, reply.data)
        except ValueError as e:
            schema = orjson.dumps(output_type.model_json_schema(), option=orjson.OPT_SORT_KEYS)
            return f"{e}. Answer again, with one JSON object of this schema: {schema.decode()}"
        return ""

    return words


def _read(output_type: type[BaseModel], text: str, data: Any) -> BaseModel:
    """The data as that type, else the one JSON object in the text.

    Raises:
        ValueError: what is wrong, in one line; of the data where there is any.
    """
    try:
        if data is None:
            return read_json(text, output_type.model_validate)
        try:
            return output_type.model_validate(data)
        except ValidationError:
            with suppress(ValueError):
                return read_json(text, output_type.model_validate)
            raise
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def writable(folder: Path) -> None:
    """See that files can be left there, before an agent is blamed for it.

    Raises:
        ConfigError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # that it can be made is all that is asked
    except OSError as e:
        raise ConfigError(
            f"results cannot be written to {folder.parent}: {e.strerror or e}", field="out",
            hint="choose another folder: --out DIR",
        ) from None  # fmt: skip


def named(run_id: str) -> str:
    """A run's id that somebody chose: it names a folder, and must not lead out of it.

    Raises:
        UsageError: other than 1 to 100 letters, digits, '.', '_', ':' and '-', or dots alone.
    """
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,100}", run_id) or not run_id.strip("."):
        raise UsageError(
            f"the run id {run_id[:60]!r} cannot be used",
            hint="1 to 100 letters, digits, '.', '_', ':' and '-'",
        )
    return run_id
