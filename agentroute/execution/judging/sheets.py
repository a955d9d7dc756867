"""What a chat judge sees of a run, and what its marks mean: blind to names, in a random order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agentroute.errors import ConfigError
from agentroute.execution.progress import Run
from agentroute.execution.runner import ALL, as_one_task, sinks
from agentroute.model.calls import AgentReply
from agentroute.model.ids import keyed_rng

Whose = tuple[str, str | None]  # a task and, of a team, the agent


class Sheet(NamedTuple):
    """What is to be judged: ``inputs`` for the call, and whose the n-th of them is."""

    inputs: dict[str, AgentReply]
    whose: tuple[Whose, ...]

    def scores(self, data: Any) -> Any:
        """The judge's ``data`` with each mark under its task and agent in place of a number.

        A mark for an input that is not there keeps its number, and is then refused like any other
        score of an unknown task.
        """
        marks = data.get("scores") if isinstance(data, Mapping) else None
        if not isinstance(marks, list):
            return data
        return {"scores": [self._named(m) if isinstance(m, Mapping) else m for m in marks]}

    def _named(self, mark: Mapping[str, Any]) -> dict[str, Any]:
        n = mark.get("input")
        if not isinstance(n, int) or not 1 <= n <= len(self.whose):
            return {"task_id": f"input {n}", "score": mark.get("score")}
        task_id, agent = self.whose[n - 1]
        said = {"task_id": task_id, "score": mark.get("score"), "method": mark.get("reason", "")}
        return said if agent is None else {**said, "agent": agent}


def sheet(run: Run, params: Mapping[str, Any]) -> Sheet:
    """One question and answer a reply; of a team, each member's own. The order is drawn by the
    run's seed, so that nothing follows from it; a resumed run draws the same.

    ``params["tasks"]`` says which tasks; else those that made the answer.

    Raises:
        ConfigError: ``tasks`` names one that the plan does not have.
    """
    last = (ALL,) if ALL in run.outcomes else sinks(run.graph)
    wanted = params.get("tasks", last)
    unknown = [str(v) for v in wanted if v not in run.graph and v not in last]
    if unknown:
        raise ConfigError(
            f"there is no task '{unknown[0]}'", field="verifier.tasks",
            hint=f"tasks: {', '.join(run.graph.order[:8])}",
        )  # fmt: skip
    rows: list[tuple[Whose, AgentReply]] = []
    for v in wanted:
        outcome = run.outcomes.get(v)
        if outcome is None or outcome.reply is None:
            continue
        task = run.graph[v] if v in run.graph else as_one_task(run.graph)
        rows += [((v, a), _entry(task.prompt, r)) for a, r in _members(outcome.reply)]
    order = keyed_rng(run.rules.seed, run.run_id, "verify", "order").permutation(len(rows))
    drawn = [rows[i] for i in order]
    inputs = {f"{n}": entry for n, (_, entry) in enumerate(drawn, 1)}
    return Sheet(inputs, tuple(whose for whose, _ in drawn))


def _members(reply: AgentReply) -> list[tuple[str | None, AgentReply]]:
    """Each agent's own words where a team's reply keeps them apart; else the reply."""
    team = reply.data.get("team") if isinstance(reply.data, dict) else None
    if not isinstance(team, dict):
        return [(None, reply)]
    return [(agent, AgentReply(text=str(m.get("text", "")))) for agent, m in team.items()]


def _entry(prompt: str, reply: AgentReply) -> AgentReply:
    said = reply.text or "(no answer)"
    return AgentReply(text=f"Question:\n{prompt[:4_000]}\n\nAnswer:\n{said}")
