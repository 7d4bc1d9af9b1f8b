"""FLATTEN: trade all positions down to nothing, through the gate as any order, in a bounded number of tries.

While it is on the operator allows only what makes a position smaller, and of that only these orders: strategies are
refused (`Veto.FLATTENING`). Every `interval_ns` each instrument that is held, and has nothing open, gets IOC orders up
to `band_e9` through the opposite best: at most the largest order that its limits allow, so a large position takes
several tries. An order is booked for the strategy whose position it makes smaller, which is not told of it. Nothing is
sent while an order is open: a venue with a speed bump answers first. At the end, whichever, strategies are told once.
"""

from crosswire.engine.cancels import cancel_everything
from crosswire.engine.control.mailbox import Flattening
from crosswire.engine.orders import has_requests, send_requests
from crosswire.engine.records import record_flattened
from crosswire.engine.seat import SILENT, Seat, tell_flattened
from crosswire.engine.state import Engine
from crosswire.nic.unit.compile import compiled
from crosswire.risk.gate import STRATEGIES_FLATTENING, WE_FLATTEN
from crosswire.risk.prices import is_priced
from crosswire.risk.trading_state import TradingState, Why, change_state, resume
from crosswire.strategies.desk import submit
from crosswire.venues.instrument import multiply_e9, notional_e9
from crosswire.venues.order import ENGINES_OWN, IOC, OrderState, find_order
from crosswire.venues.side import BUY, SELL


@compiled
def begin_flatten(engine: Engine, now_ns: int) -> None:
    """Cancel everything and begin; what the operator asked for before gives way."""
    flatten = engine.control.flatten
    flatten.state = Flattening.ON
    flatten.number = engine.control.seen
    flatten.due_ns = now_ns
    for index in range(engine.market.count):
        flatten.begun_lots[index] = engine.gate.positions[index].position_lots
        flatten.tries[index] = 0
    resume(engine.gate, now_ns)
    change_state(engine.gate, TradingState.REDUCE_ONLY, Why.OPERATOR, now_ns)
    engine.gate.flattening = STRATEGIES_FLATTENING
    cancel_everything(engine, now_ns)


@compiled
def stop_flatten(engine: Engine, now_ns: int) -> None:
    """Begin no more tries, as another command wants something else."""
    if engine.control.flatten.state == Flattening.ON:
        end_flatten(engine, Flattening.STOPPED, now_ns)


@compiled
def forget_flatten(engine: Engine) -> None:
    """Tell no more how the last one ended, as positions may change again: "flat" would be said of what is held.

    Whoever asked for another one, and was refused, would have believed it.
    """
    flatten = engine.control.flatten
    if flatten.state == Flattening.FLAT or flatten.state == Flattening.LEFT:
        flatten.state = Flattening.NONE


@compiled
def end_flatten(engine: Engine, ending: int, now_ns: int) -> None:
    """Write what has become of every instrument that was held, cancel what is open, and tell the strategies."""
    flatten = engine.control.flatten
    flatten.state = ending
    engine.gate.flattening = 0
    flatten.left = 0
    for index in range(engine.market.count):
        left_lots = engine.gate.positions[index].position_lots
        flatten.left += left_lots != 0
        if left_lots != 0 or flatten.begun_lots[index] != 0:
            record_flattened(engine, index, left_lots, now_ns)
    if ending != Flattening.FLAT:
        cancel_everything(engine, now_ns)
    # Each forgets what it had under way: it would repair what is not there.
    for number in range(engine.seat_count):
        tell_flattened(engine.seats[number])
        send_requests(engine, now_ns)


@compiled
def go_on_flattening(engine: Engine, now_ns: int) -> None:
    """Try once more what is still held; end where nothing is, or no try is left."""
    flatten = engine.control.flatten
    flatten.due_ns = now_ns + flatten.interval_ns
    is_held = can_try = False
    for index in range(engine.market.count):
        position = engine.gate.positions[index]
        is_open = position.open_buy_lots != 0 or position.open_sell_lots != 0
        if position.position_lots == 0 and not is_open:
            continue
        is_held = True
        if flatten.tries[index] < flatten.tries_max:
            can_try = True
            flatten.tries[index] += 1
            if not is_open:
                reduce_position(engine, index, now_ns)
    if not is_held:
        end_flatten(engine, Flattening.FLAT, now_ns)
    elif not can_try:
        end_flatten(engine, Flattening.LEFT, now_ns)


@compiled
def reduce_position(engine: Engine, index: int, now_ns: int) -> None:
    """Send orders of each strategy that holds some of the account's position; what no strategy has, the first bears."""
    lots = engine.gate.positions[index].position_lots
    sign = 1 if lots > 0 else -1
    left_lots = min(abs(lots), engine.gate.limits[index].order_lots_max)
    for number in range(engine.seat_count):
        seat = engine.seats[number]
        own_lots = min(left_lots, sign * seat.desk.positions[index].position_lots)
        if own_lots > 0:
            left_lots -= own_lots
            send_reducing(engine, seat, index, SELL if sign > 0 else BUY, own_lots, now_ns)
    if left_lots > 0:
        send_reducing(engine, engine.seats[0], index, SELL if sign > 0 else BUY, left_lots, now_ns)


@compiled
def send_reducing(engine: Engine, seat: Seat, index: int, side: int, lots: int, now_ns: int) -> None:
    """Send one IOC order through the gate, without its strategy hearing of it."""
    gate = engine.gate
    top, limits, instrument = gate.tops[index], gate.limits[index], gate.instruments[index]
    if top.valid == 0 or not is_priced(top, limits.price_ticks_max) or has_requests(engine):
        return  # the try is used up: the book may be proven by the next
    best_ticks = top.bid_ticks if side == SELL else top.ask_ticks
    reach_ticks = multiply_e9(best_ticks, min(engine.control.flatten.band_e9, limits.collar_e9))
    price_ticks = max(1, best_ticks - reach_ticks) if side == SELL else best_ticks + reach_ticks
    price_ticks = min(price_ticks, limits.price_ticks_max)
    lot_notional_e9 = notional_e9(instrument, price_ticks, 1)
    if lot_notional_e9 > 0:
        lots = min(lots, limits.order_notional_max_e9 // lot_notional_e9)
    if lots <= 0:
        return
    last_id, failure = gate.last_client_order_id, seat.failure
    submit(seat.desk, index, side, price_ticks, lots, IOC, best_ticks)
    seat.failure = SILENT
    gate.flattening = WE_FLATTEN
    send_requests(engine, now_ns)
    gate.flattening = STRATEGIES_FLATTENING
    seat.failure = failure
    if gate.last_client_order_id != last_id:
        order = find_order(engine.orders, gate.last_client_order_id)
        if order.state != OrderState.FREE:
            order.is_restored = ENGINES_OWN
