"""What a router is taught to value: being right, working well, and using few tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from agentroute.errors import ConfigError, TableError, did_you_mean
from agentroute.evaluation.tables.outcomes import OutcomeTable
from agentroute.model.arrays import F64


@dataclass(frozen=True, slots=True)
class Target:
    """f = (w_C c + w_Q q + w_U u) / (w_C + w_Q + w_U), in [0, 1] (PRISM, arXiv 2509.24377).

    c is the table's score, q its column ``process``, u the efficiency: with e tokens of a call and
    e_0 the table's median, u = e_0 / (e_0 + e). Time counts for nothing: it is the machine's.
    The paper states no weights; ``correct`` alone is what routers are taught without a target.
    """

    correct: float = 1.0
    process: float = 0.0
    efficient: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            bad = isinstance(value, bool) or not isinstance(value, int | float)
            if bad or not 0 <= value < float("inf"):
                raise ConfigError("must be a number of 0 or more", field=f"target.{f.name}")
        if not sum(asdict(self).values()):
            raise ConfigError("one of the weights must be above 0", field="target")

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Target:
        """From settings.

        Raises:
            ConfigError: another key, or a weight that is none.
        """
        names = [f.name for f in fields(cls)]
        for key in given:
            if key not in names:
                hint = did_you_mean(key, names)
                raise ConfigError(f"no weight is called '{key}'", field="target", hint=hint)
        return cls(**{"correct": 0.0, **given})  # type: ignore[arg-type]

    def taught(self, table: OutcomeTable) -> OutcomeTable:
        """The table with f in place of its scores; NaN where a part that counts is not known.

        Raises:
            TableError: the table has no column of a part that counts.
        """
        parts = {
            "correct": table.scores,
            "process": table.process,
            "efficient": None if table.tokens is None else efficiency(table.tokens),
        }
        w = {name: weight for name, weight in asdict(self).items() if weight}
        for name in w:
            if parts[name] is None:
                column = "tokens" if name == "efficient" else name
                raise TableError(
                    f"{table.name} has no column '{column}', which target.{name} needs",
                    hint="examples/data/README.md says in what form a table is",
                )
        f = sum(weight * np.asarray(parts[name]) for name, weight in w.items())
        return replace(table, scores=np.asarray(f) / sum(w.values()))


def efficiency(tokens: F64) -> F64:
    """U = e_0 / (e_0 + e) of each call's tokens, e_0 the median: 1 for none, 0.5 at the median."""
    typical = float(np.nanmedian(tokens))
    return np.asarray(typical / np.maximum(typical + tokens, 1e-12))


def soft_targets(f: F64) -> F64:
    """F over its sum, a distribution over the arms of each row (..., n); uniform where all are 0.

    An arm that is not known (NaN) has mass 0.

    >>> soft_targets(np.array([[0.9, 0.3, np.nan], [0.0, 0.0, 0.0]])).round(2).tolist()
    [[0.75, 0.25, 0.0], [0.33, 0.33, 0.33]]
    """
    seen = ~np.isnan(f)
    known = np.where(seen, f, 0.0)
    total = known.sum(axis=-1, keepdims=True)
    even = seen / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    return np.where(total > 0, known / np.where(total > 0, total, 1.0), even)
