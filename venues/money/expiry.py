"""Expiry of futures: what a position is worth when its instrument ends, and what the venue takes for that.

Both venues deliver in cash at the mean of the index over the last 30 minutes, which end at 08:00 UTC: Deribit
(https://www.deribit.com/docs/expiration-price/), Binance since 2024-11-11, from one index price a second (before that
the last hour). The fee: Deribit's futures 0.025 % (https://www.deribit.com/docs/contract-specifications/), Binance's
the taker fee (https://www.binance.com/en/support/faq/a3401595e1734084959c61491bc0dbe3); fees are configuration.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.instrument import Instrument, Payoff
from crosswire.venues.money.amount import PRECISION_DIGITS, owed_e9, value_at

DELIVERY_WINDOW_NS = 30 * 60 * NS_PER_S


def delivery_price_e9(times_ns: Sequence[int], prices_e9: Sequence[int], expiry_ns: int) -> int | None:
    """Compute the mean price of the last 30 minutes, weighted by how long each one stood; None: it is not known.

    times_ns: sorted, when each price began to stand. A price is needed that stood when the window began: the venue's
    own mean has one for each second of it.
    """
    begin_ns = expiry_ns - DELIVERY_WINDOW_NS
    total = 0
    covered_ns = 0
    for place, (time_ns, price) in enumerate(zip(times_ns, prices_e9, strict=True)):
        until_ns = times_ns[place + 1] if place + 1 < len(times_ns) else expiry_ns
        stood_ns = min(until_ns, expiry_ns) - max(time_ns, begin_ns)
        if stood_ns > 0:
            total += price * stood_ns
            covered_ns += stood_ns
    return total // covered_ns if covered_ns == DELIVERY_WINDOW_NS else None


def delivery_value_e9(instrument: Instrument, position_lots: int, price_e9: int) -> int:
    """Compute what delivery adds to P&L, 1e-9 of the settlement currency, as `position_value_e9` at any price."""
    value = value_at(instrument, position_lots, price_e9)
    return -owed_e9(value if instrument.payoff == Payoff.INVERSE else -value)


def delivery_fee_e9(instrument: Instrument, position_lots: int, price_e9: int, rate: Decimal) -> int:
    """Compute the delivery fee, 1e-9 of the settlement currency; positive is paid."""
    with localcontext(prec=PRECISION_DIGITS):
        return owed_e9(abs(value_at(instrument, position_lots, price_e9)) * rate)
