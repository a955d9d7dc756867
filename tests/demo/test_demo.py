"""The demo as a new user runs it: offline, to the end, its report last."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_tells_its_story_and_ends_with_the_report(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from agentroute.cli import main; main()", "demo"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for part in (
        "1. A pipeline",
        "2. The contested step",
        "why not",
        "3. The same",
        "4. A recorded",
    ):
        assert part in done.stdout
    page = Path(done.stdout.strip().splitlines()[-1]).read_text(encoding="utf-8")
    assert page.count("<svg") >= 5
    assert "<script" not in page
