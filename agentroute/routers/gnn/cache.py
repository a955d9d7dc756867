"""Answers that were paid for once: (question, agent) -> score, addressed by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import orjson

from agentroute.errors import TableError
from agentroute.model.arrays import F64
from agentroute.model.tasks import Task


class AnswerCache:
    """Scores of agents on tasks, appended to a file of JSON lines; never asks twice.

    The key is the SHA-256 of the prompt and the features and of the agent's name: the task's id
    does not count, so a question keeps its answer under another number.

    Args:
        path: where lines are kept; None keeps them in memory.

    Raises:
        TableError: a line of the file that is not a cached answer.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.calls = 0
        self._score: dict[str, float] = {}
        if self.path is not None and self.path.exists():
            self._read(self.path)

    def _read(self, path: Path) -> None:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                row = orjson.loads(line)
                self._score[row["key"]] = float(row["score"])
            except (ValueError, KeyError, TypeError) as e:
                raise TableError(f"{path}:{number}: not a cached answer") from e

    @staticmethod
    def key(task: Task, agent: str) -> str:
        """The address of an answer."""
        content = [task.prompt, task.features, agent]
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def score(self, task: Task, agent: str, ask: Callable[[Task, str], float]) -> float:
        """The score of an agent on a task; ``ask`` is called only if it is not known yet."""
        key = self.key(task, agent)
        if key not in self._score:
            self.calls += 1
            self._put(key, agent, float(ask(task, agent)))
        return self._score[key]

    def _put(self, key: str, agent: str, score: float) -> None:
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"the score of '{agent}' is {score}, not in [0, 1]")
        self._score[key] = score
        if self.path is not None:
            with self.path.open("ab") as out:
                out.write(orjson.dumps({"key": key, "agent": agent, "score": score}) + b"\n")

    def scores(
        self, tasks: Sequence[Task], agents: Sequence[str], ask: Callable[[Task, str], float]
    ) -> F64:
        """(m, N) scores, the labels that training needs."""
        return np.array([[self.score(t, a, ask) for a in agents] for t in tasks])
