"""The wheel carries the catalogue inside the package, and works away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agentroute.config.paths import bundled, bundled_data

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's content in a folder of its own."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "-w", "-n", "-o", str(out), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(out / "site")
    return out / "site"


def run(installed, cwd, *argv):
    code = "from agentroute.cli import main; main()"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=cwd, env=env, capture_output=True, text=True
    )


def test_contents(installed):
    inside = {str(p.relative_to(installed)) for p in installed.rglob("*")}
    assert "agentroute/py.typed" in inside
    assert "agentroute/inspector/templates/page.html" in inside
    assert "agentroute/_bundled/agents/imports_ast.yaml" in inside
    assert "agentroute/_bundled/graphs/audit_project.yaml" in inside
    assert "agentroute/_bundled/data/coderouterbench/outcomes.jsonl.gz" in inside
    tops = {p.name for p in installed.iterdir()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"agentroute"}


def test_the_catalogue_is_found_and_runs_away_from_the_checkout(installed, tmp_path):
    listed = run(installed, tmp_path, "agents", "ls", "--json")
    assert listed.returncode == 0, listed.stderr
    assert str(installed) in listed.stdout
    done = run(installed, tmp_path, "run", "report_table", "--input", "max_rows=200", "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "agentroute-out" / "report_table" / "report.html").is_file()


def test_a_checkout_reads_the_root(tmp_path):
    assert bundled("agents") == ROOT / "agents"
    assert bundled_data("coderouterbench").is_dir()
