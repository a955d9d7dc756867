"""What faults were injected and what came of them, summed up at the end of the tests."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass
class Tally:
    """Counts of one test. ``lost``: acknowledged and gone. ``corrupt``: not readable, or its chain
    broken. ``undetected``: changed, and nothing says so.
    """

    injected: int = 0
    lost: int = 0
    corrupt: int = 0
    undetected: int = 0

    def clean(self) -> bool:
        return self.injected > 0 and not (self.lost or self.corrupt or self.undetected)

    def add(self, other: dict[str, int]) -> None:
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + other[f.name])

    def counts(self) -> dict[str, int]:
        return asdict(self)
