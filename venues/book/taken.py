"""What the simulated exchange's own user has taken from a book that comes from the real market.

The recorded market does not know that its liquidity was taken. So each price that the user took from keeps how much,
and shows that much less, until the market itself changes: what it adds there is new and free to take; where the size
shrinks, others took or cancelled what the user had taken already, so at most the new size is still taken; where the
level goes, so does the memory.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.side import BID

TAKEN_MAX = 256  # prices remembered a book; the oldest goes first


class TakenLevel(Struct):
    side: i64
    price_ticks: i64
    taken_lots: i64


class Taken(Struct):
    """Oldest first. `dropped` counts prices forgotten for want of room."""

    count: i64
    dropped: i64
    levels: Annotated[Array, TakenLevel, TAKEN_MAX]


@compiled
def find_taken(taken: Taken, side: int, price_ticks: int) -> int:
    """Place of a price, -1 if nothing is taken there."""
    for place in range(taken.count):
        level = taken.levels[place]
        if level.side == side and level.price_ticks == price_ticks:
            return place
    return -1


@compiled
def forget_taken(taken: Taken, place: int) -> None:
    """Drop one price; younger ones move up."""
    taken.count -= 1
    for index in range(place, taken.count):
        level = taken.levels[index]
        younger = taken.levels[index + 1]
        level.side = younger.side
        level.price_ticks = younger.price_ticks
        level.taken_lots = younger.taken_lots


@compiled
def add_taken(taken: Taken, side: int, price_ticks: int, lots: int) -> None:
    """Note that the user took `lots` at a price."""
    place = find_taken(taken, side, price_ticks)
    if place >= 0:
        taken.levels[place].taken_lots += lots
        return
    if taken.count == TAKEN_MAX:
        forget_taken(taken, 0)
        taken.dropped += 1
    level = taken.levels[taken.count]
    level.side = side
    level.price_ticks = price_ticks
    level.taken_lots = lots
    taken.count += 1


@compiled
def market_shows(taken: Taken, side: int, price_ticks: int, lots: int) -> None:
    """Note that the market shows `lots` at a price."""
    place = find_taken(taken, side, price_ticks)
    if place < 0:
        return
    level = taken.levels[place]
    level.taken_lots = min(level.taken_lots, lots)
    if level.taken_lots <= 0:
        forget_taken(taken, place)


@compiled
def market_best(taken: Taken, side: int, price_ticks: int) -> None:
    """Note that the market has nothing left that is better than a price."""
    place = 0
    while place < taken.count:
        level = taken.levels[place]
        is_better = level.price_ticks > price_ticks if side == BID else level.price_ticks < price_ticks
        if level.side == side and is_better:
            forget_taken(taken, place)
        else:
            place += 1
