"""What a run has already decided and done, read from the ledger once: the truth of a resume."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from agentroute.errors import ExecutionError
from agentroute.ledger import Ledger
from agentroute.model.calls import AgentReply
from agentroute.model.decisions import Decision, Kind
from agentroute.model.events import Note
from agentroute.model.ids import uuid7
from agentroute.model.outcomes import Outcome

if TYPE_CHECKING:
    from agentroute.execution.ruling import Ruling

APPROVAL_NEEDED = "approval.needed"
APPROVAL_ANSWERED = "approval.answered"


class History:
    """The rows of one run by key; the executor adds what it writes.

    A decision is looked up by ``(task, kind, attempt)`` before it is made, an outcome by decision
    and agent before the call: nothing is decided or finished twice.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._decisions: dict[tuple[str, str, int], Decision] = {}
        self._outcomes: dict[str, dict[str, Outcome]] = defaultdict(dict)
        self._shadows: dict[str, dict[str, Outcome]] = defaultdict(dict)
        self.answers: dict[str, bool] = {}
        self.questions: dict[str, str] = {}
        self._asked: dict[str, Note] = {}
        self.keys: Mapping[str, str] = {}
        self.ended = False
        self.batched: dict[str, Ruling] = {}
        """Rulings that this life took together, by decision, until each is taken up."""

    @classmethod
    def load(cls, ledger: Ledger, run_id: str) -> History:
        """All rows of ``run_id``; empty for a new run."""
        history = cls(run_id)
        for d in ledger.decisions(run_id):
            history.decided(d)
        for o in ledger.outcomes(run_id):
            history.finished(o)
        for n in ledger.notes(run_id):
            history.noted(n)
        return history

    def decided(self, decision: Decision) -> None:
        """A decision was committed."""
        key = (decision.task_id, decision.kind, decision.attempt)
        self._decisions.setdefault(key, decision)

    def finished(self, outcome: Outcome) -> None:
        """An outcome was recorded; a shadow's counts for its money alone."""
        if outcome.shadow:
            self._shadows[outcome.decision_id].setdefault(outcome.agent, outcome)
        else:
            self._outcomes[outcome.decision_id].setdefault(outcome.agent, outcome)

    def noted(self, note: Note) -> None:
        """The run started or ended, or an approval was asked for or answered."""
        self.ended |= note.type == "run.finished"
        if note.type == "run.started":
            self.keys = note.data.get("keys", {})
        if note.type == APPROVAL_NEEDED:
            self.questions[note.data["task_id"]] = note.data["approval_id"]
            self._asked[note.data["approval_id"]] = note
        elif note.type == APPROVAL_ANSWERED:
            self.answers[note.data["approval_id"]] = bool(note.data["approved"])

    @property
    def waiting(self) -> dict[str, tuple[str, ...]]:
        """Task to the agents that an approval was asked for and not answered yet."""
        open_ = [n.data for a, n in self._asked.items() if a not in self.answers]
        return {str(d["task_id"]): tuple(d["agents"]) for d in open_}

    def decision(self, task_id: str, kind: Kind, attempt: int) -> Decision | None:
        """The decision of that key, if it was made."""
        return self._decisions.get((task_id, kind, attempt))

    def last(self, task_id: str, kind: Kind) -> Decision | None:
        """The decision with the highest attempt."""
        rows = [d for (t, k, _), d in self._decisions.items() if t == task_id and k == kind]
        return max(rows, key=lambda d: d.attempt, default=None)

    def outcomes(self, decision_id: str) -> dict[str, Outcome]:
        """Agent to outcome of a decision."""
        return dict(self._outcomes.get(decision_id, {}))

    @property
    def spent_usd(self) -> float:
        """Dollars of all recorded calls, shadows' too."""
        return sum(self._cost_usd(d) for d in {*self._outcomes, *self._shadows})

    def spent_on_usd(self, task_id: str) -> float:
        """Dollars of the recorded calls for one task's decisions."""
        rows = self._decisions.values()
        return sum(self._cost_usd(d.id) for d in rows if d.task_id == task_id)

    def _cost_usd(self, decision_id: str) -> float:
        made = (self._outcomes.get(decision_id, {}), self._shadows.get(decision_id, {}))
        return sum(o.cost_usd for by in made for o in by.values())

    @property
    def all_outcomes(self) -> tuple[Outcome, ...]:
        """Every recorded outcome but shadows'."""
        return tuple(o for by in self._outcomes.values() for o in by.values())

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions in seq order."""
        return tuple(sorted(self._decisions.values(), key=lambda d: d.seq))


def stored_reply(ledger: Ledger, sha: str | None) -> AgentReply | None:
    """The reply stored under ``sha``, or None where there is none or its text was erased."""
    text = ledger.text(sha) if sha else None
    try:
        return None if text is None else AgentReply.model_validate(orjson.loads(text))
    except (ValueError, RecursionError):  # of another release, or not to be read
        return None


def answer(ledger: Ledger, history: History, approvals: Mapping[str, bool]) -> None:
    """Write down a human's answers, each by approval id or by task id.

    Raises:
        ExecutionError: nothing waits under that name.
    """
    for name, approved in approvals.items():
        approval_id = history.questions.get(name, name)
        if approval_id not in history.questions.values():
            raise ExecutionError(
                f"nothing waits for an approval of '{name}' in run {history.run_id}",
                hint="waiting: " + (", ".join(history.questions) or "nothing"),
            )
        data = {"approval_id": approval_id, "approved": approved}
        note = Note(id=uuid7(), run_id=history.run_id, type=APPROVAL_ANSWERED, data=data)
        ledger.append(note)
        history.noted(note)
