"""One instrument that follows another: its basis, since when its quote stands, and how far behind it is.

After a move of the leader the quote that the move leaves behind is the ask if it went up, the bid if it went down.
The *lag* is the time from the moment that the move was known until that price goes the same way: for so long it could
be taken. It is measured of quotes that stood from before the move began and that it has left behind the mean basis.
"""

from fractions import Fraction
from math import ceil
from typing import Annotated

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.struct import Array, Struct, i64, u8
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.average import Average
from crosswire.strategies.desk import Desk, record_value
from crosswire.strategies.hold import Hold
from crosswire.strategies.legs import Legs, book_of, market_ticks
from crosswire.venues.instrument import E9, set_text
from crosswire.venues.side import BUY, SELL

LAG_MAX_NS = NS_PER_S  # a quote that has not followed by then did not
NAME_BYTES = 64


class Follower(Struct):
    """One listing that follows. Directions are +1, the leader went up, and -1."""

    listing: i64
    average: Average  # of its basis to the leader
    # To buy it and sell the leader, and to sell it and buy the leader: rates of the bought price, rounded up. What a
    # sale brings has its fee taken off already.
    cost_rate_buy_e9: i64
    cost_rate_sell_e9: i64
    hurdle_rate_buy_e9: i64  # with the least edge
    hurdle_rate_sell_e9: i64
    bid_ticks: i64  # 0: not known
    ask_ticks: i64
    bid_since_ns: i64  # the book's own time from which that price stands
    ask_since_ns: i64
    awaited: i64  # direction of a move that it has not followed yet; 0: there is none
    awaited_ns: i64  # when that move was known
    followed: i64  # moves; the lag of each is in the series
    not_behind: i64  # moves that had not left its quote behind, or of which it had changed its price already
    not_followed: i64  # moves that the leader took back, or LAG_MAX_NS passed
    hold: Hold
    name: Annotated[Array, u8, NAME_BYTES]


def set_follower(follower: Follower, legs: Legs, listing: int, leader: int, edge_e9: int, name: str) -> None:
    """Fill in a follower whose quotes must earn `edge_e9` of the bought price after taker fees."""
    follower.listing = listing
    for side, bought in (("buy", legs.listings[listing]), ("sell", legs.listings[leader])):
        unit = Fraction(bought.unit_e9, E9)
        setattr(follower, f"cost_rate_{side}_e9", ceil((E9 + bought.fee_e9) * unit))
        setattr(follower, f"hurdle_rate_{side}_e9", ceil((E9 + bought.fee_e9 + edge_e9) * unit))
    set_text(follower.name, name[:NAME_BYTES])


@compiled
def since_ns(follower: Follower, direction: int) -> int:
    """Tell from when on the price stands that a move leaves behind."""
    return follower.ask_since_ns if direction > 0 else follower.bid_since_ns


@compiled
def see_quote(follower: Follower, legs: Legs, desk: Desk) -> None:
    """Take in the best prices: from when on they stand, and whether they have followed the leader."""
    book_ns = book_of(legs, desk, follower.listing).receive_time_ns
    bid_ticks = market_ticks(legs, desk, follower.listing, SELL)
    ask_ticks = market_ticks(legs, desk, follower.listing, BUY)
    if follower.awaited != 0:
        _await(follower, desk, bid_ticks, ask_ticks, book_ns)
    if bid_ticks != follower.bid_ticks:
        follower.bid_ticks = bid_ticks
        follower.bid_since_ns = book_ns
    if ask_ticks != follower.ask_ticks:
        follower.ask_ticks = ask_ticks
        follower.ask_since_ns = book_ns


@compiled
def _await(follower: Follower, desk: Desk, bid_ticks: int, ask_ticks: int, book_ns: int) -> None:
    """Measure the lag of a quote that has gone where the leader went; of a lost book nothing is known."""
    has_followed = ask_ticks > follower.ask_ticks if follower.awaited > 0 else bid_ticks < follower.bid_ticks
    if bid_ticks == 0 or ask_ticks == 0:
        follower.awaited = 0
    elif desk.now_ns - follower.awaited_ns > LAG_MAX_NS:
        follower.not_followed += 1
        follower.awaited = 0
    elif has_followed:
        follower.followed += 1
        follower.awaited = 0
        # The first series is that of the listing behind the leader.
        record_value(desk, follower.listing - 1, (book_ns - follower.awaited_ns) * (E9 // NS_PER_MS))


@compiled
def expect(follower: Follower, direction: int, begin_ns: int, known_ns: int, is_behind: bool) -> None:
    """Wait for a quote to follow a move of the leader; both times are of the leader's frames, received."""
    if follower.awaited == direction or follower.bid_ticks == 0 or follower.ask_ticks == 0:
        return
    if follower.awaited != 0:
        follower.not_followed += 1
        follower.awaited = 0
    if is_behind and since_ns(follower, direction) < begin_ns:
        follower.awaited = direction
        follower.awaited_ns = known_ns
    else:
        follower.not_behind += 1
