"""Who gets how much of a score that was given to many: credit, from what is recorded alone.

Equal parts, the last hop, and parts that shrink with the distance from the answer ask nothing.
Leaving one out, and the Shapley value, ask what the answer would have been without somebody: the
recorded replies are joined again by rule, and no agent is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

from agentroute.errors import ConfigError, UsageError, did_you_mean
from agentroute.model.calls import AgentReply
from agentroute.model.plans import AgentUse
from agentroute.refining.extract import canonical
from agentroute.refining.joining import join

RULES = ("equal", "task_weight", "last_hop", "discounted", "leave_one_out", "shapley")
MOST = 5  # players of an exact Shapley value: 32 joins
Worth = Callable[[frozenset[str]], float]


@dataclass(frozen=True, slots=True)
class Credit:
    """A rule by name; ``gamma`` in (0, 1] is how much of its part a hop passes back."""

    name: str = "equal"
    gamma: float = 0.5

    @property
    def asks_without(self) -> bool:
        """Whether it asks what the answer would have been without somebody."""
        return self.name in ("leave_one_out", "shapley")


def make_credit(spec: object) -> Credit:
    """The rule of a spec: a name, or ``{name: discounted, gamma: 0.5}``.

    Raises:
        ConfigError: no such rule, or a parameter that it does not have.
    """
    use = AgentUse.of(spec, field="credit")
    if use.name not in RULES:
        hint = did_you_mean(use.name, RULES)
        raise ConfigError(f"no credit rule is called '{use.name}'", field="credit", hint=hint)
    known = {"gamma"} if use.name == "discounted" else set()
    if extra := sorted(set(use.params) - known):
        raise ConfigError(
            f"'{use.name}' has no parameter '{extra[0]}'", field="credit",
            hint="{name: discounted, gamma: 0.5} is the one that has any",
        )  # fmt: skip
    gamma = use.params.get("gamma", 0.5)
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float)) or not 0 < gamma <= 1:
        raise ConfigError("must be above 0 and at most 1", field="credit.gamma")
    return Credit(use.name, float(gamma))


def in_parts(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights as parts of 1; equal parts where all are 0."""
    total = sum(weights.values())
    if not total:
        return {p: 1.0 / len(weights) for p in weights}
    return {p: w / total for p, w in weights.items()}


def discounted(hops: Mapping[str, int], gamma: float) -> dict[str, float]:
    """gamma^h as parts of 1, h the hops from a player to the answer.

    >>> discounted({"last": 0, "first": 1}, 0.5)
    {'last': 0.6666666666666666, 'first': 0.3333333333333333}
    """
    return in_parts({p: gamma**h for p, h in hops.items()})


def last_hop(hops: Mapping[str, int]) -> dict[str, float]:
    """All of it to those who gave the answer, in equal parts."""
    nearest = min(hops.values(), default=0)
    return in_parts({p: float(h == nearest) for p, h in hops.items()})


def differences(players: Sequence[str], worth: Worth) -> dict[str, float]:
    """v(N) - v(N without i) for each player i (ACAR, arXiv 2602.21231): what they add as the last.

    They need not add up to v(N): where two say the same, neither is missed.
    """
    all_of_them = frozenset(players)
    whole = worth(all_of_them)
    return {p: whole - worth(all_of_them - {p}) for p in players}


def leave_one_out(
    players: Sequence[str], worth: Worth, alone: Worth | None = None
) -> dict[str, float]:
    """The differences as parts of 1, those below 0 as 0.

    Where nobody alone is missed, equal parts go to those who come to the answer without the others
    (by ``alone``, else ``worth`` of that player), and to all where nobody does.
    """
    missed = {p: max(0.0, d) for p, d in differences(players, worth).items()}
    if any(missed.values()):
        return in_parts(missed)
    own = alone or worth
    return in_parts({p: float(own(frozenset((p,))) > 0) for p in players})


def shapley(players: Sequence[str], worth: Worth) -> dict[str, float]:
    """The Shapley value: what each player adds, as the mean over all orders in which they come.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)); exact, n at most 5.
    The values add up to v(N) - v({}); players who add the same get the same, and who adds nothing
    to anybody gets 0. One that pulls away from the answer may have less than 0.

    Raises:
        UsageError: more than five players.

    >>> shapley(["a", "b"], lambda s: float("a" in s))
    {'a': 1.0, 'b': 0.0}
    """
    n = len(players)
    if n > MOST:
        raise UsageError(f"an exact Shapley value is for {MOST} players, not {n}")
    sets = [frozenset(c) for k in range(n + 1) for c in combinations(players, k)]
    value = {s: worth(s) for s in sets}
    out = {}
    for p in players:
        gains = (
            factorial(len(s)) * factorial(n - len(s) - 1) * (value[s | {p}] - value[s])
            for s in sets if p not in s
        )  # fmt: skip
        out[p] = sum(gains) / factorial(n)
    return out


def worth_of_joining(replies: Mapping[str, AgentReply], **how: Any) -> Worth:
    """How much of the joined answer some of the speakers come to, from 0 (nobody) to 1 (all).

    Of a merged text it is the share of its statements that one of them said; of a list the share
    of its items; of an answer that was picked, 1 where theirs alone picks the same, else 0, and
    1/m where m answers are level in a vote, so that nothing follows from who spoke first. A
    refusal is worth 0. ``how`` is passed to ``join``.
    """
    whole = join(replies, **how) if replies else AgentReply(abstained=True)
    if whole.abstained:
        return lambda _: 0.0
    passed_on = any(whole is r for r in replies.values())
    groups = None if passed_on else _groups(whole)
    if groups is not None:
        return lambda s: sum(bool(s & g) for g in groups) / len(groups) if groups else 0.0
    answer, voted = _answer(whole), isinstance(whole.data, dict) and "tally" in whole.data

    def worth(s: frozenset[str]) -> float:
        some = {who: r for who, r in replies.items() if who in s}
        if not some:
            return 0.0
        joined = join(some, **how)
        if voted and isinstance(joined.data, dict) and "tally" in joined.data:
            return _chance(answer, joined.data["tally"])
        return float(not joined.abstained and _answer(joined) == answer)

    return worth


def _chance(answer: str, tally: Mapping[str, float]) -> float:
    """Of a vote: 1 where the answer wins it, 1/m where it is one of m that are level."""
    most = max(tally.values())
    level = [a for a, w in tally.items() if w >= most - 1e-9]
    return 1.0 / len(level) if answer in level else 0.0


def _groups(whole: AgentReply) -> list[frozenset[str]] | None:
    """Of each statement or item, who said it; None where one answer was picked."""
    data = whole.data
    if isinstance(data, dict) and "statements" in data:
        return [frozenset(s["by"]) for s in data["statements"]]
    if isinstance(data, list) and all(isinstance(r, dict) and "task" in r for r in data):
        return [frozenset((r["task"],)) for r in data]
    return None


def _answer(reply: AgentReply) -> str:
    picked = isinstance(reply.data, dict) and "supporters" in reply.data
    return canonical(str(reply.data["answer"]) if picked else reply.text)
