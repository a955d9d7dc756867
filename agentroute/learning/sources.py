"""Who says how good a result was, and how much that weighs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"user": 1.0, "test": 1.0, "verifier": 0.5, "self": 0.25}
)


def kind_of(source: str) -> str:
    """The kind of a source: ``verifier:NAME`` is a verifier; an unknown word is a user's."""
    head = source.partition(":")[0]
    return head if head in WEIGHTS else "user"
