"""A graph of the catalogue for a request: by its words and meaning, its inputs from the words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentroute.errors import AgentRouteError
from agentroute.features.threads import one_thread
from agentroute.model.plans import Plan, Planning
from agentroute.planning.graphfile import GraphSpec, make_plan, plan_of_text
from agentroute.planning.planners.around import Around
from agentroute.planning.planners.filling import filled, on_shipped_data
from agentroute.planning.planners.offline import OfflinePlanner
from agentroute.routers.parts.words import content

AT = 0.5  # below it a graph merely resembles what was asked
HERE = frozenset(content("here this my our the please run make do"))


@dataclass(frozen=True)
class Match:
    """A graph, how well it fits in [0, 1], the inputs that the words give, and why."""

    spec: GraphSpec
    score: float
    inputs: dict[str, Any]
    why: str
    named: bool = False


class LibraryPlanner:
    """The graph that fits best, from ``at`` on; below that the words are split by rules.

    The score is the mean of two shares: of the request's content words, those that the graph's
    name, description and tasks have; and the cosine of the request with name and description,
    where it is not negative. ``named`` is stricter: every word of the graph's name is said, and
    every other word is the graph's too.
    """

    quick = True

    def __init__(self, *, at: float = AT, around: Around | None = None) -> None:
        self._at, self._around = at, around or Around()
        self._offline = OfflinePlanner(around=around)

    def __call__(self, text: str) -> Plan:
        """The plan of a text.

        Raises:
            UsageError: the text is empty or too long.
        """
        whole = plan_of_text(text)
        found = sorted(self.matches(whole.tasks[0].prompt), key=lambda m: -m.score)
        if found and found[0].score >= self._at and (plan := self._planned(found[0])) is not None:
            return plan
        nearest = f"the nearest graph is {found[0].why}" if found else "there is no graph"
        plan = self._offline(text)
        assert plan.planning is not None
        why = f"{nearest}, below {self._at:g} or lacking what it needs; {plan.planning.why}"
        considered = ("library", "offline", "one")
        how = plan.planning.model_copy(update={"why": why, "considered": considered})
        return plan.model_copy(update={"planning": how})

    def named(self, text: str) -> Plan | None:
        """The plan of the one graph that the words name, and say on what; else None."""
        found = [m for m in self.matches(text, cosine=False) if m.named]
        return self._planned(found[0]) if len(found) == 1 else None

    def matches(self, text: str, *, cosine: bool = True) -> list[Match]:
        """Every graph with how well it fits, by name."""
        specs = self._around.graphs() if text.strip() else []
        cosines = self._cosines(text, specs) if cosine else [0.0] * len(specs)
        return [_match(s, text, c) for s, c in zip(specs, cosines, strict=True)]

    def _cosines(self, text: str, specs: list[GraphSpec]) -> list[float]:
        if self._around.embedder is None or not specs:
            return [0.0] * len(specs)
        said = [f"{s.name.replace('_', ' ')}. {s.description}" for s in specs]
        with one_thread():
            rows = self._around.embedder.encode([text, *said])
            return [max(0.0, float(c)) for c in rows[1:] @ rows[0]]

    def _planned(self, match: Match) -> Plan | None:
        """The plan of a graph that can be carried out, else None."""
        try:
            plan = make_plan(match.spec, match.inputs)
        except AgentRouteError:
            return None
        if self._around.fault(plan) is not None:
            return None
        how = Planning(by="library", why=match.why, considered=("library", "offline", "one"))
        return plan.model_copy(update={"planning": how})


def _match(spec: GraphSpec, text: str, cosine: float) -> Match:
    inputs, rest = filled(spec.inputs, text)
    asked = [w for w in content(rest) if w not in HERE]
    name = set(content(spec.name.replace("_", " ")))
    tasks = " ".join(t.prompt for t in spec.tasks)
    known = name | set(content(f"{spec.description} {tasks}"))
    share = sum(w in known for w in asked) / max(1, len(asked))
    score = (share + cosine) / 2
    shipped = on_shipped_data(spec.inputs, inputs)
    named = bool(name) and name <= set(asked) and share == 1.0 and not shipped
    said = ", ".join(f"{k}={v}" for k, v in inputs.items()) or "its own defaults"
    why = f"{spec.name} ({share:.0%} of the words, cosine {cosine:.2f}; inputs: {said})"
    return Match(spec, score, inputs, why, named)
