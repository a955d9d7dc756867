"""Words as a graph of tasks by rules, with no model: split where it is clear, else one task."""

from __future__ import annotations

from agentroute.model.plans import Plan, Planning
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.graphfile import plan_of_text
from agentroute.planning.planners.around import Around
from agentroute.planning.planners.steps import split
from agentroute.planning.planners.supply import skill_of, supplied
from agentroute.planning.topology import choose_topology

WHOLE = "nothing in the words says where to split"


class OfflinePlanner:
    """Splits where enumerations, sequences, comparisons or conjunctions say so, else one task.

    A step whose words clearly name a skill of one of the agents asks for that skill, and gets
    before it what such a step waits for in every graph of the catalogue. Where a step is known to
    lack what it needs, the words stay one task.
    """

    quick = True

    def __init__(self, *, around: Around | None = None) -> None:
        self._around = around or Around()

    def __call__(self, text: str) -> Plan:
        """The plan of a text.

        Raises:
            UsageError: the text is empty or too long.
        """
        whole = plan_of_text(text)
        graph = offline(text)
        if len(graph) == 1:
            how = Planning(by="one", why=WHOLE, considered=("offline", "one"))
            return whole.model_copy(update={"planning": how})
        cards = self._around.cards()
        skills = {t.id: skill_of(t.prompt, cards) for t in graph.tasks}
        graph, said = supplied(graph, skills, text, self._around)
        how = Planning(by="offline", why=said, considered=("offline", "one"))
        choice = choose_topology(graph)
        plan = Plan(name="steps", tasks=graph.tasks, choice=choice, planning=how)
        if (fault := self._around.fault(plan)) is None:
            return plan
        why = f"{said}, which could not be done: {fault}"
        how = Planning(by="one", why=why, considered=("offline", "one"))
        return whole.model_copy(update={"planning": how})


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
