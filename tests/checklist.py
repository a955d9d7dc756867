"""``make checklist``: the state of every line, from the tests that carry its id."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def known() -> dict[str, str]:
    """Id to one line of text."""
    lines = (HERE / "checklist_ids.yaml").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def run() -> dict[str, dict[str, dict]]:
    """Run every marked test, slow ones included; id -> test -> outcome."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "checklist.json"
        command = [
            sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile",
            "-m", "checklist and not llm and not soak",
            f"--checklist-json={out}", str(HERE),
        ]  # fmt: skip
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if not out.exists():
            sys.exit(done.returncode or 1)
        return json.loads(out.read_text(encoding="utf-8"))


def status(tests: dict[str, dict]) -> str:
    """Missing without a test, failed with one that did not pass, else passed."""
    outcomes = {t["outcome"] for t in tests.values()}
    if not outcomes or outcomes == {"skipped"}:
        return "missing"
    return "passed" if outcomes <= {"passed", "skipped"} else "failed"


def main() -> int:
    """Print a table, or with ``--json`` id -> status; exit 1 when a line failed."""
    ids, results = known(), run()
    unknown = set(results) - set(ids)
    if unknown:
        print(f"tests carry unknown ids: {sorted(unknown)}", file=sys.stderr)
        return 1
    states = {i: status(results.get(i, {})) for i in ids}
    simulated = {
        i for i, tests in results.items() if tests and all(t["simulated"] for t in tests.values())
    }
    if "--json" in sys.argv:
        print(json.dumps(states, indent=1))
    else:
        for i, text in ids.items():
            note = "  (simulator alone)" if i in simulated else ""
            print(f"{i:6} {states[i]:8} {text}{note}")
        count = {s: sum(v == s for v in states.values()) for s in ("passed", "failed", "missing")}
        print(", ".join(f"{n} {s}" for s, n in count.items()), f"of {len(ids)}")
    return int("failed" in states.values())


if __name__ == "__main__":
    sys.exit(main())
