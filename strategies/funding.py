"""What a strategy may know of funding: of a schedule, the last rate that was told by now, and none that lies ahead.

A schedule is read before the run and has all of its payments. What is asked here is asked at a time: a rate counts from
`known_ns` on, which is when the venue told it, or else when it was paid, and then so much later as it takes to be
heard. It is believed for the payment that it was told for, and then for the next one, "if the rate stays"; a payment
later that should have been heard of, nothing is known any more.
"""

from decimal import Decimal
from math import floor
from typing import Annotated

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.signals.carry import NO_RATE, continuous_carry_e9, periodic_carry_e9
from crosswire.venues.instrument import E9
from crosswire.venues.money.terms import HoldingTerms

RATES_MAX = 4_096  # of one instrument: nearly four years of a payment every eight hours
LATE_MAX_NS = 60 * NS_PER_S  # that a rate may be heard late before the last one is no longer believed


class ToldRate(Struct):
    """One rate of a schedule."""

    known_ns: i64  # the strategy knows it from then on
    pays_ns: i64  # at_times: when it is paid; continuous: from when on it holds
    rate_e9: i64  # of the position's value, rounded down; a long position pays it, if it is positive


class Funding(Struct):
    """The funding of one instrument. `count` 0: it has none, which is known."""

    count: i64
    place: i64  # of the last rate that is known
    is_continuous: i64  # 1: a rate is paid all the time, so much in each period
    period_ns: i64  # between two payments, or that a rate is stated for
    valid_ns: i64  # after a rate's payment: how long it is believed
    rates: Annotated[Array, ToldRate, RATES_MAX]


def set_funding(funding: Funding, terms: HoldingTerms, period_ns: int, delay_ns: int) -> None:
    """Take in a schedule, each rate known `delay_ns` after it was told; ValueError with one line if that can't be."""
    if terms.funding is None:
        raise ValueError('its funding is not known: give a schedule, or "off", in [venue.instrument.money]')
    if len(terms.funding) > RATES_MAX:
        raise ValueError(f"{len(terms.funding):,} rates in its schedule: at most {RATES_MAX:,}; leave out what is past")
    funding.count = len(terms.funding)
    funding.is_continuous = int(terms.is_continuous)
    funding.period_ns = period_ns
    funding.valid_ns = period_ns + delay_ns + LATE_MAX_NS
    for place, told in enumerate(terms.funding):
        rate = funding.rates[place]
        rate.known_ns = told.known_ns + delay_ns
        rate.pays_ns = told.time_ns
        rate.rate_e9 = floor(told.rate * Decimal(E9))


@compiled
def short_receives_e9(funding: Funding, now_ns: int, hold_ns: int) -> int:
    """Return what a short position is expected to receive in the next `hold_ns`, 1e-9 of its value; NO_RATE: unknown.

    `now_ns` must not be earlier than in the call before.
    """
    if funding.count == 0:
        return 0
    while funding.place + 1 < funding.count and funding.rates[funding.place + 1].known_ns <= now_ns:
        funding.place += 1
    told = funding.rates[funding.place]
    if now_ns < told.known_ns or now_ns > told.pays_ns + funding.valid_ns:
        return NO_RATE
    if funding.is_continuous != 0:
        return continuous_carry_e9(told.rate_e9, funding.period_ns, hold_ns)
    next_ns = told.pays_ns
    if now_ns >= next_ns:
        next_ns += ((now_ns - next_ns) // funding.period_ns + 1) * funding.period_ns
    return periodic_carry_e9(told.rate_e9, next_ns, funding.period_ns, now_ns, hold_ns)
