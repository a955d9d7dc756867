"""Parameters of depth policies, refused while they are built."""

from __future__ import annotations

from typing import Any

from agentroute.errors import ConfigError


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number from ``least`` up.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"must be a whole number from {least} up", field=f"depth.{name}")
    return value


def share(name: str, value: Any) -> float:
    """A number in [0, 1].

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError("must be a number from 0 to 1", field=f"depth.{name}")
    return float(value)
