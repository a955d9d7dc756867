"""The class of an answer by its kind: number, choice, JSON or code; equal answers, equal keys.

Code is compared by its syntax tree, names replaced in the order in which they are bound; it is
never run.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize

from agentroute.refining.extract import canonical, normal, numbers

MOST_CODE = 20_000
MOST_JSON = 200_000
MOST_TOKENS, MOST_BRANCHES = 200, 50  # of one statement, and of all: what is deeper is not parsed
_TELLING = re.compile(r"^\s*(?:async |def |class |import |from |for |[\w.\[\], ]+=)", re.MULTILINE)
_FENCE = re.compile(r"```(\w*)[ \t]*\n(.*?)```", re.DOTALL)
_SAID = re.compile(
    r"(?i)\b(?:final answer|answer|result|choice|option)\b\s*(?:is|are|:|=)\s*:?\s*"
    r"([^\n]+?)\s*[.!]?\s*$",
    re.MULTILINE,
)
_CHOICE = re.compile(r"^\W*(?:option\s+)?([A-J])\W*$")
_CHOICE_TEXT = re.compile(r"^\s*\(?([A-J])[).:]\s+\S")


def answer_key(text: str) -> str:
    """The class of an answer, as ``kind:value``, or its normal words.

    A fenced block of code or JSON is the answer; else what stands after the last "answer is";
    else the text. "42", "42.0" and "The answer is 42" are one class; so are two programs that
    differ in names, comments and layout alone.
    """
    blocks = _FENCE.findall(text)
    if blocks:
        language, body = blocks[-1]
        return _json_key(body) or _code_key(body) or f"code:{language}:{normal(body)}"
    found = _json_key(text) or _code_key(text)
    if found:
        return found
    said = _SAID.findall(text)
    return _short_key(said[-1] if said else text)


def _short_key(text: str) -> str:
    letter = _CHOICE.match(text) or _CHOICE_TEXT.match(text)
    if letter:
        return f"choice:{letter[1]}"
    bare = numbers(text)
    if len(bare) == 1 and not normal(re.sub(r"[\d.,%+\-−$€£]+", " ", text)):
        return f"{bare[0]:.10g}"
    return canonical(text)


def _json_key(text: str) -> str:
    """Objects and lists alone: a bare number or word is no JSON here."""
    bare = text.strip()
    if not bare[:1] or bare[0] not in "{[" or len(bare) > MOST_JSON:
        return ""
    try:
        return "json:" + json.dumps(_numbered(json.loads(bare)), sort_keys=True)
    except (ValueError, RecursionError):
        return ""


def _numbered(value: object) -> object:
    """Numbers by value: 1 and 1.0 are one."""
    if isinstance(value, dict):
        return {k: _numbered(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbered(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _code_key(text: str) -> str:
    """Python with a definition, an import or an assignment, as its tree without its names."""
    if len(text) > MOST_CODE or not _TELLING.search(text) or not _is_shallow(text):
        return ""
    try:
        tree = ast.parse(text.strip() + "\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
        return ""
    telling = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.For)
    if not any(isinstance(n, telling) for n in tree.body):
        return ""
    try:
        return "code:" + ast.dump(_Renamed(_bound(tree)).visit(tree))
    except RecursionError:
        return ""


def _is_shallow(text: str) -> bool:
    """Whether no statement is long enough to nest deep: Python's own parser recurses on it."""
    tokens = 0
    if len(re.findall(r"\belif\b", text)) > MOST_BRANCHES:
        return False
    try:
        for t in tokenize.generate_tokens(io.StringIO(text).readline):
            if t.type not in (tokenize.NL, tokenize.COMMENT):
                tokens = 0 if t.type == tokenize.NEWLINE else tokens + 1
            if tokens > MOST_TOKENS:
                return False
    except (tokenize.TokenError, SyntaxError, ValueError):
        return False
    return True


def _bound(tree: ast.AST) -> dict[str, str]:
    """Names that the program binds itself, numbered as they are met; others keep their name.

    A function at the top keeps its name: it is what the caller asks for.
    """
    top = {
        n.name for n in getattr(tree, "body", ())
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }  # fmt: skip
    names: dict[str, str] = {}
    for node in _in_order(tree):
        name = None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.FunctionDef):
            name = node.name
        if name is not None and name not in top:
            names.setdefault(name, f"v{len(names)}")
    return names


def _in_order(node: ast.AST) -> list[ast.AST]:
    out, stack = [], [node]
    while stack:
        at = stack.pop()
        out.append(at)
        stack.extend(reversed(list(ast.iter_child_nodes(at))))
    return out


class _Renamed(ast.NodeTransformer):
    """The tree with bound names numbered and docstrings dropped."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A bound name by its number."""
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """A parameter by its number, its annotation dropped."""
        node.arg, node.annotation = self.names.get(node.arg, node.arg), None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function without its docstring and annotation."""
        node.name = self.names.get(node.name, node.name)
        node.returns = None
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node
