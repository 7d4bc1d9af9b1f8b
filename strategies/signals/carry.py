"""What holding pays: funding of perpetuals, and the basis of futures as a yearly rate.

Sources: Binance pays its rate at fixed times, for what is held at that moment
(https://www.binance.com/en/support/faq/360033525031). Deribit's rate is of eight hours and is paid continuously
(https://www.deribit.com/kb/deribit-inverse-perpetual). A rate is known for the running period only, and the next may
have the other sign.
"""

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import divide_e9, multiply_e9

YEAR_MS = 365 * 24 * 3_600_000
LEFT_MIN_MS = 3_600_000  # to an expiry: a yearly rate of what is left of an hour says nothing
NO_RATE = 1 << 62


@compiled
def payments_within(next_ns: int, period_ns: int, now_ns: int, hold_ns: int) -> int:
    """Count the payments in (now, now + hold]: the next is at `next_ns`, in the future, and then one each period."""
    if now_ns + hold_ns < next_ns:
        return 0
    return (now_ns + hold_ns - next_ns) // period_ns + 1


@compiled
def periodic_carry_e9(rate_e9: int, next_ns: int, period_ns: int, now_ns: int, hold_ns: int) -> int:
    """Return what a short of a perpetual receives, 1e-9 of its notional, if the rate stays: paid at fixed times."""
    return rate_e9 * payments_within(next_ns, period_ns, now_ns, hold_ns)


@compiled
def continuous_carry_e9(rate_e9: int, period_ns: int, hold_ns: int) -> int:
    """Return the same where a rate of `period_ns` is paid continuously; rounded down. `rate_e9` within 1e9."""
    return multiply_e9(divide_e9(hold_ns, period_ns), rate_e9)


@compiled
def yearly_basis_e9(future_e9: int, spot_e9: int, expiry_ns: int, now_ns: int) -> int:
    """Return (future - spot) / spot as a simple rate of a year of 365 days, 1e-9; rounded down.

    NO_RATE within LEFT_MIN_MS of the expiry, without both prices, and where they are twice apart.
    """
    left_ms = (expiry_ns - now_ns) // NS_PER_MS
    if left_ms < LEFT_MIN_MS or spot_e9 <= 0 or future_e9 <= 0 or abs(future_e9 - spot_e9) > spot_e9:
        return NO_RATE
    return multiply_e9(divide_e9(YEAR_MS, left_ms), divide_e9(future_e9 - spot_e9, spot_e9))
