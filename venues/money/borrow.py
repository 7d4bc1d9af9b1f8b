"""Interest on what is borrowed to be short of spot, or to buy more of it than there is money for.

Binance charges whole hours at an hourly rate: the first when it is borrowed, the next at each full hour of the clock
(https://www.binance.com/en/support/faq/360030157812: 1,000 USDT from 13:55 to 14:30 pays two hours).
"""

from decimal import Decimal, localcontext

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.instrument import E9
from crosswire.venues.money.amount import PRECISION_DIGITS, owed_e9

NS_PER_HOUR = 3_600 * NS_PER_S
HOURS_PER_DAY = 24


def hours_charged(start_ns: int, end_ns: int) -> int:
    """Count the hours charged for a loan from `start_ns` to `end_ns`: one at once, one at each full hour since."""
    if end_ns < start_ns:
        raise ValueError(f"a loan that ends {start_ns - end_ns} ns before it begins")
    return 1 + end_ns // NS_PER_HOUR - start_ns // NS_PER_HOUR


def interest_e9(borrowed_e9: int, daily_rate: Decimal, hours: int) -> int:
    """Compute simple interest, 1e-9 of the borrowed currency; positive is paid."""
    with localcontext(prec=PRECISION_DIGITS):
        return owed_e9(Decimal(borrowed_e9) / E9 * daily_rate / HOURS_PER_DAY * hours)
