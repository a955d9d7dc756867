"""Every public function, class and method has a caller: the product, the public API or a plug-in.

What is here for a test alone is not part of the product. Reachability is computed from the syntax
trees: module-level code, the agents, the two public lists and plug-ins named by string are where
it starts; a definition that only dead definitions use is dead.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = ("agentroute", "agentroute.testing")  # their __all__ is the public API
POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
# The console script and the entry points of pyproject.toml, and what starts a worker process.
ENTRY = (
    "agentroute.cli:main",
    "agentroute.adapters.child:main",
    "agentroute.adapters.loading:search",
    *(value for group in POINTS.values() for value in group.values()),
)
PLUGIN = re.compile(r"(agentroute(?:\.\w+)+):(\w+)")  # 'module:Class', as catalogues name code
# Decorators that hand a function to a library, which calls it.
REGISTERS = re.compile(r"\.(command|callback)\b|validator|serializer|listens_for")
PLAIN_BASES = {"Generic", "Protocol", "BaseModel", "ABC", "Exception", "object", "SQLModel"}


@dataclass
class Node:
    """A definition: what it refers to by resolved name, and which attributes it reads."""

    module: str
    name: str
    public: bool
    owner: str = ""
    root: bool = False
    returns: set[str] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)

    @property
    def key(self) -> tuple[str, str]:
        return (self.module, f"{self.owner}.{self.name}" if self.owner else self.name)


@dataclass
class Code:
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)
    imports: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    seen_by: dict[str, list[str]] = field(default_factory=dict)  # module -> modules it imports

    def resolve(self, module: str, name: str) -> tuple[str, str] | None:
        """Where a name that is visible in ``module`` is defined, through re-exports."""
        for _ in range(8):
            if (module, name) in self.nodes:
                return (module, name)
            if (module, name) not in self.imports:
                return None
            module, name = self.imports[module, name]
        return None


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for f in sorted((root / "agentroute").rglob("*.py")):
        parts = f.relative_to(root).with_suffix("").parts
        yield ".".join(p for p in parts if p != "__init__"), ast.parse(f.read_text("utf-8"))
    for f in sorted((root / "agents").glob("*.py")):
        yield f"agents.{f.stem}", ast.parse(f.read_text("utf-8"))


def read(root: Path = ROOT) -> Code:
    code, trees = Code(), dict(modules(root))
    for module, tree in trees.items():
        for n in ast.walk(tree):
            if isinstance(n, ast.ImportFrom) and n.module:
                for a in n.names:
                    code.imports[module, a.asname or a.name] = (n.module, a.name)
    for module, tree in trees.items():
        _define(code, module, tree)
    targets: dict[str, list[tuple[str, str]]] = {module: [] for module in trees}
    for (module, _), target in code.imports.items():
        targets[module].append(target)
    for module, found in targets.items():
        code.seen_by[module] = [name for t in found if (name := ".".join(t)) in trees]
        if module in PUBLIC:
            code.nodes[module, ""].names |= set(found)
    return code


def _define(code: Code, module: str, tree: ast.Module) -> None:
    """One node a definition, and one, '', for the code around them."""
    top = _add(code, Node(module, "", public=False, root=True), [])
    for n in tree.body:
        if not isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _uses(top, n)
            continue
        found = module.startswith("agentroute.cli.") and n.name == "register"  # by the command line
        rooted = module.startswith("agents.") or found or _registered(n)
        node = Node(module, n.name, public=not n.name.startswith("_"), root=rooted)
        if not isinstance(n, ast.ClassDef):
            _add(code, node, [n])
            continue
        inner = [m for m in n.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)]
        named = [] if _foreign(code, module, n) else [m for m in inner if m.name[0] != "_"]
        _add(code, node, [*n.bases, *n.decorator_list, *(b for b in n.body if b not in named)])
        for m in named:
            method = Node(module, m.name, public=True, owner=n.name, root=_registered(m))
            _add(code, method, [m])


def _add(code: Code, node: Node, trees: list[ast.AST]) -> Node:
    code.nodes[node.key] = node
    for tree in trees:
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) and tree.returns:
            node.returns = {n.id for n in ast.walk(tree.returns) if isinstance(n, ast.Name)}
        _uses(node, tree)
    return node


def _uses(node: Node, tree: ast.AST) -> None:
    for n in ast.walk(tree):
        if isinstance(n, ast.Name):
            node.names.add((node.module, n.id))
        elif isinstance(n, ast.Attribute):
            node.attributes.add(n.attr)
        elif isinstance(n, ast.Constant) and isinstance(n.value, str):
            if plugin := PLUGIN.fullmatch(n.value):
                node.names.add((plugin[1], plugin[2]))
        elif isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "getattr":
            node.attributes |= {a.value for a in n.args[1:2] if isinstance(a, ast.Constant)}


def _registered(n: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    table = isinstance(n, ast.ClassDef) and any(k.arg == "table" for k in n.keywords)
    return table or any(REGISTERS.search(ast.unparse(d)) for d in n.decorator_list)


def _foreign(code: Code, module: str, n: ast.ClassDef) -> bool:
    """Whether another library calls its methods: it extends a class of that library."""
    for base in n.bases:
        name = ast.unparse(base).split("[")[0]
        if name in PLAIN_BASES or (module, name) in code.nodes:
            continue
        if not code.imports.get((module, name), ("", ""))[0].startswith("agentroute"):
            return True
    return False


def unused(code: Code) -> set[str]:
    """Public definitions that nothing reaches."""
    by_name: dict[str, list[Node]] = {}
    for n in code.nodes.values():
        if n.owner:
            by_name.setdefault(n.name, []).append(n)
    api = _api(code)
    todo = [n for n in code.nodes.values() if n.root or n.key in api or _owner(n) in api]
    todo += [code.nodes[key] for e in ENTRY if (key := code.resolve(*e.split(":")))]
    live, attributes = {n.key for n in todo}, set()
    while todo:
        node = todo.pop()
        attributes |= node.attributes
        found = [t for use in node.names if (t := code.resolve(*use))]
        found += [m.key for a in node.attributes for m in by_name.get(a, ())]
        found += [(m, a) for m in code.seen_by[node.module] for a in node.attributes]
        for key in (set(found) & code.nodes.keys()) - live:
            live.add(key)
            todo.append(code.nodes[key])
    dead = {n.key for n in code.nodes.values() if n.public and n.key not in live}
    # The methods of a dead class go with it.
    return {f"{m}.{n}" for m, n in dead if "." not in n or (m, n.split(".")[0]) not in dead}


def _owner(node: Node) -> tuple[str, str]:
    return (node.module, node.owner)


def _api(code: Code) -> set[tuple[str, str]]:
    """The public lists, and the types that their functions and methods return."""
    listed = (target for (module, _), target in code.imports.items() if module in PUBLIC)
    api, before = {key for target in listed if (key := code.resolve(*target))}, -1
    while len(api) != before:
        before = len(api)
        public = [n for n in code.nodes.values() if n.key in api or _owner(n) in api]
        api |= {k for n in public for r in n.returns if (k := code.resolve(n.module, r))}
    return api


def test_every_public_definition_has_a_caller():
    dead = sorted(name.removeprefix("agentroute.") for name in unused(read()))
    assert not dead, "used by tests alone: wire them or delete them"


@pytest.mark.parametrize(
    ("source", "dead"),
    [
        ("def alone(): ...", {"alone"}),
        ("def calls_itself():\n    calls_itself()", {"calls_itself"}),
        ("def a():\n    b()\ndef b():\n    a()", {"a", "b"}),
        ("def used(): ...\nX = used()", set()),
        ("def _private(): ...", set()),
        ("class C:\n    def left(self): ...\n    def m(self): ...\nC().m()", {"C.left"}),
        ("@app.command()\ndef command(): ...", set()),
        ("class Rows(HTMLParser):\n    def handle_data(self): ...\nRows()", set()),
        ("def plugged(): ...\nNAMES = {'p': 'agentroute.m:plugged'}", set()),
    ],
)
def test_it_finds_what_nothing_calls(tmp_path, source, dead):
    for folder in ("agentroute/testing", "agentroute/cli", "agents"):
        (tmp_path / folder).mkdir(parents=True)
    for package in ("", "testing/"):
        (tmp_path / f"agentroute/{package}__init__.py").touch()
    (tmp_path / "agentroute/cli/__init__.py").write_text("def main(): ...")
    (tmp_path / "agentroute/m.py").write_text(source)
    assert unused(read(tmp_path)) == {f"agentroute.m.{name}" for name in dead}
