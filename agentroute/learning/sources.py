"""Who says how good a result was, how much that weighs, and how much one name may weigh."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from agentroute.config.settings import FeedbackQuota
from agentroute.model.outcomes import Feedback

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"user": 1.0, "test": 1.0, "verifier": 0.5, "self": 0.25}
)
QUOTA = FeedbackQuota()
ROUNDING = 1e-9
NOBODY: frozenset[str] = frozenset()


def kind_of(source: str) -> str:
    """The kind of a source: ``verifier:NAME`` is a verifier; an unknown word is a user's."""
    head = source.partition(":")[0]
    return head if head in WEIGHTS else "user"


def name_of(f: Feedback) -> str:
    """Whose word it is: NAME of ``user:NAME``, a word that is no kind; '' for the operator's own.

    The operator's own are plain kinds, and what a run's own verifiers say: he named those.
    """
    return _name(f.source, f.derived_from)


def _name(source: str, derived_from: str | None) -> str:
    if source in WEIGHTS or derived_from is not None:
        return ""
    head, _, tail = source.partition(":")
    return tail if head in WEIGHTS and tail else source


class Tally:
    """What was said of whom, by whom, and what of it is beyond the quota of one name.

    A name's words on one agent are learned from while they weigh, together, at most ``share`` of
    what all others said of it, plus ``allowance``. What others said counts whether it was learned
    from or not, so that two who are at odds do not silence each other. Nothing is bounded, and
    nothing counted, until a second name has spoken: who is alone teaches as before.

    A word on several agents is judged for each of them, whole. All depends on the rows heard, in
    order of ``seq``; a row that is heard again changes nothing. ``held`` has what is beyond, until
    nothing can come of it: seq to time of the row and agents.
    """

    def __init__(self, quota: FeedbackQuota | None, *, ttl_s: float) -> None:
        self.quota, self.ttl_s = quota, ttl_s
        self.upto = 0
        self.held: dict[int, tuple[str, frozenset[str]]] = {}
        self._only = ""  # the one name that has spoken, while there is one
        self._several = False
        self._total: dict[str, float] = {}  # agent to the weight of all words
        self._by: dict[str, dict[str, tuple[float, float]]] = {}  # agent, name: said, learned from

    def hear(self, seq: int, at: str, f: Feedback, weights: Mapping[str, float]) -> frozenset[str]:
        """Whose part of a word (agent to its weight) is beyond the quota."""
        if seq <= self.upto:
            return self.beyond(seq)
        self.upto = seq
        if self.quota is None or not weights:
            return NOBODY
        name = name_of(f)
        if name and not self._several:
            self._several = self._only not in ("", name)
            self._only = name
        if not self._several:
            return NOBODY
        beyond = frozenset(a for a, w in weights.items() if not self._count(a, name, w))
        if beyond:
            self._forget(at)
            self.held[seq] = (at, beyond)
        return beyond

    def is_changed_by(self, source: str, derived_from: str | None) -> bool:
        """Whether a word of that source may count; until two names have spoken few may."""
        return self._several or _name(source, derived_from) not in ("", self._only)

    def beyond(self, seq: int) -> frozenset[str]:
        """The agents on whom the word in a row was beyond the quota."""
        return self.held[seq][1] if seq in self.held else NOBODY

    def _count(self, agent: str, name: str, weight: float) -> bool:
        """Add a word to what was said; whether it is learned from."""
        total = self._total.get(agent, 0.0)
        self._total[agent] = total + weight
        if not name or self.quota is None:
            return True
        by = self._by.setdefault(agent, {})
        said, learned = by.get(name, (0.0, 0.0))
        room = self.quota.share * (total - said) + self.quota.allowance
        within = learned + weight <= room + ROUNDING
        by[name] = (said + weight, learned + weight if within else learned)
        return within

    def _forget(self, at: str) -> None:
        """Rows so old that a word on their decision would come too late."""
        now = datetime.fromisoformat(at)
        for seq, (then, _) in list(self.held.items()):
            if (now - datetime.fromisoformat(then)).total_seconds() <= self.ttl_s:
                return
            del self.held[seq]

    def state(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "upto": self.upto, "only": self._only, "several": self._several, "total": self._total,
            "by": self._by,
            "held": [[seq, at, sorted(agents)] for seq, (at, agents) in self.held.items()],
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``."""
        self.upto, self._only, self._several = state["upto"], state["only"], state["several"]
        self._total = dict(state["total"])
        self._by = {
            agent: {name: (said, learned) for name, (said, learned) in by.items()}
            for agent, by in state["by"].items()
        }
        self.held = {seq: (at, frozenset(agents)) for seq, at, agents in state["held"]}
