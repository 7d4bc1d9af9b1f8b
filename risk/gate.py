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

from crosswire.nic.memory.raw import pinned
from crosswire.nic.memory.struct import Array, Pointer, Reference, Struct, address_of, i64, view
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.risk.activity import Executions, OrderToTrade, count_messages, has_too_few_fills, repeats
from crosswire.risk.exposure import Exposure, Sums, clamp
from crosswire.risk.position import Position
from crosswire.risk.prices import Top, is_current, is_priced
from crosswire.risk.records import STRATEGIES_MAX
from crosswire.risk.trading_state import StateMachine, TradingState
from crosswire.venues.instrument import Instrument, Payoff, multiply_e9, notional_e9
from crosswire.venues.order import (
    APPROVALS_MAX,
    GTC,
    ORDERS_MAX,
    POST_ONLY,
    TIMES_IN_FORCE,
    VENUES_MAX,
    AmendState,
    Approval,
    Approvals,
    Order,
    OrderState,
    OrderTable,
    copy_terms,
    is_open,
)
from crosswire.venues.session import (
    SessionState,
)
from crosswire.venues.side import BUY, SELL
from crosswire.venues.token_bucket import TokenBucket, give_tokens, take_tokens

UNDERLYINGS_MAX = 16
PEERS_MAX = 8  # that one book is compared with
STRATEGIES_FLATTENING = 1  # `Gate.flattening`: what strategies ask for is refused
WE_FLATTEN = 2  # an order of the engine's own passes now
NO_LIMIT = 1 << 62  # above every sum (`risk.limits.SUM_MAX`)


class Veto(IntEnum):
    """Why an order did not leave. Index into `Gate.vetoes`."""

    NONE = 0
    HALTED = 1
    REDUCE_ONLY = 2  # it would not make a position smaller; `Gate.why` says what allows no more
    SESSION_NOT_READY = 3
    BAD_ORDER = 4  # no such side or time in force; a price or size below 1, or outside what was proven not to overflow
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
    PRICE_BAND = 22  # the book stands apart from the other venues'
    SELF_TRADE = 23  # it would trade with an open order of ours
    ORDER_TO_TRADE = 24  # too many messages for the fills that came of them
    REPEATED_EXECUTION = 25  # too many fills of the same kind within a window
    BORROW = 26  # more spot sold than is held and may be borrowed
    DELTA = 27
    VENUE_NOTIONAL = 28
    ACCOUNT_GROSS = 29
    ACCOUNT_NET = 30
    ACCOUNT_RATE = 31
    STRATEGY_NOTIONAL = 32
    STRATEGY_LOSS = 33
    FLATTENING = 34  # the operator has all positions traded away, and no strategy trades meanwhile
    VENUE_RATE = 35  # the venue has told that it takes no more for now


class InstrumentLimits(Struct):
    """What may be sent and held of one instrument."""

    order_lots_max: i64
    order_notional_max_e9: i64  # quote currency
    position_lots_max: i64  # either way
    short_lots_max: i64  # of spot: what may be borrowed; NO_LIMIT for contracts
    price_ticks_max: i64  # nothing above was proven
    mark_age_max_ns: i64  # how old the value of something that is held may be
    collar_e9: i64  # how far through the opposite best an order may reach, fraction of that price
    book_age_max_ns: i64
    band_e9: i64  # how far the book may stand from the peers', fraction of its price
    peer_count: i64
    peers: Annotated[Array, i64, PEERS_MAX]  # market indices of the same thing at other venues


class VenueLimits(Struct):
    """What may be sent to one venue, and what is out there. The loop keeps all from `open_orders` on but the sums."""

    bucket: TokenBucket  # a new order, an amend and a side of a quote take one token each
    open_orders_max: i64
    notional_max_e9: i64
    open_orders: i64
    session_state: i64  # SessionState of the venue's order session
    tells_left: i64  # 1: the venue tells how many orders it takes
    orders_left: i64  # so many
    lost_orders: i64  # that were open when the session was lost: what became of them is not known
    sums: Sums  # of its instruments
    activity: OrderToTrade


class UnderlyingLimits(Struct):
    """Sums over the instruments of one underlying, in 1e-9 of the quote currency."""

    gross_max_e9: i64
    net_max_e9: i64
    delta_max_e9: i64  # base coin
    unhedged_max_e9: i64  # base coin, of what is held; 0: not limited
    hedged_within_e9: i64  # less than this is hedged
    unhedged_max_ns: i64
    unhedged_since_ns: i64  # 0: it is hedged
    sums: Sums


class StrategyLimits(Struct):
    """What one strategy may hold and lose of its own; `is_limited` 0: only the limits of all apply."""

    is_limited: i64
    notional_max_e9: i64
    loss_max_e9: i64
    is_lost: i64  # the loss limit was reached: it may only reduce, until the run is started again
    profit_e9: i64
    sums: Sums


class Profit(Struct):
    """What one instrument has earned, in 1e-9 of its quote currency, as last counted in the gate's sum."""

    profit_e9: i64
    realised_e9: i64
    marked_ns: i64  # receive time of the book that gave the mark, 0: never


class Gate(StateMachine):
    """Limits, and what `check` needs to judge by."""

    loss_max_e9: i64  # quote currency, over all instruments
    profit_max_e9: i64  # an instrument's P&L counts for no more, nor for less than its negative: all may be added up
    profit_e9: i64  # at the last fill or mark
    profit_worst_e9: i64  # the lowest `profit_e9` seen
    is_unmarked: i64  # 1: something is held that never had a mark, so the P&L is not known; it is not judged
    realised_loss_max_e9: i64  # NO_LIMIT: none is configured
    realised_e9: i64  # what was closed has earned, after all fees
    gross_max_e9: i64  # of all instruments
    net_max_e9: i64
    bucket: TokenBucket  # of all venues together
    dead_man_ns: i64  # 0: nobody need watch
    alive_ns: i64  # when somebody last said that they watch, by the run's clock; 0: nobody yet. From any thread
    prevents_self_trade: i64
    executions_max: i64  # of one strategy, instrument and side within `executions_window_ns`; 0: not limited
    executions_window_ns: i64
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
    change: Sums  # of the instrument being counted
    orders: Annotated[OrderTable, Reference]
    strategies: Annotated[Array, StrategyLimits, STRATEGIES_MAX]
    # By strategy, then instrument; executions then by side.
    own_positions: Annotated[Pointer, Position]
    own_exposures: Annotated[Pointer, Exposure]
    own_profits_e9: Annotated[Pointer, i64]
    executions: Annotated[Pointer, Executions]
    venues: Annotated[Array, VenueLimits, VENUES_MAX]
    underlyings: Annotated[Array, UnderlyingLimits, UNDERLYINGS_MAX]
    vetoes: Annotated[Array, i64, len(Veto)]
    passed: i64
    alarms: i64  # reports that contradict what we hold, and sessions lost with orders open
    flattening: i64  # while positions are traded away; 0: they are not


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
            veto = _judge_apart(gate, order, price_ticks, qty_lots, max(0, qty_lots - order.qty_lots), 0, now_ns)
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
        veto = _judge_apart(gate, bid, bid.price_ticks, bid.qty_lots, bid.qty_lots, 1, now_ns)
        if veto == Veto.NONE:
            veto = _judge_apart(gate, ask, ask.price_ticks, ask.qty_lots, ask.qty_lots, 2, now_ns)
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
    """Take `count` tokens of the order's venue and of the account if nothing else is against it; count the verdict.

    Tokens come last: what is refused for another reason costs none.
    """
    if veto == Veto.NONE:
        venue = gate.venues[gate.instruments[order.instrument].venue]
        if has_too_few_fills(venue.activity, count, now_ns):
            veto = Veto.ORDER_TO_TRADE
        elif venue.tells_left != 0 and venue.orders_left < count:
            veto = Veto.VENUE_RATE
        elif not take_tokens(venue.bucket, count, now_ns):
            veto = Veto.ORDER_RATE
        elif not take_tokens(gate.bucket, count, now_ns):
            give_tokens(venue.bucket, count)
            veto = Veto.ACCOUNT_RATE
        else:
            count_messages(venue.activity, count, now_ns)
            venue.orders_left -= count
    gate.vetoes[veto] += count
    return veto


@inlined
def _arm(gate: Gate, approval: Approval, order: Order, price_ticks: int, qty_lots: int) -> None:
    gate.passed += 1
    approval.armed = 1
    copy_terms(approval, order)
    approval.price_ticks = price_ticks
    approval.qty_lots = qty_lots


@inlined
def _is_amendable(order: Order) -> bool:
    if order.state != OrderState.LIVE or order.amend_state == AmendState.PENDING or order.is_quote != 0:
        return False
    return order.time_in_force == GTC or order.time_in_force == POST_ONLY


@outlined
def _judge_apart(
    gate: Gate, order: Order, price_ticks: int, qty_lots: int, added_lots: int, new_orders: int, now_ns: int
) -> int:
    """Do as `_judge`, which is long, in a function of its own: amends and quotes can wait for that."""
    return _judge(gate, order, price_ticks, qty_lots, added_lots, new_orders, now_ns)


@inlined
def _judge(
    gate: Gate, order: Order, price_ticks: int, qty_lots: int, added_lots: int, new_orders: int, now_ns: int
) -> int:
    """Judge an order at these terms: `added_lots` may be filled that could not before, by `new_orders` more orders.

    Once for each side, which is a constant below: what depends on it is not chosen again and again.
    """
    if order.side == BUY:
        return _judge_side(gate, order, BUY, price_ticks, qty_lots, added_lots, new_orders, now_ns)
    if order.side == SELL:
        return _judge_side(gate, order, SELL, price_ticks, qty_lots, added_lots, new_orders, now_ns)
    return Veto.BAD_ORDER


@inlined
def _judge_side(
    gate: Gate,
    order: Order,
    side: int,
    price_ticks: int,
    qty_lots: int,
    added_lots: int,
    new_orders: int,
    now_ns: int,
) -> int:
    state = max(gate.state, gate.asked_from_outside)
    if state != TradingState.ACTIVE or is_unwatched(gate, now_ns):
        restricted = _judge_state(gate, order, state, added_lots, now_ns)
        if restricted != Veto.NONE:
            return restricted
    if order.instrument < 0 or order.instrument >= gate.instrument_count:
        return Veto.BAD_ORDER
    index = order.instrument
    limits = view(InstrumentLimits, pinned(address_of(gate.limits[index])))
    if min(price_ticks, qty_lots) <= 0 or price_ticks > limits.price_ticks_max:
        return Veto.BAD_ORDER
    if order.time_in_force < 0 or order.time_in_force >= TIMES_IN_FORCE:
        return Veto.BAD_ORDER
    if new_orders != 0 and order.client_order_id <= gate.last_client_order_id:
        return Veto.DUPLICATE_ID
    if qty_lots > limits.order_lots_max:
        return Veto.ORDER_SIZE
    instrument = view(Instrument, pinned(address_of(gate.instruments[index])))
    venue = view(VenueLimits, pinned(address_of(gate.venues[instrument.venue])))
    if venue.session_state != SessionState.READY:
        return Veto.SESSION_NOT_READY
    if venue.open_orders + new_orders > venue.open_orders_max:
        return Veto.OPEN_ORDERS
    veto = _judge_price(gate, index, limits, side, price_ticks, now_ns)
    if veto != Veto.NONE:
        return veto
    if notional_e9(instrument, price_ticks, qty_lots) > limits.order_notional_max_e9:
        return Veto.ORDER_NOTIONAL
    position = view(Position, pinned(address_of(gate.positions[index])))
    if added_lots > 0:
        veto = _judge_exposure(gate, limits, instrument, position, venue, index, side, price_ticks, added_lots)
        if veto == Veto.NONE:
            veto = _judge_strategy(gate, order, side, price_ticks, added_lots, now_ns)
        if veto != Veto.NONE:
            return veto
    if gate.prevents_self_trade != 0 and _crosses_own(gate, position, order, side, price_ticks):
        return Veto.SELF_TRADE
    return Veto.NONE


@outlined
def _judge_state(gate: Gate, order: Order, state: int, added_lots: int, now_ns: int) -> int:
    """Judge an order while not all that the limits allow may be sent."""
    if state == TradingState.HALTED:
        return Veto.HALTED
    if state == TradingState.CANCEL_ONLY or is_unwatched(gate, now_ns):
        return Veto.CANCEL_ONLY
    if gate.flattening == STRATEGIES_FLATTENING:
        return Veto.FLATTENING
    if order.instrument < 0 or order.instrument >= gate.instrument_count:
        return Veto.BAD_ORDER
    if not _reduces(gate.positions[order.instrument], order.side, added_lots):
        return Veto.REDUCE_ONLY
    return Veto.NONE


@inlined
def is_unwatched(gate: Gate, now_ns: int) -> bool:
    """Tell whether the dead-man switch has run out; it waits for the first sign of life."""
    return gate.dead_man_ns != 0 and gate.alive_ns != 0 and now_ns - gate.alive_ns > gate.dead_man_ns


@inlined
def _reduces(position: Position, side: int, added_lots: int) -> bool:
    """Tell whether all that is open on a side, and this much more, would leave less held, and none the other way."""
    if side == BUY:
        return position.position_lots < 0 and position.position_lots + position.open_buy_lots + added_lots <= 0
    return position.position_lots > 0 and position.position_lots - position.open_sell_lots - added_lots >= 0


@inlined
def _judge_price(gate: Gate, index: int, limits: InstrumentLimits, side: int, price_ticks: int, now_ns: int) -> int:
    top = view(Top, pinned(address_of(gate.tops[index])))
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
    if limits.peer_count != 0 and _stands_apart(gate, index, limits, now_ns):
        return Veto.PRICE_BAND
    return Veto.NONE


@outlined
def _stands_apart(gate: Gate, index: int, limits: InstrumentLimits, now_ns: int) -> bool:
    """Tell whether a book is more than the band above, or below, the median of its peers' that are to be believed.

    That is so where more than half of them are so far off. Of an even number that is judged by the nearer of the two
    in the middle. With no peer there is nothing to be held against.
    """
    # Twice the middle, so that nothing is rounded; proven to fit (`risk.limits.prove_ranges`).
    own_e9 = (gate.tops[index].bid_ticks + gate.tops[index].ask_ticks) * gate.instruments[index].tick_e9
    band_e9 = multiply_e9(own_e9, limits.band_e9)
    proven = below = above = 0
    for number in range(limits.peer_count):
        peer = limits.peers[number]
        top = gate.tops[peer]
        if (
            top.valid != 0
            and top.bid_ticks < top.ask_ticks
            and is_priced(top, gate.limits[peer].price_ticks_max)
            and is_current(top, gate.limits[peer].book_age_max_ns, now_ns)
        ):
            proven += 1
            apart_e9 = own_e9 - (top.bid_ticks + top.ask_ticks) * gate.instruments[peer].tick_e9
            above += apart_e9 > band_e9
            below += apart_e9 < -band_e9
    return 2 * above > proven or 2 * below > proven


@inlined
def _crosses_own(gate: Gate, position: Position, order: Order, side: int, price_ticks: int) -> bool:
    """Tell whether an open order of ours would trade with this one. The orders are looked at only if any is there."""
    if (position.open_sell_lots if side == BUY else position.open_buy_lots) == 0:
        return False
    return _find_crossed(gate.orders, order, price_ticks)


@outlined
def _find_crossed(orders: OrderTable, order: Order, price_ticks: int) -> bool:
    left = orders.count
    for slot in range(ORDERS_MAX):
        if left == 0:
            break
        own = orders.orders[slot]
        if own.state == OrderState.FREE:
            continue
        left -= 1
        if own.instrument != order.instrument or own.side == order.side or not is_open(own):
            continue
        # A quote takes the place of the strategy's last quote.
        if own.is_quote != 0 and order.is_quote != 0 and own.strategy == order.strategy:
            continue
        own_ticks = own.price_ticks
        if own.amend_state == AmendState.PENDING:
            # Either price may be in force.
            asked_ticks = own.amend_price_ticks
            own_ticks = min(own_ticks, asked_ticks) if own.side == SELL else max(own_ticks, asked_ticks)
        if (own_ticks <= price_ticks) if order.side == BUY else (own_ticks >= price_ticks):
            return True
    return False


@inlined
def _judge_exposure(
    gate: Gate,
    limits: InstrumentLimits,
    instrument: Instrument,
    position: Position,
    venue: VenueLimits,
    index: int,
    side: int,
    price_ticks: int,
    qty_lots: int,
) -> int:
    """Judge what is held and open with `qty_lots` more of it, at the higher of the order's price and the mark."""
    exposure = view(Exposure, pinned(address_of(gate.exposures[index])))
    sign = 1 if side == BUY else -1
    open_lots = position.open_buy_lots if side == BUY else position.open_sell_lots
    worst_lots = sign * position.position_lots + open_lots + qty_lots
    if worst_lots > limits.position_lots_max:
        return Veto.POSITION
    if side == SELL and worst_lots > limits.short_lots_max:
        return Veto.BORROW
    lot_value_e9 = exposure.lot_value_e9
    if instrument.payoff != Payoff.INVERSE:
        lot_value_e9 = max(lot_value_e9, price_ticks * instrument.tick_lot_e9)
    # As `clamp` does: more than may be held was refused above, and that is less than was proven (`risk.limits`).
    counted_lots = max(-exposure.lots_proven, worst_lots)
    value_e9 = counted_lots * lot_value_e9
    counted = exposure.counted
    underlying = view(UnderlyingLimits, pinned(address_of(gate.underlyings[instrument.underlying])))
    if worst_lots > 0:
        # What lies the other way may be the larger part of gross, and is not changed by this order.
        other_e9 = counted.short_e9 if side == BUY else counted.long_e9
        added_gross_e9 = max(value_e9, abs(other_e9)) - counted.gross_e9
        if underlying.sums.gross_e9 + added_gross_e9 > underlying.gross_max_e9:
            return Veto.GROSS_EXPOSURE
        if venue.sums.gross_e9 + added_gross_e9 > venue.notional_max_e9:
            return Veto.VENUE_NOTIONAL
        if gate.sums.gross_e9 + added_gross_e9 > gate.gross_max_e9:
            return Veto.ACCOUNT_GROSS
    delta_e9 = counted_lots * exposure.lot_delta_e9
    if side == BUY:
        more_e9 = value_e9 - counted.long_e9
        net_e9 = more_e9 + underlying.sums.long_e9
        account_e9 = more_e9 + gate.sums.long_e9
        delta_e9 += underlying.sums.delta_long_e9 - counted.delta_long_e9
    else:
        more_e9 = value_e9 + counted.short_e9
        net_e9 = more_e9 - underlying.sums.short_e9
        account_e9 = more_e9 - gate.sums.short_e9
        delta_e9 += counted.delta_short_e9 - underlying.sums.delta_short_e9
    if net_e9 > underlying.net_max_e9:
        return Veto.NET_EXPOSURE
    if account_e9 > gate.net_max_e9:
        return Veto.ACCOUNT_NET
    if delta_e9 > underlying.delta_max_e9:
        return Veto.DELTA
    return Veto.NONE


@inlined
def _judge_strategy(gate: Gate, order: Order, side: int, price_ticks: int, qty_lots: int, now_ns: int) -> int:
    """Judge an order by what its own strategy holds, has lost and has just done."""
    if gate.executions_max != 0:
        row = order.strategy * gate.instrument_count + order.instrument
        if repeats(gate.executions[2 * row + side], gate.executions_max, gate.executions_window_ns, now_ns):
            return Veto.REPEATED_EXECUTION
    strategy = gate.strategies[order.strategy]
    if strategy.is_limited == 0:
        return Veto.NONE
    row = order.strategy * gate.instrument_count + order.instrument
    position, exposure = gate.own_positions[row], gate.own_exposures[row]
    if strategy.is_lost != 0 and not _reduces(position, side, qty_lots):
        return Veto.STRATEGY_LOSS
    sign = 1 if side == BUY else -1
    open_lots = position.open_buy_lots if side == BUY else position.open_sell_lots
    worst_lots = clamp(sign * position.position_lots + open_lots + qty_lots, exposure.lots_proven)
    lot_value_e9 = gate.exposures[order.instrument].lot_value_e9
    if gate.instruments[order.instrument].payoff != Payoff.INVERSE:
        lot_value_e9 = max(lot_value_e9, price_ticks * gate.instruments[order.instrument].tick_lot_e9)
    counted = exposure.counted
    other_e9 = counted.short_e9 if side == BUY else counted.long_e9
    added_e9 = max(abs(worst_lots * lot_value_e9), abs(other_e9)) - counted.gross_e9
    if worst_lots > 0 and strategy.sums.gross_e9 + added_e9 > strategy.notional_max_e9:
        return Veto.STRATEGY_NOTIONAL
    return Veto.NONE
