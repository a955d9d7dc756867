"""The house holds its shape: small rooms, small files, short functions, every folder in a layer."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "agentroute"
FILES = sorted(HOUSE.rglob("*.py"))
MOST_FILES, MOST_LINES, MOST_FUNCTION = 14, 350, 60


def test_no_folder_is_crowded():
    crowded = {}
    for folder in {p.parent for p in FILES}:
        loose = [p for p in folder.glob("*.py") if p.name != "__init__.py"]
        name = folder.relative_to(HOUSE).as_posix()
        if len(loose) > MOST_FILES:
            crowded[name] = len(loose)
    assert not crowded


def test_no_file_is_long():
    lines = {p.relative_to(ROOT): len(p.read_text().splitlines()) for p in FILES}
    assert {p: n for p, n in lines.items() if n > MOST_LINES} == {}


def test_no_function_is_long():
    long = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                n = node.end_lineno - node.lineno + 1
                if n >= MOST_FUNCTION:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = n
    assert not long


def test_every_folder_stands_in_a_layer():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = config["tool"]["importlinter"]["contracts"][0]
    layers = {name.strip() for row in contract["layers"] for name in row.split("|")}
    there = {p.name for p in HOUSE.iterdir() if (p / "__init__.py").exists()}
    there |= {p.stem for p in HOUSE.glob("*.py")} - {"__init__", "__main__"}
    assert {f"agentroute.{name}" for name in there} == layers


def test_catalogues_are_not_packages():
    assert not list((ROOT / "agents").rglob("__init__.py"))
    assert not list((ROOT / "graphs").rglob("__init__.py"))
