"""A figure that a benchmark measured, beside its limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """One line: ``value`` of ``name`` against ``limit``; ``at_most`` or at least."""

    name: str
    value: float
    limit: float | None
    unit: str
    at_most: bool = True

    @property
    def ok(self) -> bool:
        """Whether it holds; a line without a limit is information."""
        if self.limit is None:
            return True
        return self.value <= self.limit if self.at_most else self.value >= self.limit
