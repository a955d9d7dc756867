"""What a person sees while a run goes on: a live table on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agentroute.cli.parts.common import counted, seconds
from agentroute.cli.parts.terminal import shown
from agentroute.model.events import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentroute.model.runs import RunResult
    from agentroute.orchestrator import Orchestrator

MOST, WORDS = 24, 60


class Progress:
    """Takes events one by one. Writes to stderr, so that stdout stays clean for results."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._tasks: dict[str, dict[str, Any]] = {}
        self._live: Any = None
        self._saying = ""  # the task whose words are being printed

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.live import Live

            from agentroute.cli.parts.common import console

            self._live = Live(console=console(stderr=True), refresh_per_second=8, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, trace)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._quiet:
            return
        if self._live is None:
            self._print(event)
            return
        self._note(event)
        self._live.update(self._table())

    def _print(self, event: Event) -> None:
        """A line an event; what an agent says as it comes goes on in a line of its own."""
        if event.type == "agent.delta":
            start = "" if self._saying == event.task_id else f"\n{shown(event.task_id)}: "
            words = shown(str(event.data.get("text", "")))
            print(start + words, end="", file=sys.stderr, flush=True)
            self._saying = event.task_id
        elif line := plain(event):
            end = "\n" if self._saying else ""
            print(end + line, file=sys.stderr, flush=True)
            self._saying = ""

    def _note(self, e: Event) -> None:
        if e.type == "plan.created":
            for t in e.data.get("tasks", []):
                self._tasks.setdefault(t, {"state": "waits"})
        row = self._tasks.setdefault(e.task_id, {"state": "waits"}) if e.task_id else {}
        if e.type == "decision.made":
            row.update(state="decided", agent=e.agent)
            row["p"], row["says"] = e.data.get("propensity"), ""
        elif e.type == "agent.delta":
            row["says"] = (row.get("says", "") + str(e.data.get("text", "")))[-WORDS:]
        elif e.type == "agent.started":
            row.update(state="runs", agent=e.agent, since=e.at_s)
        elif e.type in ("agent.finished", "agent.failed"):
            row["state"] = "done" if e.type == "agent.finished" else "failed"
            row["took"] = e.data.get("latency_s")

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        out = Table(box=None, pad_edge=False, show_header=False)
        rows = list(self._tasks.items())
        open_first = sorted(rows, key=lambda r: r[1]["state"] in ("done", "waits"))
        colours = {"done": "green", "failed": "red", "runs": "yellow"}
        for task, row in open_first[:MOST]:
            p = row.get("p")
            out.add_row(
                Text(row["state"], style=colours.get(row["state"], "dim")),
                Text(shown(task)),
                Text(shown(row.get("agent", ""))),
                Text("" if p is None else f"p={p:.2f}", style="dim"),
                Text("" if row.get("took") is None else seconds(row["took"]), style="dim"),
                Text(shown(" ".join(row.get("says", "").split())), style="dim"),
            )
        if len(rows) > MOST:
            out.add_row(Text(""), Text(f"and {len(rows) - MOST} more"))
        return out


def plain(e: Event) -> str:
    """One event as a line, or '' for the ones nobody wants to read."""
    d = e.data
    tasks = d.get("tasks", 0) if e.type == "run.started" else 0  # elsewhere it is their names
    words = {
        "run.started": f"run {e.run_id}: {d.get('name', '')}, {counted(tasks, 'task')}",
        "plan.created": f"{d.get('topology', '')} plan: {d.get('reason', '')}",
        "decision.made": f"{e.task_id}: {e.agent or 'nobody'}"
        + (f" (p={d['propensity']:.2f})" if "propensity" in d else ""),
        "agent.finished": f"{e.task_id}: {e.agent} done in {seconds(d.get('latency_s', 0.0))}",
        "agent.failed": f"{e.task_id}: {e.agent} failed: {d.get('error', '')}",
        "verify.finished": f"verified: {d.get('scores', 0)} scores",
        "approval.needed": f"{e.task_id}: needs approval",
        "run.finished": f"run {d.get('status', '')}",
    }
    line = words.get(e.type, "")
    return f"[{e.at_s:7.2f}] {line}" if line else ""


def carried_out(
    orc: Orchestrator, work: str | None, resume: str | None, *, quiet: bool, **options: Any
) -> RunResult:
    """Run work, or go on with a run, while its events are shown."""
    from agentroute.cli.parts.common import run_async
    from agentroute.learning.teaching import find_run

    async def go(progress: Progress) -> RunResult:
        async with orc:
            again = resume and find_run(orc.ledger, resume)
            return await orc.run(work, resume=again, on_event=progress, **options)

    with Progress(quiet=quiet) as progress:
        return run_async(go(progress))


def answers_of(yes: Sequence[str] | None, no: Sequence[str] | None) -> dict[str, bool]:
    """Approvals by task, from --approve and --reject."""
    return {**dict.fromkeys(yes or (), True), **dict.fromkeys(no or (), False)}


def fell_short(result: RunResult) -> bool:
    """Whether the exit code is 1: no answer, a low one, a goal missed, somebody is waited for."""
    low = result.verdict is not None and not result.verdict.accepted
    nobody = result.status == "abstained" and not result.usage.calls
    return result.status in ("failed", "waiting") or nobody or low or bool(result.goal_missed)
