"""Who joins: an agent by name, whoever was measured best for this kind of work, or the primary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from agentroute.execution.progress import Run
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import DecisionRecord
from agentroute.model.plans import AgentUse
from agentroute.model.tasks import Task
from agentroute.refining.naming import LEARNED, PRIMARY
from agentroute.registry.registry import Registry

DEFAULT_REFINER = AgentUse(name="refiner")
Winners = Callable[[], Mapping[str, AgentUse]]
NOTES = "Write the final answer to this. Your own draft and your peers' notes are the inputs:"


class Refiners:
    """Picks the refiner of a join. ``winners()`` maps a kind of task to who won its benchmark.

    The kind '' stands for every kind that was not measured.
    """

    def __init__(
        self, registry: Registry, default: AgentUse | None = None, winners: Winners | None = None
    ) -> None:
        self._registry, self._winners = registry, winners
        self.default = default or DEFAULT_REFINER

    def of(self, run: Run, tasks: Sequence[Task]) -> tuple[AgentUse, str]:
        """The refiner for the answers to ``tasks``, and why where nobody named it ('' else)."""
        use = run.plan.refine or self.default
        if use.name != LEARNED or LEARNED in self._registry:
            return use, ""
        kinds = {t.kind for t in tasks}
        kind = kinds.pop() if len(kinds) == 1 else ""
        known = self._winners() if self._winners else {}
        won = known.get(kind, known.get(""))
        if won is None:
            return DEFAULT_REFINER, "no aggregator was measured: agentroute bench aggregators"
        about = f"'{kind}'" if kind in known else "all kinds"
        return won.model_copy(update={"params": {**won.params, **use.params}}), f"won for {about}"

    def there(self, use: AgentUse) -> bool:
        """Whether that agent exists, or is the primary."""
        return use.name in self._registry or use.name == PRIMARY

    def is_primary(self, use: AgentUse) -> bool:
        """Whether one of those who answered is to write the whole."""
        return use.name == PRIMARY and PRIMARY not in self._registry


def routing_of(record: DecisionRecord | None) -> dict[str, float]:
    """The chosen agents' expected utility by the router, as the row has it; {} for a fixed choice.

    In [0, 1], four digits.
    """
    if record is None or record.scores is None or record.request is None:
        return {}
    names, mean = record.request.candidates.names, record.scores.mean
    chosen = np.isin(names, record.decision.chosen) & np.isfinite(mean)
    return {str(a): round(float(m), 4) for a, m in zip(names[chosen], mean[chosen], strict=True)}


def citing(reply: AgentReply, parts: Mapping[str, AgentReply]) -> AgentReply:
    """``reply`` with its own citations, then those of the replies that it was made from."""
    cited = [*reply.citations, *(c for r in parts.values() for c in r.citations)]
    return reply.model_copy(update={"citations": tuple(dict.fromkeys(cited))})
