"""One frame's life, the same in a backtest and on a live wire:

    wire -> ring -> feed -> book -> strategy -> risk gate -> order session -> ring -> wire
            poll    decode  apply   on_book     check        patch a frame    commit

`run` is the only loop. It is compiled once per configuration: the kinds of rings, feeds, sessions and the strategy are
types, so every call below is bound and inlined. No queue, thread, allocation, Python object or system call lies between
`poll` and `commit`.
"""

from enum import IntEnum
from typing import Annotated, Any, NamedTuple

from numba import literal_unroll

from crosswire.engine.histogram import Histogram, add_latency
from crosswire.nic.clock import advance
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.packet import PROTOCOL_TCP, PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.ring import NEVER_NS, Frame, flush, next_time_ns, poll, release
from crosswire.nic.unit.compile import compiled
from crosswire.risk.gate import Gate, Veto, check, halt, mark_positions
from crosswire.risk.position import add_fill, change_open
from crosswire.risk.records import Records, append, nearly_full
from crosswire.strategies.desk import CANCEL_ORDER, Desk, Request
from crosswire.strategies.interface import (
    Strategy,
    on_book,
    on_book_lost,
    on_fill,
    on_finish,
    on_order,
    on_timer,
    on_trade,
)
from crosswire.venues.feed import decode
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST, TRADE, Events, Market, clear_events
from crosswire.venues.order import (
    VENUES_MAX,
    Applied,
    Approval,
    Order,
    OrderState,
    OrderTable,
    Report,
    ReportKind,
    Reports,
    SessionState,
    apply_report,
    cancel_sent,
    close_order,
    end_session,
    find_order,
    free_order,
    is_alarm,
    is_open,
    keep_session,
    open_order,
    read_reports,
    start_session,
    write_cancel,
    write_mass_cancel,
    write_new,
)


class Status(IntEnum):
    """Why `run` came back to Python."""

    FINISHED = 0  # nothing more will happen
    STARVED = 1  # a replay window needs its file's next part
    RECORDS = 2  # the record buffers want draining
    STOPPED = 3  # somebody set `stop`


class LoopState(Struct):
    """The loop's own memory: what is being looked at, what was counted, what is due."""

    stop: i64  # set from another thread to end the run
    started: i64
    turns: i64
    frames: i64
    orders_sent: i64
    cancels_sent: i64
    fills: i64
    sample_interval_ns: i64
    sample_ns: i64  # when the next sample is due
    winding_down: i64  # 1: cancel everything at the next sample; 2: asked for; 3: log out at the next; 4: done
    first_ns: i64
    first_keep_ns: i64  # the earliest of `keep_ns`
    due_ns: Annotated[Array, i64, VENUES_MAX]  # when each venue's ring has something to do, as `next_time_ns` says
    keep_ns: Annotated[Array, i64, VENUES_MAX]  # when each order session wants its timer
    frame: Frame
    packet: Packet
    packet_counters: PacketCounters
    events: Events
    reports: Reports
    approval: Approval
    feed_latency: Histogram  # from the exchange's timestamp to the frame's, by book change
    order_round_trip: Histogram  # from the order's frame to its acknowledgement
    receive_to_send: Histogram  # live: from the poll that gave the trigger to the order being handed to its ring


class Venue(NamedTuple):
    """One venue's line: where its frames come from, who decodes them, who takes its orders."""

    ring: Any
    feed: Any
    session: Any


class Engine(NamedTuple):
    """What all venues share."""

    state: LoopState
    market: Market
    gate: Gate
    desk: Desk
    orders: OrderTable
    records: Records


def run(engine: Engine, venues: tuple[Venue, ...], strategy: Strategy, clock: Struct) -> int:
    """Turn until the data ends or Python is needed; returns a `Status`. Call again to go on."""
    state = engine.state
    look_at_rings(engine, venues)
    while state.stop == 0:
        if nearly_full(engine.records):
            return Status.RECORDS
        due_ns = next_due_ns(engine, len(venues))
        if due_ns == NEVER_NS:
            finish(engine, strategy)
            return Status.FINISHED
        if due_ns < 0:
            return Status.STARVED
        now_ns = advance(clock, due_ns)
        engine.desk.now_ns = now_ns
        state.turns += 1
        for venue in literal_unroll(venues):
            if state.due_ns[venue.session.venue] <= now_ns:
                if poll(venue.ring, state.frame, now_ns):
                    take_frame(engine, venue, strategy, now_ns)
                    release(venue.ring)
                state.due_ns[venue.session.venue] = next_time_ns(venue.ring)
        if engine.desk.request_count != 0 or now_ns >= timers_due_ns(engine):
            orders_sent = state.orders_sent
            send_requests(engine, venues, strategy, now_ns)
            if state.orders_sent != orders_sent:
                # In a replay no time passes inside a turn.
                add_latency(state.receive_to_send, advance(clock, now_ns) - now_ns)
            run_timers(engine, venues, strategy, now_ns)
            look_at_rings(engine, venues)
    return Status.STOPPED


@compiled
def look_at_rings(engine: Engine, venues: tuple[Venue, ...]) -> None:
    """Wake the drivers that want it and note when each ring has something to do next: sending may have changed that."""
    for venue in literal_unroll(venues):
        flush(venue.ring)
        engine.state.due_ns[venue.session.venue] = next_time_ns(venue.ring)


@compiled
def next_due_ns(engine: Engine, venue_count: int) -> int:
    """When the next thing happens on any ring, or a timer before that; negative when a replay window is starved.

    Timers alone do not keep a replay alive: with nothing left on the rings it is over.
    """
    state = engine.state
    due_ns = NEVER_NS
    for venue in range(venue_count):
        due_ns = min(due_ns, state.due_ns[venue])
    if due_ns == NEVER_NS or due_ns < 0 or state.started == 0:
        return due_ns
    return min(due_ns, max(timers_due_ns(engine), engine.desk.now_ns))


@compiled
def timers_due_ns(engine: Engine) -> int:
    """When the next timer fires: the strategy's, a session's, or the sampling of positions."""
    return min(engine.desk.timer_ns, engine.state.sample_ns, engine.state.first_keep_ns)


@compiled
def take_frame(engine: Engine, venue: Venue, strategy: Strategy, now_ns: int) -> None:
    """A received frame: market data to the books and the strategy, order answers to the orders and the strategy."""
    state = engine.state
    state.frames += 1
    if not parse_packet(state.frame, state.packet, state.packet_counters):
        return
    engine.desk.trigger_ns = state.frame.time_ns
    if state.packet.protocol == PROTOCOL_UDP:
        clear_events(state.events, engine.market)
        decode(venue.feed, state.packet, engine.market, state.events)
        tell_strategy(engine, strategy)
    elif state.packet.protocol == PROTOCOL_TCP:
        more = True
        while more:
            state.reports.count = 0
            read_reports(venue.session, state.packet, state.reports)
            engine.gate.venues[venue.session.venue].session_state = venue.session.state
            for position in range(state.reports.count):
                take_report(engine, strategy, state.reports.items[position], now_ns)
            more = venue.session.unread != 0
        if venue.session.keep_due != 0:
            state.keep_ns[venue.session.venue] = now_ns
            state.first_keep_ns = now_ns


@compiled
def tell_strategy(engine: Engine, strategy: Strategy) -> None:
    """Hand the packet's events to the strategy in wire order."""
    events = engine.state.events
    assert events.dropped == 0
    for position in range(events.count):
        event = events.items[position]
        if event.kind == BOOK_CHANGED:
            # A later message of the same packet may have lost the book again.
            if engine.market.books[event.instrument].valid != 0:
                add_latency(engine.state.feed_latency, engine.state.frame.time_ns - event.exchange_time_ns)
                on_book(strategy, engine.desk, event.instrument)
        elif event.kind == TRADE:
            on_trade(strategy, engine.desk, event.instrument, event.side, event.price_ticks, event.qty_lots)
        elif event.kind == BOOK_LOST:
            on_book_lost(strategy, engine.desk, event.instrument)


@compiled
def take_report(engine: Engine, strategy: Strategy, report: Report, now_ns: int) -> None:
    """Apply one execution report exactly once: to the order, the position, the records, then the strategy."""
    order = find_order(engine.orders, report.client_order_id)
    acked_ns, qty_lots = order.acked_ns, order.qty_lots
    outcome = apply_report(engine.orders, report, now_ns)
    if outcome == Applied.DUPLICATE or outcome == Applied.LATE:
        return
    if is_alarm(outcome):
        # The venue and we differ: book what it says happened, send nothing more.
        engine.gate.alarms += 1
        halt(engine.gate)
    if report.kind == ReportKind.ACK and outcome == Applied.UPDATED and acked_ns == 0:
        add_latency(engine.state.order_round_trip, now_ns - order.created_ns)
    if report.kind == ReportKind.AMENDED and not is_alarm(outcome):
        change_open(engine.desk.positions[order.instrument], order.side, 0, order.qty_lots - qty_lots)
    if report.kind == ReportKind.FILL and report.instrument >= 0:
        take_fill(engine, order, report, now_ns, outcome)
        on_fill(strategy, engine.desk, order, report)
    if outcome == Applied.CLOSED:
        end_order(engine, strategy, order)
    elif outcome == Applied.UPDATED and report.kind != ReportKind.FILL:
        on_order(strategy, engine.desk, order)


@compiled
def take_fill(engine: Engine, order: Order, report: Report, now_ns: int, outcome: int) -> None:
    """Book one execution."""
    instrument = engine.market.instruments[report.instrument]
    position = engine.desk.positions[report.instrument]
    if not is_alarm(outcome):
        change_open(position, report.side, 0, -report.qty_lots)
    add_fill(position, instrument, report.side, report.price_ticks, report.qty_lots, report.fee_e9)
    engine.state.fills += 1
    record = append(engine.records.fills)
    record.time_ns = now_ns
    record.exchange_time_ns = report.exchange_time_ns
    record.client_order_id = report.client_order_id
    record.execution_id = report.execution_id
    record.instrument = report.instrument
    record.side = report.side
    record.price_ticks = report.price_ticks
    record.qty_lots = report.qty_lots
    record.decision_ticks = order.decision_ticks
    record.fee_e9 = report.fee_e9
    record.is_maker = report.is_maker
    record.position_lots = position.position_lots
    record.trade_id = order.trade_id


@compiled
def end_order(engine: Engine, strategy: Strategy, order: Order) -> None:
    """An order that was sent has ended: nothing of it is open any more. Its slot is free once the strategy knows."""
    change_open(engine.desk.positions[order.instrument], order.side, -1, order.filled_lots - order.qty_lots)
    engine.gate.venues[order.venue].open_orders -= 1
    record_order(engine.records, order)
    on_order(strategy, engine.desk, order)
    free_order(engine.orders, order)


@compiled
def record_order(records: Records, order: Order) -> None:
    """Write an order's whole life down."""
    record = append(records.orders)
    record.created_ns = order.created_ns
    record.trigger_ns = order.trigger_ns
    record.acked_ns = order.acked_ns
    record.closed_ns = order.closed_ns
    record.client_order_id = order.client_order_id
    record.instrument = order.instrument
    record.side = order.side
    record.time_in_force = order.time_in_force
    record.price_ticks = order.price_ticks
    record.qty_lots = order.qty_lots
    record.filled_lots = order.filled_lots
    record.state = order.state
    record.reason = order.reason
    record.trade_id = order.trade_id


@compiled
def send_requests(engine: Engine, venues: tuple[Venue, ...], strategy: Strategy, now_ns: int) -> None:
    """Take what the strategy asked for through the gate and onto the wire, in the order asked.

    Answers to vetoed requests may make the strategy ask for more; those are taken too, REQUESTS_MAX in all.
    """
    desk = engine.desk
    position = 0
    while position < desk.request_count:
        request = desk.requests[position]
        position += 1
        if request.kind == CANCEL_ORDER:
            order = find_order(engine.orders, request.client_order_id)
            # An order that has ended meanwhile needs none.
            if is_open(order):
                send_cancel(engine, venues, order, now_ns)
        else:
            send_order(engine, venues, strategy, request, now_ns)
    desk.request_count = 0


@compiled
def send_order(engine: Engine, venues: tuple[Venue, ...], strategy: Strategy, request: Request, now_ns: int) -> None:
    """One new order: gate, frame, wire; a veto comes back to the strategy at once."""
    gate = engine.gate
    order = open_order(
        engine.orders,
        engine.market.instruments[request.instrument].venue,
        request.instrument,
        request.side,
        request.time_in_force,
        request.price_ticks,
        request.qty_lots,
        now_ns,
    )
    is_tabled = order.state != OrderState.FREE
    if not is_tabled:
        # All ORDERS_MAX slots are taken: the strategy hears of the veto through the order that is nobody's.
        order.instrument = request.instrument
        order.side = request.side
        order.time_in_force = request.time_in_force
        order.price_ticks = request.price_ticks
        order.qty_lots = request.qty_lots
        order.created_ns = now_ns
    order.decision_ticks = request.decision_ticks
    order.trade_id = request.trade_id
    order.tag = request.tag
    order.trigger_ns = engine.desk.trigger_ns
    veto: int = Veto.OPEN_ORDERS
    if is_tabled:
        veto = check(
            gate,
            engine.state.approval,
            order.client_order_id,
            request.instrument,
            request.side,
            request.time_in_force,
            request.price_ticks,
            request.qty_lots,
            now_ns,
        )
    else:
        gate.vetoes[veto] += 1
    if veto == Veto.NONE:
        sent = False
        for venue in literal_unroll(venues):
            if venue.session.venue == order.venue:
                sent = write_new(venue.session, venue.ring, engine.state.approval, now_ns)
        if sent:
            engine.state.orders_sent += 1
            gate.venues[order.venue].open_orders += 1
            change_open(engine.desk.positions[order.instrument], order.side, 1, order.qty_lots)
            return
        veto = Veto.NOT_SENT
        gate.vetoes[veto] += 1
    close_order(order, OrderState.VETOED, veto, now_ns)
    record_order(engine.records, order)
    on_order(strategy, engine.desk, order)
    if is_tabled:
        free_order(engine.orders, order)
    else:
        order.state = OrderState.FREE


@compiled
def send_cancel(engine: Engine, venues: tuple[Venue, ...], order: Order, now_ns: int) -> None:
    """One cancel of an open order."""
    # Whether it is open is the caller's question: numba can't type a function that returns before its literal_unroll.
    sent = False
    for venue in literal_unroll(venues):
        if venue.session.venue == order.venue:
            sent = write_cancel(venue.session, venue.ring, order.client_order_id, order.instrument, now_ns)
    if sent:
        cancel_sent(order)
        engine.state.cancels_sent += 1


@compiled
def run_timers(engine: Engine, venues: tuple[Venue, ...], strategy: Strategy, now_ns: int) -> None:
    """What is due by the clock: session logons and heartbeats, samples and the loss limit, the strategy's timer."""
    state = engine.state
    if state.started == 0:
        state.started = 1
        state.first_ns = now_ns
    for venue in literal_unroll(venues):
        session = venue.session
        if now_ns >= state.keep_ns[session.venue]:
            if session.state == SessionState.CLOSED:
                start_session(session, venue.ring, now_ns)
            state.keep_ns[session.venue] = keep_session(session, venue.ring, now_ns)
            engine.gate.venues[session.venue].session_state = session.state
    state.first_keep_ns = NEVER_NS
    for number in range(len(venues)):
        state.first_keep_ns = min(state.first_keep_ns, state.keep_ns[number])
    if state.winding_down == 1 or state.winding_down == 3:
        state.winding_down += 1
        for venue in literal_unroll(venues):
            if state.winding_down == 2:
                write_mass_cancel(venue.session, venue.ring, now_ns)
            else:
                end_session(venue.session, venue.ring, now_ns)
    if now_ns >= state.sample_ns:
        state.sample_ns = now_ns + state.sample_interval_ns
        mark_positions(engine.gate)
        take_samples(engine, now_ns)
    if now_ns >= engine.desk.timer_ns:
        engine.desk.timer_ns = NEVER_NS
        on_timer(strategy, engine.desk)
        send_requests(engine, venues, strategy, now_ns)


@compiled
def take_samples(engine: Engine, now_ns: int) -> None:
    """One row an instrument for the report's time series."""
    for index in range(engine.market.count):
        book = engine.market.books[index]
        position = engine.desk.positions[index]
        record = append(engine.records.samples)
        record.time_ns = now_ns
        record.instrument = index
        record.valid = book.valid
        record.bid_ticks = book.bid_ticks
        record.ask_ticks = book.ask_ticks
        record.position_lots = position.position_lots
        record.cash_e9 = position.cash_e9
        record.fees_e9 = position.fees_e9


@compiled
def finish(engine: Engine, strategy: Strategy) -> None:
    """The last turn: the strategy closes its records; positions are marked and sampled once more."""
    mark_positions(engine.gate)
    take_samples(engine, engine.desk.now_ns)
    on_finish(strategy, engine.desk)
    engine.desk.request_count = 0
