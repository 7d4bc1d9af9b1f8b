"""Fee tiers: rates that depend on an account's volume of the days before.

Binance counts the 30 days before today and sets the tier each day at 00:00 UTC
(https://www.binance.com/en/support/faq/detail/e85d6e703b874674840122196b89780a), so a tier holds for a whole day.
"""

import itertools
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from crosswire.nic.duration import NS_PER_DAY

WINDOW_DAYS = 30
TIERS_MAX = 16  # Binance has 10 levels


class FeeTier(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Rates from a volume on."""

    volume_min: Decimal  # of the last 30 days, quote currency
    maker_fee_bps: Decimal  # negative is a rebate
    taker_fee_bps: Decimal  # of the value traded


def check_tiers(tiers: Sequence[FeeTier]) -> None:
    """ValueError says what is wrong with a table of tiers."""
    if not 1 <= len(tiers) <= TIERS_MAX:
        raise ValueError(f"{len(tiers)} fee tiers: give 1 to {TIERS_MAX}")
    if tiers[0].volume_min != 0:
        raise ValueError(f"the first fee tier begins at a volume of {tiers[0].volume_min}: it must begin at 0")
    for below, above in itertools.pairwise(tiers):
        if above.volume_min <= below.volume_min:
            raise ValueError(f"fee tiers: a volume_min of {above.volume_min} after {below.volume_min}; sort them")


def tier_at(tiers: Sequence[FeeTier], volume: Decimal) -> FeeTier:
    """Choose the tier of a 30-day volume."""
    return tiers[bisect_right([tier.volume_min for tier in tiers], volume) - 1]


class RollingVolume:
    """An account's volume of the 30 whole days before the present one, and of the present one apart."""

    def __init__(self, before: Decimal, first_ns: int) -> None:
        """Begin at `first_ns` with what was traded `before` that day.

        How that spreads over its days is not known: it is taken as even, so a thirtieth leaves the window each day.
        """
        self._day = first_ns // NS_PER_DAY
        self._days: deque[Decimal] = deque([before / WINDOW_DAYS] * WINDOW_DAYS, maxlen=WINDOW_DAYS)
        self._today = Decimal(0)

    def add(self, time_ns: int, notional: Decimal) -> None:
        """Count a trade; times do not go back by a day or more."""
        self._advance(time_ns)
        self._today += notional

    def at(self, time_ns: int) -> Decimal:
        """Sum the 30 days before the one that `time_ns` is in."""
        self._advance(time_ns)
        return sum(self._days, Decimal(0))

    def _advance(self, time_ns: int) -> None:
        passed = time_ns // NS_PER_DAY - self._day
        if passed <= 0:
            return
        self._days.append(self._today)
        self._days.extend([Decimal(0)] * min(passed - 1, WINDOW_DAYS))
        self._today = Decimal(0)
        self._day += passed
