"""What we hold of each instrument, and what it has earned."""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.instrument import Instrument, cash_flow_e9, divide_e9, multiply_e9, position_value_e9
from crosswire.venues.side import BUY, sign_of


class Position(Struct):
    """One instrument's position. P&L = cash - fees + value of what is held, in 1e-9 of the settlement currency."""

    position_lots: i64  # signed: long is positive
    open_buy_lots: i64  # of live and pending buy orders, not yet filled
    open_sell_lots: i64
    open_orders: i64
    quotes_pending: i64  # sides of mass quotes that the venue has not answered, or holds in its speed bump
    cash_e9: i64  # cash flows of all fills
    entry_cash_e9: i64  # the part of them that what is held now came from
    realised_e9: i64  # the rest: earned by what was closed, before fees
    fees_e9: i64  # paid, rebates negative
    fills: i64
    bought_lots: i64
    sold_lots: i64
    mark_ticks: i64  # last trusted price: middle of the last proven book; 0: none. A combination's may be below it


@compiled
def change_open(position: Position, side: int, orders: int, qty_lots: int) -> None:
    """Book that an order went out (+1 order, +its lots), changed (0, the difference) or ended (-1, -what was open)."""
    position.open_orders += orders
    if side == BUY:
        position.open_buy_lots += qty_lots
    else:
        position.open_sell_lots += qty_lots
    assert position.open_orders >= 0
    assert position.open_buy_lots >= 0
    assert position.open_sell_lots >= 0


@compiled
def add_fill(
    position: Position, instrument: Instrument, side: int, price_ticks: int, qty_lots: int, fee_e9: int
) -> None:
    """Apply one fill to what is held, once. What is open of its order is `change_open`'s."""
    flow_e9 = cash_flow_e9(instrument, side, price_ticks, qty_lots)
    _realise(position, sign_of(side) * qty_lots, flow_e9)
    position.fills += 1
    position.position_lots += sign_of(side) * qty_lots
    position.cash_e9 += flow_e9
    position.fees_e9 += fee_e9
    if side == BUY:
        position.bought_lots += qty_lots
    else:
        position.sold_lots += qty_lots


@inlined
def _realise(position: Position, signed_lots: int, flow_e9: int) -> None:
    """Take what a fill closes out of the entry, at the average price of it: 1e-9 of the amount may be misplaced."""
    held_lots = position.position_lots
    is_closing = held_lots != 0 and (held_lots > 0) != (signed_lots > 0)
    closed_e9 = 0
    entry_e9 = flow_e9
    if is_closing and abs(signed_lots) <= abs(held_lots):
        left_lots = abs(held_lots) - abs(signed_lots)
        entry_e9 = _share(position.entry_cash_e9, left_lots, abs(held_lots))
        closed_e9 = position.entry_cash_e9 - entry_e9 + flow_e9
    elif is_closing:
        entry_e9 = _share(flow_e9, abs(signed_lots) - abs(held_lots), abs(signed_lots))
        closed_e9 = position.entry_cash_e9 + flow_e9 - entry_e9
    else:
        entry_e9 += position.entry_cash_e9
    position.entry_cash_e9 = entry_e9
    position.realised_e9 += closed_e9


@inlined
def _share(value: int, part: int, whole: int) -> int:
    """Return value * part / whole for part in 0..whole, to 1e-9 of the value."""
    return multiply_e9(value, divide_e9(part, whole))


@compiled
def profit_e9(position: Position, instrument: Instrument) -> int:
    """Return P&L after fees at the last trusted price, 1e-9 of the settlement currency."""
    held = 0
    if position.position_lots != 0 and position.mark_ticks != 0:
        held = position_value_e9(instrument, position.mark_ticks, position.position_lots)
    return position.cash_e9 - position.fees_e9 + held
