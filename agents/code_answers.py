"""Answers questions about Python code: where a name is defined, who calls it, what it is worth."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from agentroute.model.calls import AgentCall, AgentReply, Citation
from agentroute.toolbox.handover import locate

MAX_FILES, MAX_BYTES = 300, 2_000_000
NAME = r"`?([A-Za-z_][\w.]*)`?(?:\(\))?"


@dataclass
class Facts:
    """What the syntax trees of a folder say; ``at`` maps a name to (file, line)."""

    at: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    values: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    callers: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    imports: dict[str, set[str]] = field(default_factory=dict)
    methods: dict[str, list[str]] = field(default_factory=dict)


def agent(call: AgentCall) -> AgentReply:
    """One answer with its file and line; abstains when the question is not about the code."""
    root = locate(str(call.params.get("data", ".")), "folder of code")
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))[:MAX_FILES]
    facts = read(tuple((str(f), str(root), f.stat().st_mtime_ns) for f in files))
    for pattern, answer in FORMS:
        m = re.search(pattern, call.task.prompt[:300], re.IGNORECASE)
        found = answer(facts, m[1].rstrip(".")) if m else None
        if found:
            said, source, line = found
            cited = Citation(source=source, locator=f"line {line}" if line else "")
            data = {"answer": said, "by": "syntax tree", "confidence": 0.95}
            return AgentReply(text=said, data=data, citations=(cited,), confidence=0.95)
    return AgentReply(text="I do not know: the code does not say.", abstained=True, confidence=0.0)


@lru_cache(maxsize=4)
def read(files: tuple[tuple[str, str, int], ...]) -> Facts:
    """The facts of all files that parse; kept while no file changes."""
    facts, size = Facts(), 0
    for path, root, _ in files:
        file = Path(path)
        size += file.stat().st_size
        name = file.name if path == root else file.relative_to(root).as_posix()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file.read_bytes()) if size <= MAX_BYTES else None
        except (SyntaxError, ValueError, RecursionError):
            tree = None
        if tree:
            collect(facts, name, tree)
    return facts


def collect(facts: Facts, name: str, tree: ast.Module) -> None:
    """Add one file."""
    made = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    classes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    facts.functions[name], facts.classes[name] = len(made), len(classes)
    for n in [*made, *classes]:
        facts.at.setdefault(n.name, []).append((name, n.lineno))
    for c in classes:
        inside = [m.name for m in c.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
        facts.methods.setdefault(c.name, inside)
    for line in tree.body:
        if isinstance(line, ast.Assign) and isinstance(line.value, (ast.Constant, ast.UnaryOp)):
            for target in line.targets:
                if isinstance(target, ast.Name):
                    value = ast.unparse(line.value)
                    facts.values.setdefault(target.id, (value, name, line.lineno))
    for outer in made:
        for call in ast.walk(outer):
            if isinstance(call, ast.Call):
                by = call.func
                called = by.attr if isinstance(by, ast.Attribute) else ast.unparse(by)
                facts.callers.setdefault(called, []).append((outer.name, name, call.lineno))
    for node in ast.walk(tree):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        for module in modules:
            facts.imports.setdefault(module.partition(".")[0], set()).add(name)


Found = tuple[str, str, int] | None


def where(facts: Facts, name: str) -> Found:
    """The file that defines a function or class."""
    places = facts.at.get(name.rpartition(".")[2])
    return (places[0][0], *places[0]) if places else None


def value(facts: Facts, name: str) -> Found:
    """The value of a module's constant."""
    return facts.values.get(name)


def callers(facts: Facts, name: str) -> Found:
    """The functions that call one."""
    rows = facts.callers.get(name.rpartition(".")[2])
    return (", ".join(sorted({r[0] for r in rows})), rows[0][1], rows[0][2]) if rows else None


def importers(facts: Facts, name: str) -> Found:
    """The files that import a module."""
    files = sorted(facts.imports.get(name.partition(".")[0], ()))
    return (", ".join(files), files[0], 0) if files else None


def count(kind: str) -> Callable[[Facts, str], Found]:
    """How many functions or classes a file defines."""

    def answer(facts: Facts, name: str) -> Found:
        table: dict[str, int] = getattr(facts, kind)
        wanted = name if name.endswith(".py") else f"{name}.py"
        found = [f for f in table if f == wanted or f.endswith(f"/{wanted}")]
        return (str(table[found[0]]), found[0], 0) if len(found) == 1 else None

    return answer


def methods(facts: Facts, name: str) -> Found:
    """The methods of a class."""
    if name not in facts.methods:
        return None
    return (", ".join(facts.methods[name]), *facts.at[name][0])


HAS = rf"(?:does|are|do) .*?{NAME}(?: have| define| contain)?\W*$"
FORMS = (
    (rf"how many functions {HAS}", count("functions")),
    (rf"how many classes {HAS}", count("classes")),
    (rf"(?:which|what) (?:file|module)s? defines? (?:the )?(?:function |class )?{NAME}", where),
    (rf"where is (?:the )?(?:function |class )?{NAME} defined", where),
    (rf"(?:which|what) (?:function|method)s? calls? {NAME}", callers),
    (rf"who calls {NAME}", callers),
    (rf"(?:which|what) (?:file|module)s? imports? {NAME}", importers),
    (rf"(?:which|what) methods does (?:the )?(?:class )?{NAME} have", methods),
    (rf"value of (?:the )?(?:constant )?{NAME}", value),
)
