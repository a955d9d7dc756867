"""Scores found imports against compiled bytecode, and against tokens where nothing compiles."""

from __future__ import annotations

import dis
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from agentroute.model.calls import AgentCall, AgentReply
from agentroute.toolbox.handover import data_with
from agentroute.toolbox.lexer import imported

Import = tuple[int, str]


def agent(call: AgentCall) -> AgentReply:
    """``data.scores``: mean F1 over a spread of at most ``params.files`` files with imports."""
    listed = data_with(call, "root", "files")
    sample = spread(listed["files"], int(call.params.get("files", 40)))
    truth = {name: imports_of(Path(listed["root"], name)) for name in sample}
    scores = []
    for task_id, reply in call.inputs.items():
        if isinstance(reply.data, dict) and "imports" in reply.data:
            said = reply.data["imports"]
            f1 = [f for n in sample if (f := f_score(said.get(n, []), truth[n])) is not None]
            score = statistics.fmean(f1) if f1 else 1.0
            method = f"F1 against bytecode and tokens, {len(f1)} files"
            scores.append({"task_id": task_id, "score": round(score, 6), "method": method})
    text = "; ".join(f"{s['task_id']} {s['score']:.3f}" for s in scores)
    return AgentReply(text=text or "nothing to verify", data={"scores": scores})


def spread(names: list[str], n: int) -> list[str]:
    """At most ``n`` of the names, evenly spaced."""
    step = max(1, -(-len(names) // n))
    return names[::step]


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
