"""Who joins best: one right answer and two wrong ones, and whom does each aggregator believe?

The benchmark by which Symbolic-MoE (arXiv 2503.05641) picks its aggregator, once per kind of task:
being good at a task is not being good at judging answers to it. An aggregator is the shipped
refiner's rules with a strategy and weights, or an agent with the skill ``refine``, which is called
through an orchestrator like in any run. Guessing is right once in three.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from agentroute.errors import TableError, UsageError
from agentroute.execution.answer.refiners import routing_of
from agentroute.execution.history import stored_reply
from agentroute.ledger import Ledger
from agentroute.model.calls import AgentCall, AgentReply
from agentroute.model.ids import keyed_rng
from agentroute.model.outcomes import Outcome
from agentroute.model.plans import AgentUse
from agentroute.orchestrator import Orchestrator
from agentroute.planning.graphfile import make_plan, parse_graph
from agentroute.refining.extract import canonical, normal
from agentroute.refining.joining import join
from agentroute.registry.registry import Registry

RIGHT_AT = 0.5
GUESSED = 1 / 3  # one right of three
ENOUGH = 5  # items of a kind from which on it has a winner of its own
MOST = 3  # items that are drawn of one question
RULES = tuple(
    AgentUse(name="refiner", params={"strategy": s, "weights": w})
    for s, w in [
        ("vote", "equal"), ("vote", "confidence"), ("vote", "routing"), ("vote", "log_odds"),
        ("best", "confidence"), ("best", "routing"), ("median", "equal"), ("central", "equal"),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A question with three answers in a drawn order, and which of them is right."""

    kind: str
    prompt: str
    replies: dict[str, AgentReply]
    routing: dict[str, float]
    right: str


@dataclass(frozen=True, slots=True)
class Rank:
    """How often an aggregator believed the right one, on ``items`` of a kind ('' all kinds)."""

    kind: str
    use: AgentUse
    accuracy: float
    items: int
    cost_usd: float = 0.0
    seq: int = 0


def read_items(path: Path, *, seed: int = 0) -> list[Item]:
    """Items of a JSON Lines file: ``{kind, prompt, answers}``.

    ``answers`` is a list of ``{text, right, confidence, routing}``, the last two as known. A line
    has one right answer and two wrong ones, or more, of which some are drawn.

    Raises:
        TableError: a line that is not so; names it.
    """
    out: list[Item] = []
    for n, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            said = [
                (bool(a["right"]), _reply(a), float(a.get("routing", 0.5))) for a in row["answers"]
            ]
            made = _drawn(str(row.get("kind", "")), str(row["prompt"]), said, f"{n}", seed)
        except (ValueError, KeyError, TypeError) as e:
            raise TableError(f"{path}, line {n}: not an item ({e})") from None
        if not made:
            raise TableError(f"{path}, line {n}: needs one right answer and two wrong ones")
        out += made
    return out


def items_of(ledger: Ledger, *, seed: int = 0) -> list[Item]:
    """Items of what is recorded: answers to one prompt that were scored, from 0.5 on as right."""
    groups: dict[tuple[str, str], dict[str, tuple[bool, AgentReply, float]]] = {}
    for run in ledger.runs(100_000):
        scores: dict[tuple[str, str], float] = {}
        for f in ledger.feedback(run.run_id):
            if f.agent is not None:
                scores[f.target_id, f.agent] = f.score
        for o in ledger.outcomes(run.run_id):
            score = scores.get((o.decision_id, o.agent))
            if score is not None and o.error is None:
                _add(groups, ledger, o, score)
    out = []
    for (kind, prompt), said in groups.items():
        out += _drawn(kind, prompt, list(said.values()), prompt, seed)
    return out


def _add(groups: dict[Any, Any], ledger: Ledger, o: Outcome, score: float) -> None:
    record, reply = ledger.record(o.decision_id), stored_reply(ledger, o.reply)
    if record.request is None or record.decision.kind != "route" or reply is None:
        return
    task = record.request.task
    routing = routing_of(record).get(o.agent, 0.5)
    said = groups.setdefault((task.kind, task.prompt), {})
    said[canonical(reply.text)] = (score >= RIGHT_AT, reply, routing)


def _reply(answer: dict[str, Any]) -> AgentReply:
    return AgentReply(text=str(answer["text"]), confidence=answer.get("confidence"))


def _drawn(
    kind: str, prompt: str, said: Sequence[tuple[bool, AgentReply, float]], key: str, seed: int
) -> list[Item]:
    """At most ``MOST`` items: a right answer with two wrong ones, in a drawn order."""
    right = [s for s in said if s[0]]
    wrong = [s for s in said if not s[0]]
    pairs = [(r, w) for r, w in product(range(len(right)), range(0, len(wrong) - 1, 2))][:MOST]
    out = []
    for n, (r, w) in enumerate(pairs):
        three = [right[r], wrong[w], wrong[w + 1]]
        order = keyed_rng(seed, "aggregators", key[:200], n).permutation(3)
        names = [f"answer_{i}" for i in range(3)]
        placed = [three[i] for i in order]
        out.append(
            Item(
                kind=kind,
                prompt=prompt or "-",
                replies={v: x[1] for v, x in zip(names, placed, strict=True)},
                routing={v: x[2] for v, x in zip(names, placed, strict=True)},
                right=next(v for v, x in zip(names, placed, strict=True) if x[0]),
            )
        )
    return out


async def rank_aggregators(
    items: Sequence[Item], *, agents: Iterable[str] = (), registry: Registry | None = None
) -> list[Rank]:
    """Every aggregator on every kind of at least five items, and on all ('') , the best first.

    Equals stand in the order of ``RULES``, then ``agents``: the cheaper one wins.

    Raises:
        UsageError: no items.
        UnknownAgentError: one of the agents is not there.
    """
    if not items:
        raise UsageError(
            "there is no item: one right and two wrong answers to a question",
            hint="give a file, or score runs with several agents: agentroute feedback",
        )
    uses = [*RULES, *(AgentUse(name=a) for a in agents)]
    kinds = sorted({i.kind for i in items if i.kind})
    ranks: list[Rank] = []
    for place, use in enumerate(uses):
        hits, cost = await _believed(items, use, registry)
        for kind in ("", *kinds):
            own = [h for h, i in zip(hits, items, strict=True) if kind in ("", i.kind)]
            if len(own) >= ENOUGH or not kind:
                ranks.append(Rank(kind, use, sum(own) / len(own), len(own), cost, place))
    return sorted(ranks, key=lambda r: (r.kind, -r.accuracy, r.seq))


def winners_of(ranks: Sequence[Rank]) -> dict[str, AgentUse]:
    """The first of each kind, where it beats guessing; and of all kinds together."""
    out: dict[str, AgentUse] = {}
    for r in ranks:
        if not r.kind or r.accuracy > GUESSED:
            out.setdefault(r.kind, r.use)
    return out


async def _believed(
    items: Sequence[Item], use: AgentUse, registry: Registry | None
) -> tuple[list[bool], float]:
    if use in RULES:
        joined = [
            join(i.replies, **use.params, routing=i.routing, prompts={}) for i in items
        ]  # fmt: skip
        return [_hit(i, r) for i, r in zip(items, joined, strict=True)], 0.0
    return await _asked(items, use, registry or Registry())


async def _asked(
    items: Sequence[Item], use: AgentUse, registry: Registry
) -> tuple[list[bool], float]:
    """An agent through an orchestrator of its own: three tasks that say the answers, one join."""
    now: list[Item] = []

    async def says(call: AgentCall) -> AgentReply:
        """Says an answer of the benchmark."""
        return now[-1].replies[call.task.id]

    registry.agent(name="bench_answer", skills=["bench"])(says)
    hits, cost = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        db = f"sqlite:///{folder}/bench.db"
        async with Orchestrator(registry, ledger=db, out=folder, embedder="hashing") as orc:
            for item in items:
                now.append(item)
                tasks = [
                    {"id": v, "prompt": item.prompt, "agent": "bench_answer"} for v in item.replies
                ]
                graph = {"tasks": tasks, "refine": use.written(), "description": item.prompt}
                result = await orc.run(make_plan(parse_graph(orjson.dumps(graph).decode())))
                hits.append(_hit(item, AgentReply(text=result.answer, data=result.data)))
                cost += result.usage.cost_usd
    return hits, cost


def _hit(item: Item, reply: AgentReply) -> bool:
    """Whether the reply gives the right answer, and not one of the wrong ones beside it."""
    own = reply.data.get("answer") if isinstance(reply.data, dict) else None
    text = own if isinstance(own, str) else reply.text
    same = [v for v, r in item.replies.items() if canonical(r.text) == canonical(text)]
    words = f" {normal(text)} "
    held = [v for v, r in item.replies.items() if f" {normal(r.text)} " in words]
    return (same or held) == [item.right]
