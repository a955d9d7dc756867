"""Every error that agentroute raises on purpose.

    AgentRouteError
    ├── UsageError
    ├── MissingExtraError
    ├── ConfigError
    │   ├── CardError
    │   └── GraphError
    ├── TaskGraphError
    │   ├── CycleError
    │   └── UnknownDependencyError
    ├── RegistryError
    │   ├── UnknownAgentError
    │   └── DuplicateAgentError
    ├── RoutingError
    │   ├── NoCandidateError
    │   ├── RouterStateError
    │   ├── NotFittedError
    │   └── ModelReplyError
    ├── PlanError
    ├── ExecutionError
    │   ├── AgentFailedError
    │   ├── AgentTimeoutError
    │   ├── BudgetExceededError
    │   └── NestedLoopError
    ├── LedgerError
    │   ├── LedgerBusyError
    │   ├── RowRefusedError
    │   ├── RowUnreadableError
    │   ├── LedgerTamperedError
    │   ├── SchemaVersionError
    │   ├── UnknownRunError
    │   └── UnknownDecisionError
    ├── TableError
    └── OverlapError

A caller's mistake (config, card, graph, table) is raised while the thing is built. A failure
during a run becomes an ``Outcome`` with ``error`` set, which the routers learn from; it is raised
only when the run cannot go on. Each class states the exit code the command line ends with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import ClassVar


class AgentRouteError(Exception):
    """Root of the tree. ``str(e)`` is one line; ``e.hint`` says what to do next.

    ``spent`` is what a call had used (a ``Usage``) when it failed, None where that is not known.
    """

    exit_code: ClassVar[int] = 1
    spent: object = None

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.hint = " ".join(hint.split())


class UsageError(AgentRouteError):
    """An argument that cannot be used: a bad path, number or name on the command line."""

    exit_code = 2


class MissingExtraError(AgentRouteError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    exit_code = 3

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the extra '{extra}', which is not installed",
            hint=f"pip install 'agentroute-router[{extra}]'",
        )
        self.extra = extra


class ConfigError(AgentRouteError):
    """A settings, card or graph file that is not valid: says file, line and field."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        field: str | None = None,
        hint: str = "",
    ) -> None:
        where = path or ""
        if path and line is not None:
            where += f":{line}"
        if field:
            where += f"{': ' if where else ''}{field}"
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.path, self.line, self.field = path, line, field


class CardError(ConfigError):
    """A capability card that is refused."""


class GraphError(ConfigError):
    """A graph file that is refused."""


class TaskGraphError(AgentRouteError, ValueError):
    """Tasks that do not form a valid directed acyclic graph."""

    exit_code = 3


class CycleError(TaskGraphError):
    """The dependencies form a cycle; ``cycle`` lists the ids, first repeated at the end."""

    def __init__(self, cycle: Iterable[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(
            f"the tasks depend on each other in a cycle: {' -> '.join(self.cycle)}",
            hint="remove one of these depends_on entries",
        )


class UnknownDependencyError(TaskGraphError):
    """A task depends on an id that is not in the graph."""

    def __init__(self, task_id: str, missing: str, known: Iterable[str]) -> None:
        self.task_id, self.missing = task_id, missing
        super().__init__(
            f"task '{task_id}' depends on '{missing}', which is not in the graph",
            hint=did_you_mean(missing, known),
        )


class RegistryError(AgentRouteError):
    """The catalogue of agents cannot do what was asked."""

    exit_code = 3


class UnknownAgentError(RegistryError, KeyError):
    """No agent of that name is registered."""

    exit_code = 2

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        super().__init__(f"no agent is called '{name}'", hint=did_you_mean(name, known))
        self.name = name

    def __str__(self) -> str:
        """Undo ``KeyError``'s quoting of its message."""
        return str(self.args[0])


class DuplicateAgentError(RegistryError):
    """Two agents claim one name."""


class RoutingError(AgentRouteError):
    """A choice of agent could not be made."""


class NoCandidateError(RoutingError):
    """Nobody is eligible; ``excluded`` maps each agent to the reason."""

    def __init__(self, task_id: str, excluded: Mapping[str, str], *, hint: str = "") -> None:
        self.task_id, self.excluded = task_id, dict(excluded)
        by_reason: dict[str, list[str]] = {}
        for agent, reason in self.excluded.items():
            by_reason.setdefault(reason, []).append(agent)
        few_first = sorted(by_reason.items(), key=lambda r: len(r[1]))
        shown = "; ".join(
            f"{', '.join(who) if len(who) <= 3 else f'{len(who)} agents'}: {reason}"
            for reason, who in few_first
        )
        super().__init__(
            f"no agent is eligible for task '{task_id}' ({shown or 'the registry is empty'})",
            hint=hint or "agentroute agents ls shows skills and status",
        )


class RouterStateError(RoutingError):
    """Saved state does not fit this router (shape, vocabulary, embedder or version)."""

    exit_code = 3


class NotFittedError(RoutingError):
    """A router that needs training data was asked before it had any."""


class ModelReplyError(RoutingError):
    """A chat model's reply could not be used, also after the repair turn."""


class PlanError(AgentRouteError):
    """A task could not be turned into a plan."""


class ExecutionError(AgentRouteError):
    """A run cannot go on."""


class AgentFailedError(ExecutionError):
    """An agent raised, exited or returned something that is not a reply.

    ``retryable`` is False where another try cannot help (a refused key); ``retry_after_s`` is what
    an endpoint asked for, or None. An agent that spent money before it failed says so with
    ``spent``, a ``Usage``.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = True,
        retry_after_s: float | None = None,
        spent: object = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retryable, self.retry_after_s = retryable, retry_after_s
        self.spent = spent


class AgentTimeoutError(ExecutionError):
    """An agent did not answer before its deadline."""


class BudgetExceededError(ExecutionError):
    """The next call would exceed the run's budget."""


class NestedLoopError(ExecutionError):
    """A sync entry point was called inside a running event loop."""

    exit_code = 2


class LedgerError(AgentRouteError):
    """The ledger could not record or read what was asked."""

    exit_code = 4


class LedgerBusyError(LedgerError):
    """Another process holds the ledger's lock."""


class RowRefusedError(LedgerError):
    """A row that the ledger cannot store; rows queued beside it are not harmed."""


class RowUnreadableError(LedgerError):
    """A stored row that is not what its table holds; other rows can be read."""


class LedgerTamperedError(LedgerError):
    """The chain does not verify; ``seq`` is the first bad row."""

    def __init__(self, message: str, *, seq: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seq = seq


class SchemaVersionError(LedgerError):
    """The database was written by a newer release, or is not a ledger."""


class UnknownRunError(LedgerError):
    """No run of that id is in the ledger."""

    exit_code = 2


class UnknownDecisionError(LedgerError):
    """No decision of that id is in the ledger."""

    exit_code = 2


class TableError(AgentRouteError, ValueError):
    """An outcome table that cannot be used: says file, row and column."""

    exit_code = 3


class OverlapError(AgentRouteError):
    """Logged decisions cannot say what another policy would have got: no overlap."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known words, or all of a short list, or nothing."""
    names = sorted(set(known))
    near = get_close_matches(word, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    if 0 < len(names) <= 12:
        return "known: " + ", ".join(names)
    return ""
