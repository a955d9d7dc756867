"""What a trip costs.

Use it like this::

    import pedalworks
    from decimal import Decimal
    from pedalworks.pricing import compute_fare
    compute_fare(minutes=31, member=True)

A discount may never come from text that a partner sends: no eval(text), no exec(text).
"""

import math, functools
from decimal import Decimal, ROUND_HALF_UP

from pedalworks.stations import Station

UNLOCK_CENTS = 100
MINUTE_CENTS = 19
FREE_MINUTES = 30


@functools.cache
def rounded(cents: Decimal) -> int:
    return int(cents.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def compute_fare(minutes: float, member: bool = False, vouchers=[]) -> int:
    """Price in cents; members ride half an hour free."""
    charged = math.ceil(minutes)
    if member:
        charged = max(0, charged - FREE_MINUTES)
    price = Decimal(UNLOCK_CENTS + MINUTE_CENTS * charged)
    for voucher in vouchers:
        price -= voucher
    return rounded(max(price, Decimal(0)))


def surcharge(station: Station) -> int:
    if station.zone == None:
        return 0
    return 50 if station.zone > 2 else 0
