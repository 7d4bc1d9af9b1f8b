"""The inline risk gate: every order, amend and quote passes it or does not leave.

`check`, `check_amend` and `check_quote` arm `Approval`s, the only thing that an order session turns into a frame.
Limits are per instrument, per underlying, per venue and for the whole run; all are required configuration
(`risk.limits`).

Exposures are counted at their worst (`risk.exposure`): an order that is out may fill, so a buy is judged with all open
buys filled and no open sell. An amend counts with the larger of its two quantities until it is answered.

No strategy can write what is judged by: the positions are the gate's own (`risk.ledger` keeps them), prices are copied
before strategies see them (`risk.prices`), and so are the instruments' terms at load.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Pointer, Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.exposure import Exposure, Sums, clamp
from crosswire.risk.position import Position
from crosswire.risk.prices import Top, is_current, is_priced
from crosswire.risk.trading_state import StateMachine, TradingState
from crosswire.venues.instrument import Instrument, Payoff, multiply_e9, notional_e9
from crosswire.venues.order import (
    APPROVALS_MAX,
    GTC,
    POST_ONLY,
    VENUES_MAX,
    AmendState,
    Approval,
    Approvals,
    Order,
    OrderState,
    SessionState,
)
from crosswire.venues.side import BUY, SELL
from crosswire.venues.token_bucket import TokenBucket, take_tokens

UNDERLYINGS_MAX = 16


class Veto(IntEnum):
    """Why an order did not leave. Index into `Gate.vetoes`."""

    NONE = 0
    HALTED = 1
    REDUCE_ONLY = 2  # it would not make a position smaller; `Gate.why` says what allows no more
    SESSION_NOT_READY = 3
    BAD_ORDER = 4  # a price or size below 1, or outside what was proven not to overflow
    DUPLICATE_ID = 5
    ORDER_SIZE = 6
    ORDER_NOTIONAL = 7
    POSITION = 8
    GROSS_EXPOSURE = 9
    NET_EXPOSURE = 10
    OPEN_ORDERS = 11
    ORDER_RATE = 12
    INVALID_BOOK = 13
    STALE_BOOK = 14
    CROSSED_BOOK = 15
    PRICE_COLLAR = 16
    NOT_SENT = 17  # passed, but the transmit ring had no slot or the session refused
    UNSUPPORTED = 18  # the venue's order session can't do this
    NOT_AMENDABLE = 19  # not live yet, about to be cancelled, not good till cancelled, a quote, or being amended
    QUOTE_PENDING = 20  # the venue has not answered the last quote of this instrument, or holds it in its speed bump
    CANCEL_ONLY = 21


class InstrumentLimits(Struct):
    """What may be sent and held of one instrument."""

    order_lots_max: i64
    order_notional_max_e9: i64  # quote currency
    position_lots_max: i64  # either way
    price_ticks_max: i64  # nothing above was proven
    mark_age_max_ns: i64  # how old the value of something that is held may be
    collar_e9: i64  # how far through the opposite best an order may reach, fraction of that price
    book_age_max_ns: i64


class VenueLimits(Struct):
    """What may be sent to one venue, and what is out there. The loop keeps the last three."""

    bucket: TokenBucket  # a new order, an amend and a side of a quote take one token each
    open_orders_max: i64
    open_orders: i64
    session_state: i64  # SessionState of the venue's order session
    lost_orders: i64  # that were open when the session was lost: what became of them is not known
    sums: Sums  # of its instruments


class UnderlyingLimits(Struct):
    """Sums over the instruments of one underlying, in 1e-9 of the quote currency."""

    gross_max_e9: i64
    net_max_e9: i64
    sums: Sums


class Profit(Struct):
    """What one instrument has earned, in 1e-9 of its quote currency, as last counted in the gate's sum."""

    profit_e9: i64
    marked_ns: i64  # receive time of the book that gave the mark, 0: never


class Gate(StateMachine):
    """Limits, and what `check` needs to judge by."""

    loss_max_e9: i64  # quote currency, over all instruments
    profit_max_e9: i64  # an instrument's P&L counts for no more, nor for less than its negative: all may be added up
    profit_e9: i64  # at the last fill or mark
    profit_worst_e9: i64  # the lowest `profit_e9` seen
    values_proven_e9: i64  # the largest sum that the instruments' limits allow together
    deltas_proven_e9: i64
    last_client_order_id: i64
    instrument_count: i64
    instruments: Annotated[Pointer, Instrument]  # the gate's own copy
    tops: Annotated[Pointer, Top]
    positions: Annotated[Pointer, Position]
    exposures: Annotated[Pointer, Exposure]
    profits: Annotated[Pointer, Profit]
    limits: Annotated[Pointer, InstrumentLimits]
    sums: Sums  # of all instruments
    venues: Annotated[Array, VenueLimits, VENUES_MAX]
    underlyings: Annotated[Array, UnderlyingLimits, UNDERLYINGS_MAX]
    vetoes: Annotated[Array, i64, len(Veto)]
    passed: i64
    alarms: i64  # reports that contradict what we hold, and sessions lost with orders open


@compiled
def check(gate: Gate, approval: Approval, order: Order, now_ns: int) -> int:
    """Allow an order (Veto.NONE, `approval` armed for one frame) or give the first reason against it, counted."""
    approval.armed = 0
    veto = _judge(gate, order, order.price_ticks, order.qty_lots, order.qty_lots, 1, now_ns)
    veto = _conclude(gate, order, veto, 1, now_ns)
    if veto == Veto.NONE:
        gate.last_client_order_id = order.client_order_id
        _arm(gate, approval, order, order.price_ticks, order.qty_lots)
    return veto


@compiled
def check_amend(gate: Gate, approval: Approval, order: Order, price_ticks: int, qty_lots: int, now_ns: int) -> int:
    """Allow new terms of an open order, as `check` does. `qty_lots` is with what is filled.

    An amend that adds nothing is not held against the position: it may be there to make an order smaller.
    """
    approval.armed = 0
    veto: int = Veto.NOT_AMENDABLE
    if _is_amendable(order):
        veto = Veto.BAD_ORDER
        if qty_lots > order.filled_lots:
            veto = _judge(gate, order, price_ticks, qty_lots, max(0, qty_lots - order.qty_lots), 0, now_ns)
    veto = _conclude(gate, order, veto, 1, now_ns)
    if veto == Veto.NONE:
        _arm(gate, approval, order, price_ticks, qty_lots)
    return veto


@compiled
def check_quote(gate: Gate, approvals: Approvals, bid: Order, ask: Order, now_ns: int) -> int:
    """Allow both sides of a quote (two more approvals, armed) or neither, for the first reason against one of them."""
    assert approvals.count + 2 <= APPROVALS_MAX
    veto: int = Veto.BAD_ORDER
    if bid.instrument == ask.instrument and bid.side == BUY and ask.side == SELL and bid.price_ticks < ask.price_ticks:
        veto = _judge(gate, bid, bid.price_ticks, bid.qty_lots, bid.qty_lots, 1, now_ns)
        if veto == Veto.NONE:
            veto = _judge(gate, ask, ask.price_ticks, ask.qty_lots, ask.qty_lots, 2, now_ns)
        if veto == Veto.NONE and gate.positions[bid.instrument].quotes_pending != 0:
            veto = Veto.QUOTE_PENDING
    veto = _conclude(gate, bid, veto, 2, now_ns)
    if veto == Veto.NONE:
        gate.last_client_order_id = max(bid.client_order_id, ask.client_order_id)
        _arm(gate, approvals.items[approvals.count], bid, bid.price_ticks, bid.qty_lots)
        _arm(gate, approvals.items[approvals.count + 1], ask, ask.price_ticks, ask.qty_lots)
        approvals.count += 2
    return veto


@inlined
def _conclude(gate: Gate, order: Order, veto: int, count: int, now_ns: int) -> int:
    """Take `count` tokens of the order's venue if nothing else is against it, and count the verdict as often.

    Tokens come last: what is refused for another reason costs none.
    """
    if veto == Veto.NONE and not take_tokens(
        gate.venues[gate.instruments[order.instrument].venue].bucket, count, now_ns
    ):
        veto = Veto.ORDER_RATE
    gate.vetoes[veto] += count
    return veto


@inlined
def _arm(gate: Gate, approval: Approval, order: Order, price_ticks: int, qty_lots: int) -> None:
    gate.passed += 1
    approval.armed = 1
    approval.client_order_id = order.client_order_id
    approval.instrument = order.instrument
    approval.side = order.side
    approval.time_in_force = order.time_in_force
    approval.price_ticks = price_ticks
    approval.qty_lots = qty_lots


@inlined
def _is_amendable(order: Order) -> bool:
    if order.state != OrderState.LIVE or order.amend_state == AmendState.PENDING or order.is_quote != 0:
        return False
    return order.time_in_force == GTC or order.time_in_force == POST_ONLY


@inlined
def _judge(
    gate: Gate, order: Order, price_ticks: int, qty_lots: int, added_lots: int, new_orders: int, now_ns: int
) -> int:
    """Judge an order at these terms: `added_lots` may be filled that could not before, by `new_orders` more orders."""
    state = max(gate.state, gate.asked_from_outside)
    if state >= TradingState.CANCEL_ONLY:
        return Veto.HALTED if state == TradingState.HALTED else Veto.CANCEL_ONLY
    if order.instrument < 0 or order.instrument >= gate.instrument_count:
        return Veto.BAD_ORDER
    position = gate.positions[order.instrument]
    if state == TradingState.REDUCE_ONLY and not _reduces(position, order.side, added_lots):
        return Veto.REDUCE_ONLY
    limits = gate.limits[order.instrument]
    if price_ticks <= 0 or qty_lots <= 0 or price_ticks > limits.price_ticks_max:
        return Veto.BAD_ORDER
    if new_orders != 0 and order.client_order_id <= gate.last_client_order_id:
        return Veto.DUPLICATE_ID
    if qty_lots > limits.order_lots_max:
        return Veto.ORDER_SIZE
    venue = gate.venues[gate.instruments[order.instrument].venue]
    if venue.session_state != SessionState.READY:
        return Veto.SESSION_NOT_READY
    if venue.open_orders + new_orders > venue.open_orders_max:
        return Veto.OPEN_ORDERS
    veto = _judge_price(gate.tops[order.instrument], limits, order.side, price_ticks, now_ns)
    if veto == Veto.NONE and notional_e9(gate.instruments[order.instrument], price_ticks, qty_lots) > (
        limits.order_notional_max_e9
    ):
        veto = Veto.ORDER_NOTIONAL
    if veto == Veto.NONE and added_lots > 0:
        veto = _judge_exposure(gate, limits, order, price_ticks, added_lots)
    return veto


@inlined
def _reduces(position: Position, side: int, added_lots: int) -> bool:
    """Tell whether all that is open on a side, and this much more, would leave less held, and none the other way."""
    if side == BUY:
        return position.position_lots < 0 and position.position_lots + position.open_buy_lots + added_lots <= 0
    return position.position_lots > 0 and position.position_lots - position.open_sell_lots - added_lots >= 0


@inlined
def _judge_price(top: Top, limits: InstrumentLimits, side: int, price_ticks: int, now_ns: int) -> int:
    if top.valid == 0 or not is_priced(top, limits.price_ticks_max):
        return Veto.INVALID_BOOK
    if not is_current(top, limits.book_age_max_ns, now_ns):
        return Veto.STALE_BOOK
    if top.bid_ticks >= top.ask_ticks:
        return Veto.CROSSED_BOOK
    if side == BUY:
        reach_ticks = price_ticks - top.ask_ticks
        best_ticks = top.ask_ticks
    else:
        reach_ticks = top.bid_ticks - price_ticks
        best_ticks = top.bid_ticks
    # At the best price or behind it nothing is reached through: the usual order, and no product is needed.
    if reach_ticks > 0 and reach_ticks > multiply_e9(best_ticks, limits.collar_e9):
        return Veto.PRICE_COLLAR
    return Veto.NONE


@inlined
def _judge_exposure(gate: Gate, limits: InstrumentLimits, order: Order, price_ticks: int, qty_lots: int) -> int:
    """Judge what is held and open with `qty_lots` more of it, at the higher of the order's price and the mark."""
    index = order.instrument
    instrument, position, exposure = gate.instruments[index], gate.positions[index], gate.exposures[index]
    sign = 1 if order.side == BUY else -1
    open_lots = position.open_buy_lots if order.side == BUY else position.open_sell_lots
    worst_lots = sign * position.position_lots + open_lots + qty_lots
    if worst_lots > limits.position_lots_max:
        return Veto.POSITION
    lot_value_e9 = exposure.lot_value_e9
    if instrument.payoff != Payoff.INVERSE:
        lot_value_e9 = max(lot_value_e9, price_ticks * instrument.tick_lot_e9)
    value_e9 = clamp(worst_lots, exposure.lots_proven) * lot_value_e9
    counted = exposure.counted
    underlying = gate.underlyings[instrument.underlying]
    # What lies the other way may be the larger part of gross, and is not changed by this order.
    other_e9 = -counted.short_e9 if order.side == BUY else counted.long_e9
    added_gross_e9 = max(abs(value_e9), abs(other_e9)) - counted.gross_e9
    if worst_lots > 0 and underlying.sums.gross_e9 + added_gross_e9 > underlying.gross_max_e9:
        return Veto.GROSS_EXPOSURE
    side_e9 = counted.long_e9 if order.side == BUY else -counted.short_e9
    net_e9 = underlying.sums.long_e9 if order.side == BUY else -underlying.sums.short_e9
    if net_e9 + value_e9 - side_e9 > underlying.net_max_e9:
        return Veto.NET_EXPOSURE
    return Veto.NONE
