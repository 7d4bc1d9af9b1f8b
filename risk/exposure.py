"""Worst-case exposures, kept and not added up at each order.

What is held and open of an instrument counts three times, at its mark:

    long    everything held, and all open buys filled
    short   everything held, and all open sells filled
    gross   the larger of both in size

Each is a number of lots times a value of one lot, and is added to the sums that the instrument belongs to (its
underlying, its venue, the account, a strategy's own) as it changes: what it counted for before is kept beside it and
taken off again. Signs: long is positive. Delta is in 1e-9 of the base coin: a lot of an inverse contract counts for the
coins that it is worth at the mark, rounded up, an error below 1e-9 coin a lot.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.position import Position
from crosswire.venues.instrument import Instrument, Payoff, base_e9, notional_e9


class Sums(Struct):
    """What a group of instruments counts for together. `risk.limits` proves that none of it can wrap."""

    long_e9: i64  # quote currency, signed, as is
    short_e9: i64
    gross_e9: i64
    delta_long_e9: i64  # base coin, signed
    delta_short_e9: i64
    delta_held_e9: i64  # of positions alone


class Exposure(Struct):
    """What one instrument counts for in its sums, and by which values of a lot."""

    lots_proven: i64  # nothing is counted for more: sums were proven up to here
    lot_value_e9: i64  # at the mark, quote currency
    lot_delta_e9: i64  # at the mark, base coin
    counted: Sums


@compiled
def set_lot_values(exposure: Exposure, instrument: Instrument, mark_ticks: int) -> None:
    """Value one lot at a mark. At 0 there is none yet; below it, as a combination's may be, its size counts."""
    if instrument.payoff != Payoff.INVERSE:
        exposure.lot_delta_e9 = instrument.lot_e9
        exposure.lot_value_e9 = notional_e9(instrument, abs(mark_ticks), 1)
        return
    exposure.lot_value_e9 = instrument.lot_e9
    exposure.lot_delta_e9 = base_e9(instrument, mark_ticks, 1) + 1 if mark_ticks > 0 else 0


@inlined
def clamp(value: int, most: int) -> int:
    """Return `value`, or the nearest in -most..most."""
    return max(-most, min(most, value))


@compiled
def count_position(exposure: Exposure, position: Position, change: Sums) -> None:
    """Count an instrument anew; `change` becomes what that adds to the sums that it belongs to."""
    most = exposure.lots_proven
    held_lots = clamp(position.position_lots, most)
    long_lots = clamp(position.position_lots + position.open_buy_lots, most)
    short_lots = clamp(position.position_lots - position.open_sell_lots, most)
    counted = exposure.counted
    change.long_e9 = long_lots * exposure.lot_value_e9 - counted.long_e9
    change.short_e9 = short_lots * exposure.lot_value_e9 - counted.short_e9
    change.gross_e9 = max(abs(long_lots), abs(short_lots)) * exposure.lot_value_e9 - counted.gross_e9
    change.delta_long_e9 = long_lots * exposure.lot_delta_e9 - counted.delta_long_e9
    change.delta_short_e9 = short_lots * exposure.lot_delta_e9 - counted.delta_short_e9
    change.delta_held_e9 = held_lots * exposure.lot_delta_e9 - counted.delta_held_e9
    add_sums(counted, change)


@inlined
def add_sums(sums: Sums, change: Sums) -> None:
    """Change a group's sums."""
    sums.long_e9 += change.long_e9
    sums.short_e9 += change.short_e9
    sums.gross_e9 += change.gross_e9
    sums.delta_long_e9 += change.delta_long_e9
    sums.delta_short_e9 += change.delta_short_e9
    sums.delta_held_e9 += change.delta_held_e9
