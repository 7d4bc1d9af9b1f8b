"""`Watch`: what must hold after every turn of the loop, whatever has gone wrong around it.

It is judged from what the engine can't have made up: the limits as configured, sums over the order table, and the books
that the exchange published (`Truth`).
"""

from enum import IntEnum
from typing import Annotated

from crosswire.engine.loop import Status, look_at_rings, turn_once
from crosswire.engine.simulate.truth import Truth, digest_of_book, was_true
from crosswire.engine.simulate.world_clock import WorldClock, pass_time
from crosswire.engine.state import Engine
from crosswire.nic.clock import ReplayClock
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Array, Reference, Struct, i64, view
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.unit import Unit, unit_of
from crosswire.risk.records import INSTRUMENTS_MAX
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.order import (
    ENGINES_OWN,
    ORDERS_BITS,
    ORDERS_MAX,
    VENUES_MAX,
    Order,
    OrderState,
    is_open,
    open_lots,
)
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY, sign_of

VIOLATIONS_MAX = 16  # of one seed that are kept; more are counted


class Invariant(IntEnum):
    """What must hold: six of them after each turn, the others whenever nothing is under way, and at the end."""

    OPEN_IS_THE_SUM = 0  # what is open of an instrument is the sum over its orders, in both accounts
    LIMITS_HOLD = 1  # with all that is open filled, either way, every position is within its limit
    BOOKS_ARE_TRUE = 2  # a proven book is one that the exchange has had
    SENT_ON_PROVEN_BOOK = 3  # an order leaves only on a book that was proven
    ALARM_SILENCES = 4  # after an alarm no order, quote or amend leaves
    POSITIONS_AGREE = 5  # the venue's own account of positions and fills is ours, or an alarm stands
    ORDERS_AGREE = 6  # the venue's own account of open orders is ours, or an alarm stands
    FILLS_ONCE = 7  # no execution is booked twice, and positions are the sum of them
    ALARM_CANCELS = 8  # soon after an alarm no order of ours is open where we are connected
    END_CANCELS = 9  # when the engine has left, no order of ours is open where it was connected
    ALL_ANSWERED = 10  # while nothing is under way, no order waits for an answer
    ALARMS_ARE_TRUE = 11  # what an honest venue says is no reason for an alarm
    JOURNAL_TELLS = 12  # positions and open orders by the journal alone are those in memory
    RESTART_AGREES = 13  # after a restart, or a loss, the venue's account is ours before the first order
    IDS_ONCE = 14  # no order id is given twice, by no process
    LOSS_ALARMS = 15  # while a session is lost with orders open, an alarm stands
    LIES_ALARM = 16  # once a lie was heard, an alarm of its kind stands
    LEAVING_SILENCES = 17  # once the engine is leaving, or its journal has no room, no order, quote or amend leaves
    NO_RECORD_LOST = 18  # with a full disk the journal's last room holds all that is recorded
    DISPLACED_STAYS = 19  # where another client took our place we make no other connection
    TIME_GOES_ON = 20  # the engine's time never goes back, whatever its host's clock does
    TURNS_TELL = 21  # the journal tells whose frame was taken in which turn, and when that was
    SENT_ON_RECENT_BOOK = 22  # an order leaves only if something of its venue has come within a book's greatest age
    STANDSTILL_READS = 23  # an engine that stood still reads what waits before it gives anybody up for silence
    SENT_WITHIN_LIMITS = 24  # no order is too large, and its venue has no more open, and is sent no more a second
    PAUSE_SILENCES = 25  # while the operator allows cancels only, no order, quote or amend leaves
    FLATTEN_IS_ALONE = 26  # while positions are traded away, no strategy's order leaves
    COMMANDS_HOLD = 27  # a command is answered within some ms, and what the answer says is so: all of it or nothing
    FLATTEN_ENDS = 28  # positions are nothing then, or it says which are not


class Violation(Struct):
    """Something that did not hold."""

    invariant: i64
    time_ns: i64
    turn: i64
    place: i64  # instrument, or venue
    found: i64
    expected: i64


class Watch(Struct):
    """What was seen before a turn, and what did not hold after one."""

    clock: Annotated[WorldClock, Reference]
    now_ns: i64  # the engine's
    orders_sent: i64
    amends_sent: i64
    orders_made: i64  # `OrderTable.counter`
    alarms: i64
    is_paused: i64  # 1: the operator allows cancels only
    is_flattening: i64
    has_lied: i64  # 1: an exchange has; a position may be what no order of ours can have made
    is_leaving: i64  # 1: the engine was told to, or to go on without another segment of its journal
    violation_count: i64
    violations: Annotated[Array, Violation, VIOLATIONS_MAX]
    evaluated: Annotated[Array, i64, len(Invariant)]
    second_ns: Annotated[Array, i64, VENUES_MAX]  # when the second began, by the engine's clock, in which are counted:
    sent: Annotated[Array, i64, VENUES_MAX]  # orders
    truths: Annotated[Array, i64, VENUES_MAX]  # addresses
    was_valid: Annotated[Array, i64, INSTRUMENTS_MAX]
    digests: Annotated[Array, i64, INSTRUMENTS_MAX]  # of the book when it was last compared
    open_orders: Annotated[Array, i64, INSTRUMENTS_MAX]  # summed over the order table
    buy_lots: Annotated[Array, i64, INSTRUMENTS_MAX]
    sell_lots: Annotated[Array, i64, INSTRUMENTS_MAX]


def run_watched(engine: Engine, clock: ReplayClock, watch: Watch, until_ns: int) -> int:
    """Turn as `run` does, until a true time has come; judge every turn. TURNED: the time has come."""
    look_at_rings(engine)
    status: int = Status.TURNED
    while status == Status.TURNED and watch.clock.true_ns < until_ns:
        note_before(watch, engine)
        status = turn_once(engine, clock)
        pass_time(watch.clock, engine.state.now_ns)
        judge_turn(watch, engine)
    return status


@compiled
def violate(watch: Watch, engine: Engine, invariant: int, place: int, found: int, expected: int) -> None:
    """Note that something does not hold."""
    if watch.violation_count < VIOLATIONS_MAX:
        violation = watch.violations[watch.violation_count]
        violation.invariant = invariant
        violation.time_ns = watch.clock.true_ns
        violation.turn = engine.state.turns
        violation.place = place
        violation.found = found
        violation.expected = expected
    watch.violation_count += 1


@compiled
def note_before(watch: Watch, engine: Engine) -> None:
    """Note what a turn may change."""
    watch.now_ns = engine.state.now_ns
    watch.orders_sent = engine.state.orders_sent
    watch.amends_sent = engine.state.amends_sent
    watch.orders_made = engine.orders.counter
    watch.alarms = engine.gate.alarms
    watch.is_paused = engine.gate.asked[Why.OPERATOR] >= TradingState.CANCEL_ONLY
    watch.is_flattening = engine.gate.flattening
    for index in range(engine.market.count):
        watch.was_valid[index] = engine.market.books[index].valid


@compiled
def judge_turn(watch: Watch, engine: Engine) -> None:
    """Judge what is there after a turn."""
    watch.evaluated[Invariant.TIME_GOES_ON] += 1
    if engine.state.now_ns < watch.now_ns:
        violate(watch, engine, Invariant.TIME_GOES_ON, 0, engine.state.now_ns, watch.now_ns)
    judge_books(watch, engine)
    has_sent = engine.state.orders_sent != watch.orders_sent or engine.state.amends_sent != watch.amends_sent
    if watch.alarms != 0:
        watch.evaluated[Invariant.ALARM_SILENCES] += 1
        if has_sent:
            violate(watch, engine, Invariant.ALARM_SILENCES, 0, engine.state.orders_sent, watch.orders_sent)
    if watch.is_leaving != 0:
        watch.evaluated[Invariant.LEAVING_SILENCES] += 1
        if has_sent:
            violate(watch, engine, Invariant.LEAVING_SILENCES, 0, engine.state.orders_sent, watch.orders_sent)
    if watch.is_paused != 0:
        watch.evaluated[Invariant.PAUSE_SILENCES] += 1
        if has_sent:
            violate(watch, engine, Invariant.PAUSE_SILENCES, 0, engine.state.orders_sent, watch.orders_sent)
    sum_orders(watch, engine, has_sent)
    if has_sent:
        judge_open_orders(watch, engine)
    for number in range(engine.venue_count):
        if engine.venues[number].session.state == SessionState.LOST:
            judge_loss(watch, engine, number)
    for index in range(engine.market.count):
        judge_open(watch, engine, index)
        if engine.gate.alarms == 0:
            judge_limit(watch, engine, index)


@compiled
def judge_books(watch: Watch, engine: Engine) -> None:
    """Hold each proven book that has changed against those that the exchange has had."""
    for index in range(engine.market.count):
        book = engine.market.books[index]
        if book.valid == 0:
            continue
        digest = digest_of_book(book)
        if digest != watch.digests[index]:
            watch.digests[index] = digest
            watch.evaluated[Invariant.BOOKS_ARE_TRUE] += 1
            truth = view(Truth, watch.truths[engine.market.instruments[index].venue])
            if not was_true(truth, index, digest):
                violate(watch, engine, Invariant.BOOKS_ARE_TRUE, index, book.update_id, 0)


@compiled
def sum_orders(watch: Watch, engine: Engine, has_sent: bool) -> None:
    """Sum up what is open over the order table, and judge the orders that this turn has sent."""
    for index in range(engine.market.count):
        watch.open_orders[index] = watch.buy_lots[index] = watch.sell_lots[index] = 0
    left = engine.orders.count
    for slot in range(ORDERS_MAX):
        if left == 0:
            break
        order = engine.orders.orders[slot]
        if order.state == OrderState.FREE:
            continue
        left -= 1
        if is_open(order):
            watch.open_orders[order.instrument] += 1
            if order.side == BUY:
                watch.buy_lots[order.instrument] += open_lots(order)
            else:
                watch.sell_lots[order.instrument] += open_lots(order)
        if has_sent and order.client_order_id >> ORDERS_BITS > watch.orders_made:
            judge_sent(watch, engine, order)


@compiled
def judge_sent(watch: Watch, engine: Engine, order: Order) -> None:
    """Judge an order that has just left: a later frame of the same turn may have lost its book, or proven it."""
    watch.evaluated[Invariant.SENT_ON_PROVEN_BOOK] += 1
    if watch.is_flattening != 0:
        watch.evaluated[Invariant.FLATTEN_IS_ALONE] += 1
        if order.is_restored != ENGINES_OWN:
            violate(watch, engine, Invariant.FLATTEN_IS_ALONE, order.instrument, order.strategy, 0)
    if watch.was_valid[order.instrument] == 0 and engine.market.books[order.instrument].valid == 0:
        violate(watch, engine, Invariant.SENT_ON_PROVEN_BOOK, order.instrument, order.client_order_id, 0)
    judge_terms(watch, engine, order)
    if watch.clock.true_ns < watch.clock.slow_until_ns:
        return  # the engine's clock is slow: nothing is as old by it as it is
    watch.evaluated[Invariant.SENT_ON_RECENT_BOOK] += 1
    arrived_ns = watch.clock.arrived_ns[engine.market.instruments[order.instrument].venue]
    age_max_ns = engine.gate.limits[order.instrument].book_age_max_ns
    if watch.clock.true_ns - arrived_ns > age_max_ns:
        age_ns = watch.clock.true_ns - arrived_ns
        violate(watch, engine, Invariant.SENT_ON_RECENT_BOOK, order.instrument, age_ns, age_max_ns)


@compiled
def judge_terms(watch: Watch, engine: Engine, order: Order) -> None:
    """Hold an order that has just left against the limits of its size, and of its venue's orders a second."""
    watch.evaluated[Invariant.SENT_WITHIN_LIMITS] += 1
    order_lots_max = engine.gate.limits[order.instrument].order_lots_max
    if order.qty_lots > order_lots_max:
        violate(watch, engine, Invariant.SENT_WITHIN_LIMITS, order.instrument, order.qty_lots, order_lots_max)
    since_ns = engine.state.now_ns - watch.second_ns[order.venue]
    if since_ns < 0 or since_ns >= NS_PER_S:
        watch.second_ns[order.venue] = engine.state.now_ns
        watch.sent[order.venue] = 0
    watch.sent[order.venue] += 1
    bucket = engine.gate.venues[order.venue].bucket
    sent_max = bucket.burst + bucket.per_second
    if watch.sent[order.venue] > sent_max:
        violate(watch, engine, Invariant.SENT_WITHIN_LIMITS, order.venue, watch.sent[order.venue], sent_max)


@compiled
def judge_open_orders(watch: Watch, engine: Engine) -> None:
    """Hold the number of orders open at each venue against its limit."""
    for number in range(engine.venue_count):
        count = 0
        for index in range(engine.market.count):
            if engine.market.instruments[index].venue == number:
                count += watch.open_orders[index]
        if count > engine.gate.venues[number].open_orders_max:
            violate(
                watch, engine, Invariant.SENT_WITHIN_LIMITS, number, count, engine.gate.venues[number].open_orders_max
            )


@compiled
def judge_loss(watch: Watch, engine: Engine, venue: int) -> None:
    """Judge a session that is lost: what becomes of orders that are open there, nobody tells us."""
    watch.evaluated[Invariant.LOSS_ALARMS] += 1
    open_orders = 0
    for index in range(engine.market.count):
        if engine.market.instruments[index].venue == venue:
            open_orders += watch.open_orders[index]
    if open_orders != 0 and engine.gate.alarms == 0:
        violate(watch, engine, Invariant.LOSS_ALARMS, venue, open_orders, 0)


@compiled
def judge_open(watch: Watch, engine: Engine, index: int) -> None:
    """Hold what the gate's account and the strategies' own say is open against the sum over the orders."""
    watch.evaluated[Invariant.OPEN_IS_THE_SUM] += 1
    account = engine.gate.positions[index]
    own_buy_lots = own_sell_lots = own_position_lots = 0
    for number in range(engine.seat_count):
        own = engine.seats[number].desk.positions[index]
        own_buy_lots += own.open_buy_lots
        own_sell_lots += own.open_sell_lots
        own_position_lots += own.position_lots
    judge_sum(watch, engine, index, account.open_orders, watch.open_orders[index])
    judge_sum(watch, engine, index, account.open_buy_lots, watch.buy_lots[index])
    judge_sum(watch, engine, index, account.open_sell_lots, watch.sell_lots[index])
    judge_sum(watch, engine, index, own_buy_lots, watch.buy_lots[index])
    judge_sum(watch, engine, index, own_sell_lots, watch.sell_lots[index])
    judge_sum(watch, engine, index, own_position_lots, account.position_lots)


@compiled
def judge_sum(watch: Watch, engine: Engine, index: int, found: int, expected: int) -> None:
    """Hold one figure of an instrument's accounts against the sum that it must be."""
    if found != expected:
        violate(watch, engine, Invariant.OPEN_IS_THE_SUM, index, found, expected)


@compiled
def judge_limit(watch: Watch, engine: Engine, index: int) -> None:
    """Take all that is open as filled, on either side alone, and hold the position against its limit."""
    watch.evaluated[Invariant.LIMITS_HOLD] += 1
    limit_lots = engine.gate.limits[index].position_lots_max
    for side in range(2):
        sign = sign_of(side)
        open_now_lots = watch.buy_lots[index] if side == BUY else watch.sell_lots[index]
        worst_lots = sign * engine.gate.positions[index].position_lots + open_now_lots
        if worst_lots > limit_lots and (watch.has_lied == 0 or open_now_lots != 0):
            violate(watch, engine, Invariant.LIMITS_HOLD, index, worst_lots, limit_lots)


def watch_unit() -> Unit:
    """Describe the unit of the loop under watch."""
    return unit_of("watch", {run_watched: (Engine, ReplayClock, Watch, "i64")})
