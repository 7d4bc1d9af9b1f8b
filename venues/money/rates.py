"""Funding rates that hold until the next one, as a feed tells them: bounded, one a second and instrument."""

from decimal import Decimal
from typing import Annotated

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Pointer, Struct, array, f64, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import E9
from crosswire.venues.money.funding import RATE_MAX, FundingRate
from crosswire.venues.money.told import ToldFunding

INTERVAL_NS = NS_PER_S  # between two rates of one instrument: Deribit tells one every 0.1 s
RATES_MAX = 1 << 20  # of one venue's captures: 12 days of one instrument
RATE_LIMIT = float(RATE_MAX)
MARK_MAX = float(1 << 53) / E9  # that a double holds to 1e-9


class FeedRate(Struct):
    """What a ticker said."""

    instrument: i64  # market index
    time_ns: i64  # by the exchange's clock
    rate: f64  # fraction of the position's value
    mark: f64  # in the quote currency; NaN: not told


class FeedRates(Struct):
    """All of a venue's captures, in their order. `dropped` counts what had no room."""

    count: i64
    dropped: i64
    bad: i64  # beyond what any venue can mean
    rows: Annotated[Pointer, FeedRate]
    next_ns: Annotated[Pointer, i64]  # by market index: earlier ones are left out, and copies of a packet with them


def make_rates(instruments: int) -> FeedRates:
    """Make room for what one venue's captures tell of so many instruments."""
    return FeedRates(rows=FeedRate.array(RATES_MAX), next_ns=array(i64, instruments))


@compiled
def note_rate(rates: FeedRates, instrument: int, time_ns: int, rate: float, mark: float) -> None:
    """Keep a rate that is one, if the instrument's last one kept is INTERVAL_NS old. NaN is none."""
    if time_ns < rates.next_ns[instrument]:
        return
    if not (-RATE_LIMIT <= rate <= RATE_LIMIT):
        rates.bad += 1 if rate == rate else 0
        return
    if rates.count == RATES_MAX:
        rates.dropped += 1
        return
    row = rates.rows[rates.count]
    row.instrument = instrument
    row.time_ns = time_ns
    row.rate = rate
    row.mark = mark
    rates.next_ns[instrument] = time_ns + INTERVAL_NS
    rates.count += 1


def told_continuously(rates: FeedRates) -> ToldFunding:
    """List what was told, as schedules would."""
    told: dict[int, list[FundingRate]] = {}
    for place in range(rates.count):
        row = rates.rows[place]
        mark_e9 = round(Decimal(repr(row.mark)) * E9) if 0 < row.mark < MARK_MAX else None
        rate = FundingRate(time_ns=row.time_ns, rate=Decimal(repr(row.rate)), mark_e9=mark_e9)
        told.setdefault(row.instrument, []).append(rate)
    return ToldFunding(rates=told, is_continuous=True, left_out=rates.dropped + rates.bad)
