"""What runs taught about their shapes: folded from the ledger's rows in ``seq`` order.

A run teaches of the shape that it began in, whoever picked it:

- its end: what it cost and how long it took; quality 0 where it failed, else the verdict's score
  with the weight of a verifier, where its answer was verified;
- the first word of each kind of source on the run (user, test, ...), with the weight of its kind.
  Later ones, and words more than 30 days after the choice, teach nothing.

What is learned depends on these rows and on nothing else, so folding them again is bit-equal.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from agentroute.errors import RowUnreadableError, UnknownDecisionError
from agentroute.learning.observe import TTL_S
from agentroute.learning.sources import WEIGHTS, kind_of
from agentroute.ledger import Ledger, Row
from agentroute.model.decisions import DecisionRecord
from agentroute.model.events import Note
from agentroute.model.outcomes import Feedback
from agentroute.model.plans import Plan, Topology, TopologyChoice
from agentroute.planning.selecting.selector import Selector, make_selector
from agentroute.planning.topology import ruled

if TYPE_CHECKING:
    from agentroute.execution.ruling import Rules

SLICE = 16  # rows that are folded at once, about a millisecond
FINISHED = "run.finished"


@dataclass(frozen=True, slots=True)
class ShapeSeen:
    """What a row says of the shape that a run began in; ``quality`` None where nothing."""

    seq: int
    record: DecisionRecord
    quality: float | None
    weight: float
    usage: tuple[float, float] | None

    @property
    def choice(self) -> TopologyChoice:
        """The shape as it was chosen, with the graph's metrics."""
        return choice_of(self.record.context)


def choice_of(context: Mapping[str, Any]) -> TopologyChoice:
    """The choice that a row of kind ``topology`` was made with."""
    return TopologyChoice.model_validate(
        {k: v for k, v in context.items() if k in TopologyChoice.model_fields}
    )


class ShapeFolding:
    """Reads the rows that teach something of shapes."""

    def __init__(self, ledger: Ledger, weights: Mapping[str, float] = WEIGHTS) -> None:
        self._ledger, self._weights = ledger, {**WEIGHTS, **weights}
        self._heard: set[tuple[str, str]] = set()  # run and kind of source

    def steps(self, after_seq: int, upto: int) -> Iterator[tuple[int, ShapeSeen | None]]:
        """``(seq, what it says)`` of each row with ``after_seq < seq <= upto``, in order."""
        rows = self._ledger.rows(
            after_seq, upto, tables=("events", "feedback"), skip=lambda seq, error: None
        )
        for row in rows:
            try:
                yield row.seq, self._of_end(row) or self._of_word(row)
            except (RowUnreadableError, UnknownDecisionError):  # of its choice: nothing is known
                yield row.seq, None

    def _of_end(self, row: Row) -> ShapeSeen | None:
        note = row.value
        if not isinstance(note, Note) or note.type != FINISHED:
            return None
        record = self._shape_of(note.run_id)
        if record is None:
            return None
        used, verdict = note.data.get("usage") or {}, note.data.get("verdict")
        usage = (float(used.get("cost_usd", 0.0)), float(used.get("wall_s", 0.0)))
        quality, weight = None, 1.0
        if note.data.get("status") == "failed":
            quality = 0.0
        elif verdict:
            quality, weight = float(verdict["score"]), self._weights["verifier"]
        if not weight:
            quality = None
        if quality is not None and verdict:
            self._heard.add((note.run_id, "verifier"))
        return ShapeSeen(row.seq, record, quality, weight, usage)

    def _of_word(self, row: Row) -> ShapeSeen | None:
        f = row.value
        if not isinstance(f, Feedback) or f.target != "run":
            return None
        kind = kind_of(f.source)
        record = self._shape_of(f.target_id)
        if record is None or (f.target_id, kind) in self._heard or not self._weights[kind]:
            return None
        said, taken = (datetime.fromisoformat(t) for t in (row.at, record.decision.at))
        if (said - taken).total_seconds() > TTL_S:
            return None
        self._heard.add((f.target_id, kind))
        return ShapeSeen(row.seq, record, f.score, self._weights[kind], None)

    def _shape_of(self, run_id: str) -> DecisionRecord | None:
        """The choice of a run's first shape; None where it has none."""
        found = self._ledger.find(run_id, "", "topology")
        return None if found is None else self._ledger.record(found.id)


class ShapeLearner:
    """Folds the ledger's committed prefix, each row once, into the model of a selector."""

    def __init__(
        self, ledger: Ledger, selector: Selector, weights: Mapping[str, float] = WEIGHTS
    ) -> None:
        self.selector, self.model, self.folded = selector, selector.model(), 0
        self._ledger, self._folding = ledger, ShapeFolding(ledger, weights)
        self._lock = threading.Lock()

    def version(self) -> str:
        """``@<folded>``: nothing is fitted before."""
        return f"@{self.folded}"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Nothing is folded for as long as the block lasts: version and model are of one state."""
        with self._lock:
            yield

    def fold(self, upto: int | None = None) -> None:
        """Fold all rows up to ``upto`` (default: the head)."""
        upto = self._ledger.head()[0] if upto is None else upto
        while self.folded < upto:
            self._slice(upto)

    async def catch_up(self) -> None:
        """Fold to the head as it is now, a slice at a time."""
        upto = self._ledger.head()[0]
        while self.folded < upto:
            self._slice(upto)
            await asyncio.sleep(0)

    def _slice(self, upto: int) -> None:
        with self._lock:
            last = upto
            found = list(islice(self._folding.steps(self.folded, upto), SLICE))
            for seq, seen in found:
                if seen is not None:
                    teach(self, seen)
                last = seq
            self.folded = last if len(found) == SLICE else upto


def teach(learner: ShapeLearner, seen: ShapeSeen) -> None:
    """Fold what one row says."""
    choice = seen.choice
    shape = Topology(seen.record.decision.chosen[0])
    learner.model.update(
        choice.stats, shape, ruled(choice), quality=seen.quality, usage=seen.usage,
        weight=seen.weight,
    )  # fmt: skip


class Shapings:
    """The learned selectors in use over one ledger, by what they were made with."""

    def __init__(self, ledger: Ledger, weights: Mapping[str, float] = WEIGHTS) -> None:
        self._ledger, self._weights = ledger, weights
        self._made: dict[Selector, ShapeLearner] = {}

    def rules(self, rules: Rules, plan: Plan, exploration: float) -> Rules:
        """``rules`` with who picks the plan's shape, where it names a selector.

        ``exploration`` is the settings'; the plan's and the selector's own stand over it.
        """
        selector = None if plan.selector is None else make_selector(plan.selector.written())
        if not isinstance(selector, Selector):
            return rules
        learner = self._made.setdefault(
            selector, ShapeLearner(self._ledger, selector, self._weights)
        )
        known = (selector.exploration, plan.exploration, exploration)
        epsilon = next(e for e in known if e is not None)
        return replace(rules, shaping=learner, shape_exploration=epsilon)

    async def catch_up(self) -> None:
        """Fold every selector in use to the ledger's head."""
        for learner in self._made.values():
            await learner.catch_up()
