"""The planner that ships: a graph of the catalogue that is named, else steps, else one task."""

from __future__ import annotations

from agentroute.model.plans import Plan, Planning
from agentroute.planning.graphfile import plan_of_text
from agentroute.planning.planners.around import Around
from agentroute.planning.planners.library import LibraryPlanner
from agentroute.planning.planners.offline import OfflinePlanner


class DefaultPlanner:
    """``library`` where the words say nothing but a graph's name and on what, else ``offline``.

    Where one agent is there to do it all, it is given all of it at once.
    """

    quick = True
    considered = ("library", "offline", "one")

    def __init__(self, *, around: Around | None = None) -> None:
        self._around = around or Around()
        self._library = LibraryPlanner(around=around)
        self._offline = OfflinePlanner(around=around)

    def __call__(self, text: str) -> Plan:
        """The plan of a text.

        Raises:
            UsageError: the text is empty or too long.
        """
        plan = self._library.named(text)
        if plan is None and len(able := self._around.able()) == 1:
            how = Planning(by="one", why=f"{able[0].name} is there alone to do it all")
            plan = plan_of_text(text).model_copy(update={"planning": how})
        plan = plan or self._offline(text)
        assert plan.planning is not None
        how = plan.planning.model_copy(update={"considered": self.considered})
        return plan.model_copy(update={"planning": how})
