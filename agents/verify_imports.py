"""Scores found imports against compiled bytecode, and against tokens where nothing compiles.

What others use of it is which packages are imported, so one invented module weighs as much as the
file that it stands in, however many lines are right.
"""

from __future__ import annotations

import dis
import statistics
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.lexer import imported

Import = tuple[int, str]


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: the smaller of two F1 scores, over lines (mean of files) and over packages.

    Files are a spread of ``params.files`` and, for each third-party module that was claimed, the
    first that is said to import it (at most ``params.files`` more).
    """
    listed = data_with(call, "root", "files")
    most = int(call.params.get("files", 40))
    scores = []
    for task_id, reply in call.inputs.items():
        if isinstance(reply.data, dict) and "imports" in reply.data:
            said = reply.data["imports"]
            sample = [*dict.fromkeys([*spread(listed["files"], most),
                                      *witnesses(said, listed["files"])[:most]])]  # fmt: skip
            truth = {name: imports_of(Path(listed["root"], name)) for name in sample}
            f1 = [f for n in sample if (f := f_score(said.get(n, []), truth[n])) is not None]
            lines = statistics.fmean(f1) if f1 else 1.0
            packages = f_score(
                [[0, m] for n in sample for m in third_party(said.get(n, []))],
                {(0, m) for n in sample for m in third_party(truth[n])},
            )
            score = lines if packages is None else min(lines, packages)
            method = f"F1 against bytecode and tokens, {len(f1)} files: lines {lines:.3f}"
            method += "" if packages is None else f", packages {packages:.3f}"
            scores.append({"task_id": task_id, "score": round(score, 6), "method": method})
    text = "; ".join(f"{s['task_id']} {s['score']:.3f}" for s in scores)
    return AgentReply(text=text or "nothing to verify", data={"scores": scores})


def spread(names: list[str], n: int) -> list[str]:
    """At most ``n`` of the names, evenly spaced."""
    step = max(1, -(-len(names) // n))
    return names[::step]


def third_party(rows: Iterable[Sequence[Any]]) -> set[str]:
    """Modules that are not of the standard library."""
    return {str(m) for _, m in rows if m not in sys.stdlib_module_names}


def witnesses(said: dict[str, list[list[Any]]], files: list[str]) -> list[str]:
    """For each third-party module that was claimed, the first file said to import it."""
    first: dict[str, str] = {}
    for name in files:
        for module in sorted(third_party(said.get(name, []))):
            first.setdefault(module, name)
    return [*dict.fromkeys(first.values())]


def imports_of(path: Path) -> set[Import]:
    """``(line, module)`` of each import, by the compiler; by tokens where it refuses."""
    raw = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(raw, path.name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return imported(raw.decode("utf-8", errors="replace"))
    return set(compiled(code))


def compiled(code: CodeType) -> Iterator[Import]:
    """IMPORT_NAME of a code object and of those inside it, without relative ones (level > 0)."""
    line, level = code.co_firstlineno, 0
    before: list[Any] = [0, 0]
    for op in dis.get_instructions(code):
        line = (op.positions.lineno if op.positions else None) or line
        if op.opname == "IMPORT_NAME":
            level = before[-2] if isinstance(before[-2], int) else 0
            if not level:
                yield line, str(op.argval).partition(".")[0]
        if op.opname.startswith("LOAD_"):
            before = [before[-1], op.argval]
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from compiled(const)


def f_score(said: list[list[Any]], truth: set[Import]) -> float | None:
    """F1 of the pairs; None for a file that has none and of which none was claimed."""
    claimed = {(int(line), str(m)) for line, m in said}
    if not claimed and not truth:
        return None
    hits = len(claimed & truth)
    return 2 * hits / (len(claimed) + len(truth))
