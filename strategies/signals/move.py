"""How far a price has moved within a window of time, and when that move began.

The move ends at the price of now. A rise is counted from the lowest price that stood in the window, a fall from the
highest; the greater of the two is the move, and it began with the change that left that price behind.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import divide_e9

CHANGES_MAX = 64  # prices kept, a power of two: with more in one window the window begins with the oldest kept
CHANGES_MASK = CHANGES_MAX - 1
assert CHANGES_MAX & CHANGES_MASK == 0


class Track(Struct):
    """The prices that have stood within a window. `window_ns` is set once; prices are above 0, in any unit."""

    window_ns: i64
    first: i64  # number of the oldest price kept, counted from the first ever
    end: i64  # and of the next to come
    times_ns: Annotated[Array, i64, CHANGES_MAX]  # since when each stands, by number & CHANGES_MASK
    prices: Annotated[Array, i64, CHANGES_MAX]
    moved_e9: i64  # by which part of itself the price has moved, signed
    begin_ns: i64  # when that move began; 0: there is none


@compiled
def forget_moves(track: Track) -> None:
    """Begin with nothing: what came before and what comes next are no move of each other."""
    track.first = track.end
    track.moved_e9 = 0
    track.begin_ns = 0


@compiled
def begin_anew(track: Track) -> None:
    """Count the next move from the price of now."""
    track.first = max(track.first, track.end - 1)
    track.moved_e9 = 0
    track.begin_ns = 0


@compiled
def see_price(track: Track, price: int, now_ns: int) -> None:
    """Take in a price that stands from now on, and tell the move that ends with it."""
    if track.end == track.first or track.prices[(track.end - 1) & CHANGES_MASK] != price:
        if track.end - track.first == CHANGES_MAX:
            track.first += 1
        track.times_ns[track.end & CHANGES_MASK] = now_ns
        track.prices[track.end & CHANGES_MASK] = price
        track.end += 1
    # A price that was left before the window began did not stand in it.
    while track.end - track.first > 1 and track.times_ns[(track.first + 1) & CHANGES_MASK] <= now_ns - track.window_ns:
        track.first += 1
    _measure(track, price)


@compiled
def _measure(track: Track, price: int) -> None:
    lowest = highest = track.end - 1
    low = high = price
    for number in range(track.first, track.end - 1):
        each = track.prices[number & CHANGES_MASK]
        if each < low or (each == low and lowest < track.end - 1):
            low, lowest = each, number
        if each > high or (each == high and highest < track.end - 1):
            high, highest = each, number
    track.moved_e9 = 0
    track.begin_ns = 0
    if price - low >= high - price and price > low:
        track.moved_e9 = divide_e9(price - low, low)
        track.begin_ns = track.times_ns[(lowest + 1) & CHANGES_MASK]
    elif high > price:
        track.moved_e9 = -divide_e9(high - price, high)
        track.begin_ns = track.times_ns[(highest + 1) & CHANGES_MASK]
