"""One frame's life, the same in a backtest and on a live wire:

    wire -> ring -> feed -> book -> strategy -> risk gate -> order session -> ring -> wire
            poll    decode  apply   on_book     check        patch a frame    commit

`run` is the only loop, and its machine code is the same in every run. What depends on a configuration lies behind two
contracts, each a unit of its own: a venue (`engine/venue.py`: ring, feed, books, order session) and a strategy
(`engine/seat.py`). What becomes of orders, from a strategy's request to the booked answer, is in `engine/orders.py`. No
queue, thread, allocation, Python object or system call lies between `poll` and `commit`.
"""

from enum import IntEnum

from crosswire.engine.cancels import cancel_everything, send_due_cancel, send_due_cancels
from crosswire.engine.control.obey import hear_operator
from crosswire.engine.orders import (
    note_links,
    note_numbers,
    note_session,
    send_requests,
    take_mail,
    take_reports,
)
from crosswire.engine.records import (
    note_turn,
    record_book,
    record_closed,
    record_open_orders,
    record_sample,
    record_state,
)
from crosswire.engine.seat import tell_events, tell_finish, tell_named_timer, tell_time
from crosswire.engine.standstill import age_books, face_standstill
from crosswire.engine.state import Engine
from crosswire.engine.venue import (
    MARKET_DATA,
    NOTHING,
    REPORTS,
    Venue,
    give_frame_back,
    keep_logged_on,
    log_on,
    log_out,
    take_turn,
    wake_ring,
)
from crosswire.nic.clock import advance
from crosswire.nic.histogram import add_latency
from crosswire.nic.journal.journal import wants_segment
from crosswire.nic.memory.struct import Struct
from crosswire.nic.rings.ring import NEVER_NS, is_quiet
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.nic.unit.unit import Unit, unit_of
from crosswire.risk.ledger import mark_positions, see_book
from crosswire.risk.trading_state import TradingState, change_state
from crosswire.strategies.desk import TIMERS_MAX
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST
from crosswire.venues.session import (
    SessionState,
)


class Status(IntEnum):
    """Why `run` came back to Python."""

    FINISHED = 0  # nothing more will happen
    STARVED = 1  # a replay window needs its file's next part
    JOURNAL = 2  # the journal wants its next segment
    STOPPED = 3  # somebody set `stop`
    TURNED = 4  # of one turn: it is done, and Python is not needed
    FAILED = 5  # a strategy has raised something


def run(engine: Engine, clock: Struct) -> int:
    """Turn until the data ends or Python is needed; return a `Status`. Call again to go on."""
    look_at_rings(engine)
    status: int = Status.TURNED
    while status == Status.TURNED:
        status = turn_once(engine, clock)
    return status


@inlined
def turn_once(engine: Engine, clock: Struct) -> int:
    """Do what is due first, on every ring and by every timer; return a `Status`."""
    state = engine.state
    if state.stop != 0:
        return Status.STOPPED
    if wants_segment(engine.journal):
        return Status.JOURNAL
    due_ns = next_due_ns(engine)
    if due_ns == NEVER_NS:
        if not record_open_orders(engine, state.now_ns):
            return Status.JOURNAL
        finish(engine)
        return Status.FINISHED
    if due_ns < 0:
        return Status.STARVED
    now_ns = advance(clock, due_ns)
    if state.behind_ns != 0 or now_ns - state.now_ns > state.standstill_ns:
        face_standstill(engine, now_ns)
    tell_now(engine, now_ns)
    state.turns += 1
    acted = False
    taken = 0
    for place in range(engine.venue_count):
        number = engine.turn_order[place]
        venue = engine.venues[number]
        # Most rings have nothing most of the time: a look at one word instead of a poll of 85 instructions.
        if venue.due_ns <= now_ns and not is_quiet(venue.watch, now_ns):
            frames = state.frames
            take_frame(engine, venue, now_ns)
            taken |= (state.frames - frames) << number
            orders_sent = state.orders_sent
            # Before the next frame is looked at: an order carries the frame that it answers.
            if send_requests(engine, now_ns):
                if state.orders_sent != orders_sent:
                    # In a replay no time passes inside a turn.
                    add_latency(state.receive_to_send, advance(clock, now_ns) - now_ns)
                acted = True
            # Behind the orders, not before them: this is time that no order waits for.
            if state.frames != frames:
                give_frame_back(venue, now_ns)
            if wants_segment(engine.journal):
                break
    acted = acted or now_ns >= timers_due_ns(engine)
    if acted:
        tell_trigger(engine, 0)
        run_timers(engine, now_ns)
        note_state(engine, now_ns)
        look_at_rings(engine)
    if acted or taken != 0:
        note_turn(engine, taken, acted, now_ns)
    return Status.FAILED if acted and state.strategy_failed != 0 else Status.TURNED


@compiled
def look_at_rings(engine: Engine) -> None:
    """Wake the drivers that want it and note when each ring has something to do next: sending may have changed that."""
    for number in range(engine.venue_count):
        wake_ring(engine.venues[number], engine.state.now_ns)


@compiled
def next_due_ns(engine: Engine) -> int:
    """Tell when a ring or a timer has something to do next; negative when a replay window is starved.

    Timers alone do not keep a replay alive: with nothing left on the rings it is over. A loop that stood still looks
    once more when it has read all that waited: then its timers are due.
    """
    due_ns = NEVER_NS
    for number in range(engine.venue_count):
        due_ns = min(due_ns, engine.venues[number].due_ns)
    if due_ns == NEVER_NS or due_ns < 0 or engine.state.started == 0:
        return due_ns
    if engine.state.behind_ns != 0:
        return min(due_ns, engine.state.now_ns)
    return min(due_ns, max(timers_due_ns(engine), engine.state.now_ns))


@compiled
def timers_due_ns(engine: Engine) -> int:
    """Tell when the next timer fires: a strategy's, a session's, or the sampling of positions; 0 to leave at once."""
    if engine.state.winding_down == 1 or engine.state.winding_down == 3:
        return 0
    if engine.state.behind_ns != 0:
        return NEVER_NS
    due_ns = min(engine.state.sample_ns, engine.state.first_keep_ns)
    for number in range(engine.seat_count):
        desk = engine.seats[number].desk
        due_ns = min(due_ns, desk.timer_ns, desk.first_timer_ns)
    return due_ns


@compiled
def tell_now(engine: Engine, now_ns: int) -> None:
    """Tell all strategies the time of this turn."""
    engine.state.now_ns = now_ns
    for number in range(engine.seat_count):
        engine.seats[number].desk.now_ns = now_ns


@compiled
def tell_trigger(engine: Engine, time_ns: int) -> None:
    """Tell all strategies the receive time of the frame that is acted on; 0: none, but the clock."""
    for number in range(engine.seat_count):
        engine.seats[number].desk.trigger_ns = time_ns


@compiled
def take_frame(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Take a venue's next frame: market data to books and strategies, answers to the orders and their strategies.

    One that was taken is to be given back.
    """
    state = engine.state
    kind = take_turn(venue, now_ns)
    if kind == NOTHING:
        return
    state.frames += 1
    if kind == MARKET_DATA:
        take_events(engine)
    elif kind == REPORTS:
        tell_trigger(engine, engine.inbox.frame.time_ns)
        take_reports(engine, venue, now_ns)


@compiled
def take_events(engine: Engine) -> None:
    """Give a packet's events to every strategy in turn."""
    events = engine.inbox.events
    for position in range(events.count):
        event = events.items[position]
        see_book(engine.gate, event.instrument, engine.market.books[event.instrument], engine.state.now_ns)
        if event.kind == BOOK_CHANGED and engine.market.books[event.instrument].valid != 0:
            add_latency(engine.state.feed_latency, engine.inbox.frame.time_ns - event.exchange_time_ns)
            note_book(engine, event.instrument, 0)
        elif event.kind == BOOK_LOST:
            note_book(engine, event.instrument, 1)
    if engine.state.behind_ns != 0:
        age_books(engine, events)
    for number in range(engine.seat_count):
        seat = engine.seats[number]
        seat.desk.trigger_ns = engine.inbox.frame.time_ns
        tell_events(seat, events)


@inlined
def note_book(engine: Engine, instrument: int, is_lost: int) -> None:
    """Write down that a book was lost, or is proven again."""
    if engine.state.is_lost[instrument] != is_lost:
        engine.state.is_lost[instrument] = is_lost
        record_book(engine, instrument, 1 - is_lost, engine.state.now_ns)


@compiled
def run_timers(engine: Engine, now_ns: int) -> None:
    """Do what is due by the clock: session logons, heartbeats, samples, the loss limit, the strategies' timers."""
    state = engine.state
    if state.started == 0:
        state.started = 1
        state.first_ns = now_ns
    if state.behind_ns == 0:
        keep_sessions(engine, now_ns)
    if state.winding_down == 1 or state.winding_down == 3:
        state.winding_down += 1
        if state.winding_down == 2:
            change_state(engine.gate, TradingState.CANCEL_ONLY, state.leaving_why, now_ns)
            cancel_everything(engine, now_ns)
        else:
            for number in range(engine.venue_count):
                log_out(engine.venues[number], now_ns)
    state.strategy_failed = 0
    if state.behind_ns != 0:
        return  # only to leave: nothing else waits for no frame
    if now_ns >= state.sample_ns:
        state.sample_ns = now_ns + state.sample_interval_ns
        take_samples(engine, now_ns)
    for number in range(engine.seat_count):
        seat = engine.seats[number]
        if now_ns >= seat.desk.timer_ns:
            seat.desk.timer_ns = NEVER_NS
            state.strategy_failed |= seat.failure != 0
            tell_time(seat)
            send_requests(engine, now_ns)
        for _ in range(TIMERS_MAX):
            if now_ns < seat.desk.first_timer_ns:
                break
            tell_named_timer(seat)
            send_requests(engine, now_ns)


@compiled
def keep_sessions(engine: Engine, now_ns: int) -> None:
    """Let the order sessions that are due log on, send heartbeats and judge silence; hear the operator."""
    state = engine.state
    state.first_keep_ns = hear_operator(engine, now_ns)
    for number in range(engine.venue_count):
        venue = engine.venues[number]
        if now_ns >= venue.keep_ns:
            venue.session.late_ns = now_ns - venue.keep_ns if venue.keep_ns != 0 else 0
            if venue.session.state == SessionState.CLOSED:
                log_on(venue, now_ns)
            keep_logged_on(venue, now_ns)
            note_session(engine, venue, now_ns)
            note_links(engine, venue, now_ns)
            note_numbers(engine, venue, now_ns)
            if venue.session.awaits_account != 0:
                take_mail(engine, venue, now_ns)
            if venue.cancel_due != 0:
                send_due_cancel(engine, venue, now_ns)
            if venue.cancels_due != 0:
                send_due_cancels(engine, venue, now_ns)
        state.first_keep_ns = min(state.first_keep_ns, venue.keep_ns)


@compiled
def note_state(engine: Engine, now_ns: int) -> None:
    """Write down a change of what may be sent."""
    gate, state = engine.gate, engine.state
    packed = gate.state | gate.why << 4 | state.winding_down << 8 | gate.alarms << 16
    if packed != state.recorded_state:
        state.recorded_state = packed
        record_state(engine, now_ns)


@compiled
def take_samples(engine: Engine, now_ns: int) -> None:
    """Mark all positions, and write one row for each instrument, for the report's time series."""
    if mark_positions(engine.gate, now_ns):
        cancel_everything(engine, now_ns)
    for index in range(engine.market.count):
        for number in range(engine.seat_count):
            engine.seats[number].desk.positions[index].mark_ticks = engine.gate.positions[index].mark_ticks
        record_sample(engine, index, now_ns)


@compiled
def finish(engine: Engine) -> None:
    """Mark and sample positions once more, and let the strategies close their records: the last turn."""
    take_samples(engine, engine.state.now_ns)
    for number in range(engine.seat_count):
        tell_finish(engine.seats[number])
        engine.seats[number].desk.request_count = 0
    record_closed(engine, engine.state.now_ns)


def loop_unit(clock: type[Struct]) -> Unit:
    """Describe the unit of the loop itself: the same in every run with this clock."""
    return unit_of(f"loop-{clock.__name__}", {run: (Engine, clock)})
