"""Steps in words, tied to what the catalogue can do: the skill that a step names, what it needs."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agentroute.errors import AgentRouteError
from agentroute.model.cards import CapabilityCard
from agentroute.model.tasks import Task, TaskGraph
from agentroute.planning.graphfile import GraphSpec, make_plan
from agentroute.planning.planners.around import Around
from agentroute.planning.planners.filling import filled, on_shipped_data, paths_in
from agentroute.registry.eligibility import RESERVED
from agentroute.registry.needs import required
from agentroute.routers.parts.words import content

HALF = 0.5
_WHERE = re.compile(r"\b(?:of|in|from|for) (?:this|my|our) \w+", re.IGNORECASE)
CLEAR, AHEAD = 0.5, 0.1  # share of a step's words that a skill covers, and its lead over the next


def supplied(
    graph: TaskGraph, skills: Mapping[str, str], text: str, around: Around
) -> tuple[TaskGraph, str]:
    """The steps with their ``skills`` ('' for none), before them what these wait for, and why.

    What a skill waits for are the skills that it depends on in every graph of the catalogue in
    which it stands; where a step before has one of them already, nothing is added. A graph that
    would work on data that ships, since the words name none, supplies nothing. What two steps
    wait for alike is done once.
    """
    cards = around.cards()
    graphs = around.graphs() if any(skills.values()) else []
    tasks: list[Task] = []
    added: list[Task] = []
    for t in graph.tasks:
        skill = skills[t.id]
        found = _found(skill, graphs, text) if skill else None
        after, params = dict(t.depends_on), dict(t.params)
        if found is not None:
            params = _demanded(found.target.params, skill, cards) | params
            if not _above(t, graph, skills) & needs(skill, graphs):
                new, waits = _placed(found, t.id, added)
                after = waits | after
                tasks += new
                added += new
        more = {"depends_on": after, "params": params, "skills": (skill,) if skill else ()}
        tasks.append(t.model_copy(update=more))
    tied = ", ".join(f"{k} asks for {v}" for k, v in skills.items() if v)
    said = [f"the words say {len(graph)} steps", tied]
    said += [f"{', '.join(t.id for t in added)} as in the catalogue's graphs"] if added else []
    return TaskGraph(tasks), "; ".join(filter(None, said))


def skill_of(words: str, cards: Sequence[CapabilityCard]) -> str:
    """The skill that a step clearly names; '' where none does, or two do about alike.

    A skill's words are those of its name and tags, and by half those of its examples. A word counts
    the more, the fewer skills have it, and the verb in front by half: much is listed, little of it
    is licences. 'Of this project' and the name of a file that is there say where, not what.
    """
    for path in paths_in(words):
        words = words.replace(path, " ")
    known = _skill_words(_sayings(cards))
    asked = content(_WHERE.sub(" ", words))
    if not asked or not known:
        return ""
    held = Counter(w for have in known.values() for w in have)
    weight = {w: math.log1p(len(known) / (1 + held[w])) for w in asked}
    weight[asked[0]] *= HALF if len(asked) > 1 else 1.0
    total = sum(weight.values())
    scores = {
        s: sum(weight[w] * have.get(w, 0.0) for w in asked) / total for s, have in known.items()
    }
    first, *rest = sorted(scores, key=lambda s: -scores[s])
    clear = scores[first] >= CLEAR and all(scores[first] - scores[s] >= AHEAD for s in rest[:1])
    return first if clear else ""


def _sayings(cards: Sequence[CapabilityCard]) -> tuple[tuple[str, str, str], ...]:
    """(skill, its name and tags, its examples) of agents that may be chosen and need no model."""
    return tuple(
        (s.id, " ".join((s.id.replace("_", " "), s.name, *s.tags)), " ".join(s.examples))
        for card in cards
        if card.status in ("active", "canary") and card.entrypoint != "chat"
        for s in card.skills
        if s.id not in RESERVED
    )


@lru_cache(maxsize=8)
def _skill_words(sayings: tuple[tuple[str, str, str], ...]) -> Mapping[str, Mapping[str, float]]:
    """Skill to how much each of its words says of it."""
    found: dict[str, dict[str, float]] = {}
    for skill, said, examples in sayings:
        words = dict.fromkeys(content(examples), HALF) | dict.fromkeys(content(said), 1.0)
        have = found.setdefault(skill, {})
        have |= {w: max(v, have.get(w, 0.0)) for w, v in words.items()}
    return found


def needs(skill: str, graphs: Sequence[GraphSpec]) -> frozenset[str]:
    """The skills that ``skill`` depends on in every graph in which it stands; empty in none."""
    found: list[frozenset[str]] = []
    for spec in graphs:
        of = {t.id: t.skills for t in spec.tasks}
        found += [
            frozenset(s for p in t.depends_on for s in of[p])
            for t in spec.tasks
            if skill in t.skills
        ]
    return frozenset.intersection(*found) if found else frozenset()


def _above(task: Task, graph: TaskGraph, skills: Mapping[str, str]) -> frozenset[str]:
    """The skills of all steps that ``task`` waits for, however far up."""
    seen: set[str] = set()
    left = list(task.depends_on)
    while left:
        if (at := left.pop()) not in seen:
            seen.add(at)
            left += graph[at].depends_on
    return frozenset(skills[t] for t in seen if skills[t])


@dataclass(frozen=True)
class _Found:
    """A task of a graph with the skill that a step names, and the tasks before it that it needs."""

    target: Task
    before: tuple[Task, ...]
    waits: Mapping[str, float]


def _found(skill: str, graphs: Sequence[GraphSpec], text: str) -> _Found | None:
    """The first graph that has the skill and whose inputs the words give, or its own defaults."""
    wanted = needs(skill, graphs)
    for spec in graphs:
        inputs = filled(spec.inputs, text)[0]
        if on_shipped_data(spec.inputs, inputs) or not any(skill in t.skills for t in spec.tasks):
            continue
        try:
            graph = make_plan(spec, inputs).graph()
        except AgentRouteError:
            continue
        target = next(t for t in graph.tasks if skill in t.skills)
        waits = {p: c for p, c in target.depends_on.items() if set(graph[p].skills) & wanted}
        keep: set[str] = set()
        left = list(waits)
        while left:
            if (at := left.pop()) not in keep:
                keep.add(at)
                left += graph[at].depends_on
        return _Found(target, tuple(graph[t] for t in graph.order if t in keep), waits)
    return None


def _placed(found: _Found, step: str, there: Sequence[Task]) -> tuple[list[Task], dict[str, float]]:
    """The tasks to put before a step, and which of them it waits for.

    Of two tasks that differ in their id alone, the one that is there already serves.
    """
    names: dict[str, str] = {}
    new: list[Task] = []
    for task in found.before:
        after = {names[p]: c for p, c in task.depends_on.items()}
        own = task.model_copy(update={"id": f"{step}.{task.id}", "depends_on": after})
        same = next((t.id for t in there if t == own.model_copy(update={"id": t.id})), None)
        names[task.id] = same or own.id
        if same is None:
            new.append(own)
    return new, {names[p]: c for p, c in found.waits.items()}


def _demanded(
    params: Mapping[str, Any], skill: str, cards: Sequence[CapabilityCard]
) -> dict[str, Any]:
    """Of a task's params, those that an agent with the skill cannot do without."""
    asked = {k for c in cards if skill in c.skill_ids for k in required(c)}
    return {k: v for k, v in params.items() if k in asked}
