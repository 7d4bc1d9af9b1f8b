"""What a speed bump costs a taker: the venue holds the order for a while, and the price may leave in that time.

Some venues hold an order that would match on arrival for a fixed time (10 ms, say), in which it can't be withdrawn, and
then match it against the book of that moment. The other leg has traded by then. So the taker there is exposed to how
far the price moves in one delay; the mean of that, measured while trading, is what the leg costs above its price.
"""

from decimal import Decimal
from typing import Annotated

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.limits import to_e9
from crosswire.strategies.average import FRACTION_BITS, VALUE_MAX, WEIGHT_ONE, Average, add_sample
from crosswire.strategies.listing import is_price
from crosswire.strategies.parameters import Parameter
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import E9, Instrument

WEIGHT = WEIGHT_ONE >> 6  # of one delay's move: the mean follows a change of pace within a second of delays of 10 ms
MOVE_UNIT_E9 = 10  # a move is counted in 1e-8 of the price, so VALUE_MAX of them are a tenth of it; more counts as that
MARGIN_MAX = 10

SPEED_BUMP_MARGIN = Parameter(
    "mean moves", "of the price in one delay that a leg held so long must earn", least=0, most=MARGIN_MAX
)
SpeedBumpMargin = Annotated[Decimal, SPEED_BUMP_MARGIN]


class Exposure(Struct):
    """One listing's delay and how far its price moves in it. `delay_ns` 0: the venue holds no orders."""

    delay_ns: i64
    margin_e9: i64  # how many mean moves a taker must earn, 1e-9
    begin_ns: i64  # of the delay that is being measured
    begin_ticks: i64  # bid + ask then; 0: no measurement has begun
    moves: Average  # absolute moves in one delay, in MOVE_UNIT_E9


def set_exposure(exposure: Exposure, instrument: Instrument, margin: Decimal) -> None:
    """Begin with no moves measured; `margin` is a parameter `SpeedBumpMargin`."""
    exposure.delay_ns = instrument.speed_bump_ns
    exposure.margin_e9 = to_e9(margin, "speed_bump_margin")


@compiled
def measure(exposure: Exposure, book: Book, now_ns: int) -> None:
    """Take in a changed book. A delay in which nothing changed ends with the next change: the whole move counts."""
    if not is_price(book.bid_ticks) or not is_price(book.ask_ticks):
        exposure.begin_ticks = 0
        return
    both_ticks = book.bid_ticks + book.ask_ticks
    if exposure.begin_ticks != 0:
        if now_ns - exposure.begin_ns < exposure.delay_ns:
            return
        # Prices are within 2**32 ticks: 2**33 * 1e8 is inside 63 bits.
        move = abs(both_ticks - exposure.begin_ticks) * (E9 // MOVE_UNIT_E9) // exposure.begin_ticks
        add_sample(exposure.moves, min(VALUE_MAX, move), WEIGHT)
    exposure.begin_ticks = both_ticks
    exposure.begin_ns = now_ns


@inlined
def premium_e9(exposure: Exposure) -> int:
    """Return what a taker there must earn above its price and fee, 1e-9 of the price."""
    if exposure.delay_ns == 0:
        return 0
    return ((exposure.moves.mean * MOVE_UNIT_E9) >> FRACTION_BITS) * exposure.margin_e9 // E9
