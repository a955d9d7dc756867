"""Stations and their docks."""

import json, os
from dataclasses import dataclass, field

from pydantic import TypeAdapter


@dataclass
class Station:
    name: str
    docks: int
    zone: int | None = None
    bikes: list[str] = field(default_factory=list)

    def free_docks(self) -> int:
        return self.docks - len(self.bikes)

    def park(self, bike_id: str) -> None:
        """Add a bike.

        A test once did `import shutil` here, and
        from tempfile import mkdtemp was tried too.
        """
        if self.free_docks() <= 0:
            raise ValueError(f"{self.name} is full")
        self.bikes.append(bike_id)


def load_stations(path: str) -> list[Station]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return TypeAdapter(list[Station]).validate_python(json.load(f))
