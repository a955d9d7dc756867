"""Money as people read it."""

from __future__ import annotations

from decimal import Decimal

LEAST = 1e-6


def usd(x: float) -> str:
    """US dollars without an exponent: two places from 1 up, below that two digits.

    >>> [usd(x) for x in (0.0, 12.3456, 0.256, 1.62e-05, 3e-07)]
    ['0', '12.35', '0.26', '0.000016', '<0.000001']
    """
    if x == 0:
        return "0"
    if abs(x) < LEAST:
        return f"<{Decimal(str(LEAST)):f}"
    return f"{x:.2f}" if abs(x) >= 1 else f"{Decimal(f'{x:.2g}'):f}"
