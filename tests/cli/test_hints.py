"""Whatever a hint tells a person to type can be typed."""

import ast
import re
from pathlib import Path

import pytest
import typer

from agentroute.cli.app import app

HOUSE = Path(__file__).parents[2] / "agentroute"
COMMAND = re.compile(r"\bagentroute((?: [a-z][a-z-]*)+)((?: +\S+)*)")
PROSE = {"is", "in", "does"}  # 'agentroute is installed without its routers'


def said():
    """(place, text) of every string that is no docstring; what is put in at run time is 'X'."""
    for path in sorted(HOUSE.rglob("*.py")):
        source = path.read_text("utf-8")
        if "agentroute " not in source:
            continue
        nodes = list(ast.walk(ast.parse(source)))
        docs = {
            id(n.body[0].value) for n in nodes
            if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and n.body and isinstance(n.body[0], ast.Expr)
        }  # fmt: skip
        inside = {id(v) for n in nodes if isinstance(n, ast.JoinedStr) for v in n.values}
        left_out = docs | inside
        for n in nodes:
            if id(n) in left_out:
                continue
            if isinstance(n, ast.Constant) and isinstance(n.value, str):
                yield f"{path.relative_to(HOUSE)}:{n.lineno}", n.value
            elif isinstance(n, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else "X" for v in n.values)
                yield f"{path.relative_to(HOUSE)}:{n.lineno}", "".join(parts)


def named():
    """(place, words after 'agentroute', the rest of the sentence) of every command named."""
    for place, text in said():
        for words, rest in COMMAND.findall(text):
            if words.split()[0] not in PROSE:
                yield place, words.split(), rest


NAMED = list(named())
TREE = typer.main.get_command(app)


def problem(words, rest):
    """What is wrong with a command line, or ''."""
    command = TREE
    words = list(words)
    while words and (inner := getattr(command, "commands", None)) is not None:
        if words[0] not in inner:
            return f"no command '{words[0]}'"
        command = inner[words.pop(0)]
    if getattr(command, "commands", None) is not None:
        return "the name of a group, not of a command"
    known = {o for p in command.params for o in p.opts}
    typed = rest.split(" or ")[0].split(",")[0].split(";")[0]
    missing = [o for o in re.findall(r"(?<!\S)--[a-z-]+", typed) if o not in known]
    return f"no option {missing[0]}" if missing else ""


def test_hints_are_found():
    first = {words[0] for _, words, _ in NAMED}
    assert {"agents", "runs", "train", "state", "ledger"} <= first
    assert len(NAMED) > 20


@pytest.mark.parametrize(
    ("place", "words", "rest"), NAMED, ids=[f"{p} {w[0]}" for p, w, _ in NAMED]
)
def test_every_command_that_a_hint_names_exists(place, words, rest):
    assert problem(words, rest) == "", (place, words, rest)


@pytest.mark.parametrize(
    ("words", "rest", "wrong"),
    [
        (["state", "rest"], "", "no command 'rest'"),
        (["stat", "ls"], "", "no command 'stat'"),
        (["state"], "", "the name of a group, not of a command"),
        (["runs", "ls"], " --statsu X", "no option --statsu"),
        (["agents", "rm", "it", "first"], "", ""),
    ],
)
def test_a_hint_that_cannot_be_typed_is_found(words, rest, wrong):
    assert problem(words, rest) == wrong
