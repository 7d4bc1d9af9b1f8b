"""The book that both made-up markets of the benchmarks quote while nothing is to be traded, and how they draw lots."""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.side import BID

DEPTH = 20  # levels a side
MIDDLE_TICKS = 600_000
HALF_SPREAD_TICKS = 5
SECOND_TICKS = 50  # from the best level to the next: more than a trigger moves
STEP_TICKS = 5
MOVE_TICKS = 40  # by which a trigger takes one book through the other's quiet best
LOTS = 100  # of every level; where a level has several orders, of each


class Drawing(Struct):
    """What draws random numbers, a sequence of its own."""

    random: i64


@compiled
def draw(drawing: Drawing, bound: int) -> int:
    """A number in 0..bound - 1. The constants are those of C's example generator (C11, 7.22.2.2)."""
    drawing.random = (drawing.random * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return (drawing.random >> 16) % bound


@compiled
def level_ticks(side: int, position: int) -> int:
    """Price of a quiet book's level, 0 is the best."""
    distance = HALF_SPREAD_TICKS + (SECOND_TICKS + (position - 1) * STEP_TICKS if position > 0 else 0)
    return MIDDLE_TICKS - distance if side == BID else MIDDLE_TICKS + distance
