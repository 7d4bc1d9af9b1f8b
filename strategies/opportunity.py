"""Opportunities: spans of time in which an executable edge is above its threshold, for the report.

One may be open for each ordered pair of listings. It ends when the edge falls below the threshold or a book is lost;
its record is written then, or, while trades started in it are in flight, when the last of them ended and it is known
how much was captured. Only what lies on two fresh books counts: while one is older than `book_age_max_ms` nothing is a
peak, and what is gone when it speaks again has ended when it fell silent. What still stands then is the same one.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, clear_struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk, new_opportunity, record_opportunity
from crosswire.strategies.listing import LISTINGS_MAX, PAIRS_MAX

TRADES_MAX = 32  # trades in flight of one strategy; `strategies.legs` holds them
# One for each ordered pair of different listings, and one for each trade that outlives its opportunity: never full.
OPPORTUNITIES_MAX = LISTINGS_MAX * (LISTINGS_MAX - 1) + TRADES_MAX
NO_OPPORTUNITY = -1


class Blocked(IntEnum):
    """Why no trade was started in an opportunity; the last reason counts."""

    NONE = 0  # one was
    STOPPED = 1  # a trade has failed and is not flat yet
    STALE = 2  # one of the books is older than book_age_max_ms
    IN_FLIGHT = 3  # open_trades_max of this pair, or TRADES_MAX in all
    COOLDOWN = 4
    TAKEN = 5  # the size on offer was taken already, and its book has not changed since
    POSITION = 6  # no room below position_max
    NO_SIZE = 7  # less than size_min or one lot of either side
    NO_REQUEST = 8  # the desk takes no more requests in this turn


class OpportunityState(IntEnum):
    FREE = 0
    OPEN = 1
    ENDED = 2  # waits for its trades


class Opportunity(Struct):
    """One opportunity that has no record yet. Units as in `OpportunityRecord`."""

    state: i64  # OpportunityState
    trades: i64  # started in it and still in flight
    start_ns: i64
    end_ns: i64
    buy_instrument: i64
    sell_instrument: i64
    fresh_until_ns: i64  # when it ends if no more is heard of its older book
    first_buy_ticks: i64
    first_sell_ticks: i64
    peak_ns: i64
    peak_buy_ticks: i64
    peak_sell_ticks: i64
    first_edge_e9: i64
    peak_edge_e9: i64
    peak_size_e9: i64
    peak_value_e9: i64
    captured_size_e9: i64
    attempts: i64
    blocked_by: i64  # Blocked
    legs: i64


class Opportunities(Struct):
    """All opportunities that are open or wait for their trades."""

    silenced: i64  # that have ended because a book went silent
    open_pairs: i64  # bit p: an opportunity of pair p is open
    index_of_pair: Annotated[Array, i64, PAIRS_MAX]  # where that bit is set
    items: Annotated[Array, Opportunity, OPPORTUNITIES_MAX]


@compiled
def pair_of(buy: int, sell: int) -> int:
    """Return the number of an ordered pair of listings."""
    return buy * LISTINGS_MAX + sell


@compiled
def pairs_touching(listing: int) -> int:
    """Return the bits of all pairs that a listing is part of."""
    bits = 0
    for other in range(LISTINGS_MAX):
        if other != listing:
            bits |= 1 << pair_of(listing, other) | 1 << pair_of(other, listing)
    return bits


@compiled
def open_opportunity(opportunities: Opportunities, pair: int) -> int:
    """Find the open opportunity of a pair; its index, NO_OPPORTUNITY if there is none."""
    return opportunities.index_of_pair[pair] if opportunities.open_pairs >> pair & 1 != 0 else NO_OPPORTUNITY


@compiled
def follow_opportunity(
    opportunities: Opportunities,
    desk: Desk,
    pair: int,
    buy_instrument: int,
    sell_instrument: int,
    edge_e9: int,
    fresh_until_ns: int,
) -> int:
    """Begin or continue the opportunity of a pair whose edge is above the threshold; return its index.

    NO_OPPORTUNITY, and what was open waits, if one of the books is too old; `fresh_until_ns` tells when it is.
    """
    if desk.now_ns > fresh_until_ns:
        return NO_OPPORTUNITY
    index = open_opportunity(opportunities, pair)
    if index == NO_OPPORTUNITY:
        index = _begin(opportunities, desk, pair, buy_instrument, sell_instrument, edge_e9)
    opportunities.items[index].fresh_until_ns = fresh_until_ns
    return index


@compiled
def _begin(
    opportunities: Opportunities, desk: Desk, pair: int, buy_instrument: int, sell_instrument: int, edge_e9: int
) -> int:
    index = 0
    while opportunities.items[index].state != OpportunityState.FREE:
        index += 1
    opportunities.open_pairs |= 1 << pair
    opportunities.index_of_pair[pair] = index
    opportunity = opportunities.items[index]
    clear_struct(opportunity)
    opportunity.state = OpportunityState.OPEN
    opportunity.start_ns = desk.now_ns
    opportunity.buy_instrument = buy_instrument
    opportunity.sell_instrument = sell_instrument
    opportunity.first_buy_ticks = desk.books[buy_instrument].ask_ticks
    opportunity.first_sell_ticks = desk.books[sell_instrument].bid_ticks
    opportunity.first_edge_e9 = edge_e9
    # Below any edge above a threshold, so that the first look is a peak.
    opportunity.peak_edge_e9 = edge_e9 - 1
    return index


@compiled
def note_peak(opportunities: Opportunities, desk: Desk, index: int, edge_e9: int, size_e9: int, value_e9: int) -> None:
    """Note that the edge has never been higher."""
    opportunity = opportunities.items[index]
    opportunity.peak_edge_e9 = edge_e9
    opportunity.peak_size_e9 = size_e9
    opportunity.peak_value_e9 = value_e9
    opportunity.peak_ns = desk.now_ns
    opportunity.peak_buy_ticks = desk.books[opportunity.buy_instrument].ask_ticks
    opportunity.peak_sell_ticks = desk.books[opportunity.sell_instrument].bid_ticks


@compiled
def note_blocked(opportunities: Opportunities, index: int, blocked: int) -> None:
    """Note why no trade was started now."""
    if index != NO_OPPORTUNITY and opportunities.items[index].attempts == 0:
        opportunities.items[index].blocked_by = blocked


@compiled
def note_trade(opportunities: Opportunities, index: int) -> None:
    """Note that a trade was started; `note_trade_end` follows."""
    if index != NO_OPPORTUNITY:
        opportunity = opportunities.items[index]
        opportunity.attempts += 1
        opportunity.trades += 1
        opportunity.blocked_by = Blocked.NONE


@compiled
def note_trade_end(opportunities: Opportunities, desk: Desk, index: int, captured_size_e9: int) -> None:
    """Note that a trade of this opportunity has ended, having traded this much on both legs."""
    if index != NO_OPPORTUNITY:
        opportunity = opportunities.items[index]
        opportunity.trades -= 1
        opportunity.captured_size_e9 += captured_size_e9
        if opportunity.state == OpportunityState.ENDED and opportunity.trades == 0:
            _write(desk, opportunity)


@compiled
def end_opportunity(opportunities: Opportunities, desk: Desk, pair: int) -> None:
    """End the opportunity of a pair whose edge is gone, or was since its older book had fallen silent."""
    if opportunities.open_pairs >> pair & 1 == 0:
        return
    opportunities.open_pairs ^= 1 << pair
    opportunity = opportunities.items[opportunities.index_of_pair[pair]]
    opportunity.state = OpportunityState.ENDED
    opportunity.end_ns = min(desk.now_ns, opportunity.fresh_until_ns)
    if opportunity.end_ns < desk.now_ns:
        opportunities.silenced += 1
    if opportunity.trades == 0:
        _write(desk, opportunity)


@compiled
def end_opportunities(opportunities: Opportunities, desk: Desk, pairs: int) -> None:
    """End the opportunities of all pairs whose bit is set."""
    if opportunities.open_pairs & pairs != 0:
        for pair in range(PAIRS_MAX):
            if pairs >> pair & 1 != 0:
                end_opportunity(opportunities, desk, pair)


@compiled
def _write(desk: Desk, opportunity: Opportunity) -> None:
    record = new_opportunity(desk)
    record.start_ns = opportunity.start_ns
    record.end_ns = opportunity.end_ns
    record.buy_instrument = opportunity.buy_instrument
    record.sell_instrument = opportunity.sell_instrument
    record.first_edge_e9 = opportunity.first_edge_e9
    record.peak_edge_e9 = opportunity.peak_edge_e9
    record.peak_size_e9 = opportunity.peak_size_e9
    record.peak_value_e9 = opportunity.peak_value_e9
    record.captured_size_e9 = opportunity.captured_size_e9
    record.attempts = opportunity.attempts
    record.blocked_by = opportunity.blocked_by
    record.first_buy_ticks = opportunity.first_buy_ticks
    record.first_sell_ticks = opportunity.first_sell_ticks
    record.peak_ns = opportunity.peak_ns
    record.peak_buy_ticks = opportunity.peak_buy_ticks
    record.peak_sell_ticks = opportunity.peak_sell_ticks
    record.legs = opportunity.legs
    record_opportunity(desk)
    opportunity.state = OpportunityState.FREE
