"""What ``import agentroute`` gives, and what it must not load."""

import subprocess
import sys

import pytest

import agentroute

HEAVY = ("torch", "langgraph", "openai", "sqlmodel")


def test_all_is_sorted_and_every_name_is_there():
    assert agentroute.__all__ == sorted(agentroute.__all__)
    for name in agentroute.__all__:
        assert getattr(agentroute, name) is not None
    assert set(agentroute._HOME) == set(agentroute.__all__) - {"__version__"}


def loaded_by(code: str) -> set[str]:
    tail = "import sys; print(' '.join(m for m in sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, check=True
    )
    return {m.split(".")[0] for m in out.stdout.split()}


def test_import_is_light():
    assert not loaded_by("import agentroute") & set(HEAVY)


def test_help_is_light():
    code = (
        "import contextlib, io\nfrom agentroute.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(['--help'])"
    )
    assert not loaded_by(code) & {*HEAVY, "numpy", "networkx", "sklearn"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Nothing"):
        _ = agentroute.Nothing
