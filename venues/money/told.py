"""What captures tell of funding, whichever scheme their venue has: an adapter's answer to the engine."""

from typing import NamedTuple

from crosswire.venues.money.funding import FundingRate


class Silence(NamedTuple):
    """A time over which nothing was told of an instrument's funding."""

    instrument: int  # market index
    begin_ns: int
    end_ns: int


class ToldFunding(NamedTuple):
    """Funding out of one venue's captures, by market index; of an instrument that is not named nothing was told."""

    rates: dict[int, list[FundingRate]]  # in order of time
    is_continuous: bool  # a rate is for 8 h, and holds until the next; else each is a payment at its time
    left_out: int = 0  # beyond what any venue can mean, or without room
    stale: tuple[tuple[int, int], ...] = ()  # (market index, time) of payments whose last word was too old
    silences: tuple[Silence, ...] = ()  # in which a payment may have been due that nobody told of
