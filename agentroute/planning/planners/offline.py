"""Words as a graph of tasks by rules, with no model: split where it is clear, else one task."""

from __future__ import annotations

from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.planners.steps import split


def offline(text: str) -> TaskGraph:
    """The tasks of a request: ``step1``, ``step2``, ...; a single ``task`` where it stays whole.

    A step that follows another is told what came of it, as any task that depends on one.

    >>> graph = offline("Read the log, then write a summary of it")
    >>> [(t.id, t.prompt, list(t.depends_on)) for t in graph.tasks]
    [('step1', 'Read the log', []), ('step2', 'write a summary of it', ['step1'])]

    Raises:
        ValidationError: the text is empty or too long.
    """
    steps = split(text)
    if len(steps) == 1:
        return TaskGraph((Task(prompt=text),))
    return TaskGraph(
        tuple(
            Task(
                id=f"step{j + 1}",
                prompt=s.text,
                depends_on={f"step{i + 1}": s.coupling for i in sorted(s.after)},
            )
            for j, s in enumerate(steps)
        )
    )
