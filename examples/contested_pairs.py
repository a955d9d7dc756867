"""Which of two competing agents is better, and on what: each pair scored by its own verifier.

Runs both agents of every contested pair on the shipped data, in this process, and prints the mean
score of the verifier and the CPU time of a warm call. 'Better' is fixed here, before any learning.

    python examples/contested_pairs.py
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agentroute.config.paths import bundled
from agentroute.config.yaml import load_yaml
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.model.tasks import Task
from agentroute.toolbox.handover import locate

HOME = "shipped:pedalworks"


@dataclass(frozen=True)
class Case:
    """One kind of input: the replies that come before the contested step, and its verifier."""

    skill: str
    agents: tuple[str, str]
    on: str
    verifier: str
    before: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    questions: str = ""


@dataclass(frozen=True)
class Row:
    """``score`` (a, b) by the verifier in [0, 1]; ``cpu_s`` (a, b) of a warm call."""

    case: Case
    score: tuple[float, float]
    cpu_s: tuple[float, float]

    @property
    def better(self) -> str:
        """The agent with the higher score."""
        return self.case.agents[0 if self.score[0] > self.score[1] else 1]

    @property
    def margin(self) -> float:
        """By how much."""
        return abs(self.score[0] - self.score[1])


def _files(path: str, **params: Any) -> tuple[tuple[str, str, dict[str, Any]], ...]:
    return (("files", "file_lister", {"path": f"{HOME}/{path}", **params}),)


def _table(path: str) -> tuple[tuple[str, str, dict[str, Any]], ...]:
    load = ("load", "table_loader", {"path": f"{HOME}/{path}"})
    return (load, ("clean", "table_cleaner", {}))


IMPORTS = ("imports_ast", "imports_regex")
DEFECTS = ("inspect_ast", "inspect_lines")
PROFILES = ("table_profile_sql", "table_profile_sample")
SEARCH = ("search_bm25", "search_embedding")
SUMMARY = ("summarise_cover", "summarise_lead")
SERVICE, LEGACY = _files("code/service"), _files("code/legacy")

CASES = (
    Case("scan_imports", IMPORTS, "code that parses", "verify_imports", SERVICE),
    Case("scan_imports", IMPORTS, "code that does not", "verify_imports", LEGACY),
    Case("find_defects", DEFECTS, "code that parses", "verify_findings", SERVICE),
    Case("find_defects", DEFECTS, "code that does not", "verify_findings", LEGACY),
    Case("analyse_table", PROFILES, "a long table", "verify_table", _table("tables/rentals.csv")),
    Case("search_documents", SEARCH, "identifiers", "verify_answers", questions="identifier"),
    Case("search_documents", SEARCH, "paraphrase", "verify_answers", questions="paraphrase"),
    Case("summarise", SUMMARY, "a folder", "verify_summary", _files("docs", suffixes=[".md"])),
)


@cache
def _card(name: str) -> dict[str, Any]:
    return dict(load_yaml(bundled("agents") / f"{name}.yaml").data)


@cache
def _function(entrypoint: str) -> Any:
    file, _, attr = entrypoint.partition(":")
    spec = importlib.util.spec_from_file_location(f"pair_{file[:-3]}", bundled("agents") / file)
    if spec is None or spec.loader is None:
        raise ImportError(entrypoint)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, attr)


def call(
    name: str, inputs: Mapping[str, AgentReply], params: Mapping[str, Any], prompt: str = "do it"
) -> tuple[AgentReply, float]:
    """The reply of a catalogue agent and its CPU seconds."""
    card = _card(name)
    made = AgentCall(
        Task(id=name, prompt=prompt),
        dict(inputs),
        {**card.get("params", {}), **params},
        workdir=Path(tempfile.mkdtemp(prefix="pair-")),
    )
    function = _function(card["entrypoint"])
    began = time.process_time()
    reply: AgentReply = function(made)
    return reply, time.process_time() - began


def _asked(case: Case) -> list[dict[str, Any]]:
    found = load_yaml(locate(f"{HOME}/questions.yaml")).data["questions"]
    return [q for q in found if q["kind"] == case.questions]


def _answers(case: Case, agent: str) -> tuple[dict[str, AgentReply], dict[str, Any], list[float]]:
    """The inputs and parameters of the verifier, and the CPU seconds of each contested call."""
    if case.questions:
        asked = _asked(case)
        params: dict[str, Any] = {"data": HOME}
        made = [call(agent, {}, params, q["question"]) for q in asked]
        replies = {f"q[{i}]": r for i, (r, _) in enumerate(made)}
        return replies, params | {"questions": asked}, [s for _, s in made]
    replies = {}
    for task_id, name, given in case.before:
        replies[task_id] = call(name, replies, given)[0]
    reply, cpu_s = call(agent, replies, {})
    return replies | {"contested": reply}, {}, [cpu_s]


def score(case: Case, agent: str) -> tuple[float, float]:
    """Mean score by the verifier, and mean CPU seconds of a warm call."""
    _answers(case, agent)
    replies, params, cpu_s = _answers(case, agent)
    rows = call(case.verifier, replies, params)[0].data["scores"]
    return sum(r["score"] for r in rows) / len(rows), sum(cpu_s) / len(cpu_s)


def compare() -> Iterator[Row]:
    """Every case, one after the other."""
    for case in CASES:
        (q0, c0), (q1, c1) = (score(case, a) for a in case.agents)
        yield Row(case, (q0, q1), (c0, c1))


def main() -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("skill", "on", "agent", "score", "warm CPU", "better by", box=None)
    for row in compare():
        for i, agent in enumerate(row.case.agents):
            best = f"{row.margin:.2f}" if agent == row.better else ""
            what = (row.case.skill, row.case.on) if i == 0 else ("", "")
            table.add_row(*what, agent, f"{row.score[i]:.2f}", f"{row.cpu_s[i] * 1e3:.1f} ms", best)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
