"""Every example runs as a new user would run it, and prints what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentroute.testing import Say, ScriptedChatServer

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_embed():
    out = run("embed.py")
    assert "completed sequential" in out
    late = int(out.splitlines()[-1].split(" in ")[1].split(" of ")[0])
    assert late >= 8


def test_custom_router_is_short_and_conforms():
    out = run("custom_router.py")
    assert out.count("ok  rule_") >= 12
    said = out.splitlines()
    assert said[0].startswith("running_mean ") and "careful" in said[0]
    means = dict(line.split(": ") for line in said[1:3])
    assert float(means["careful"]) > float(means["rough"])
    text = (EXAMPLES / "custom_router.py").read_text()
    body = text.split("class RunningMean")[1].split("async def main")[0]
    assert len([line for line in body.splitlines() if line.strip()]) < 30


def test_langgraph_app():
    assert run("langgraph_app.py").strip() == "the answer is 42"


def test_chat_pipeline_skips_without_an_endpoint():
    assert run("chat_pipeline.py").startswith("skipped: OPENAI_BASE_URL is not set")


def test_chat_pipeline_with_a_scripted_endpoint():
    with ScriptedChatServer([Say("1. Why\n2. How\n3. What"), Say("A ledger tells why.")]) as server:
        out = run(
            "chat_pipeline.py",
            OPENAI_BASE_URL=server.base_url,
            OPENAI_API_KEY="k",
            OPENAI_MODEL="m",
        )
        assert len(server.requests) == 2
    assert out.startswith("A ledger tells why.")
    assert "completed: 2 calls" in out


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.py")))
def test_every_example_is_tested(name):
    assert f'"{name}"' in Path(__file__).read_text() or name in KNOWN_ELSEWHERE


KNOWN_ELSEWHERE = {"contested_pairs.py"}  # tests/agents runs it
