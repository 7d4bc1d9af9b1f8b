"""The script that pulls the triggers, and where time is taken, for `tests.bench.order_entry`.

Everything happens in one thread: between two turns of the loop, where it reads its clock, the exchanges answer and the
next frame is put into a receive ring. So the counter is read with the descriptor just published, and the next thing
that happens is the loop's own turn: clock, polls, frame. The C program is driven by the same script.
"""

import ctypes
from typing import Annotated, Any

from llvmlite import ir

from crosswire.engine.venue import (
    NOTHING,
    Venue,
    give_frame_back,
    keep_logged_on,
    log_on,
    send_new_order,
    take_turn,
    wake_ring,
)
from crosswire.nic.clock import LiveClock, advance, time_at
from crosswire.nic.memory.raw import cycle_count, load_i64, store_i64
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, i64
from crosswire.nic.packet import Packet
from crosswire.nic.rings.ring import Frame, commit, flush, poll, release
from crosswire.nic.rings.xdp.af_xdp import AfXdpRing, commit_af_xdp
from crosswire.nic.unit.compile import compiled, lowers
from crosswire.strategies.cross_spread import CrossSpread, look
from crosswire.strategies.desk import Desk
from crosswire.strategies.interface import on_book
from crosswire.venues.feed import decode
from crosswire.venues.market import Events, Market
from crosswire.venues.order import (
    Approval,
)
from crosswire.venues.session import (
    SessionState,
    write_new,
)
from crosswire.venues.side import ASK, BID, BUY, SELL
from crosswire.venues.starbase.feed.feed import decode_starbase
from crosswire.venues.starbase.feed.state import StarbaseFeed
from crosswire.venues.starbase.orders.session import write_starbase_new
from crosswire.venues.starbase.orders.state import StarbaseSession
from tests.bench.order_entry_bed import has_read_all
from tests.bench.order_entry_peer import (
    ORDER_FRAME_BYTES,
    Peer,
    open_market,
    send_heartbeat,
    send_move,
    send_quiet,
    serve,
)
from tests.bench.quiet_book import DEPTH, draw
from tests.bench.tick_to_trade_stamps import cycles_at_end, cycles_at_start

VENUES = 2
LEGS = 2  # orders that one trigger sends
HELD_TRADES_MAX = 10  # net, before the triggers turn to the other direction
PATIENCE_TURNS = 100_000
LOGON_PATIENCE_NS = 5_000_000_000

# Places of a trigger's stage stamps, in the order of the line; the C program's are the same.
DECODING, DECODED, LOOKING, DECIDED, CHECKED, SENT = range(6)
MARKS = 6

OPENING, QUIET, FILLING, DONE, FAILED = range(5)


class Script(Struct):
    """What happens when, and what was measured, in cycles."""

    phase: i64
    triggers: i64
    done: i64
    opened: i64  # levels told
    is_snapshot: i64  # 1: the book is told first as a snapshot, and logons are waited for
    quiet_left: i64  # turns of quiet frames before the next trigger
    quiet_max: i64
    held_trades: i64
    direction: i64
    moving: i64
    rises: i64
    filled: i64  # orders answered since the trigger
    waited: i64  # turns in a row in which nothing came
    stop_at: i64  # address of the loop's `stop`; 0: none
    step_at: i64  # address of a C function that begins to count instructions; 0: none are counted
    leg: i64  # the order whose descriptor ends the measurement
    orders: i64  # of the trigger
    start: i64
    count: i64
    marks: Annotated[Array, i64, MARKS]
    latencies: Annotated[Pointer, i64]
    rows: Annotated[Pointer, i64]  # with the stages stamped: 1 + MARKS of each trigger, the start first
    peers: Annotated[Array, Peer, VENUES]


class BedClock(LiveClock):
    """A live clock whose reading is preceded by the script's next step."""

    script: Annotated[Pointer, Script]


class BedRing(AfXdpRing):
    """A ring that stamps orders."""

    script: Annotated[Pointer, Script]


class BedFeed(StarbaseFeed):
    """A feed that stamps decoding."""

    script: Annotated[Pointer, Script]


class BedSpread(CrossSpread):
    """A strategy that stamps its look at a book."""

    script: Annotated[Pointer, Script]


class BedSession(StarbaseSession):
    """A session that stamps new orders."""

    script: Annotated[Pointer, Script]


_decode = compiled(decode_starbase)
_look = compiled(look)
_write_new = compiled(write_starbase_new)
_advance = compiled(advance.implementation_for(LiveClock))
_commit = compiled(commit_af_xdp)


@compiled
def begin_to_count(script: Script) -> None:
    """Let the single-stepper of `tests.bench.instructions` in, if it counts."""
    if script.step_at != 0:
        call_c(script.step_at, 0, 0, 0, 0, 0, 0, 0)


def call_c(function: int, engine: int, a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    """Call the C function at an address. What it does not take it ignores (System V ABI, AAPCS64)."""
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *([ctypes.c_int64] * 7))
    return int(kind(function)(engine, a, b, c, d, e, f))


@lowers(call_c, *(["i64"] * 8), returns="i64")
def _call_c(_context: Any, builder: Any, function: Any, *arguments: Any) -> Any:
    number = ir.IntType(64)
    kind = ir.FunctionType(number, [number] * 7)
    return builder.call(builder.inttoptr(function, kind.as_pointer()), arguments)


@advance.register(BedClock)
def advance_bed(clock: BedClock, next_ns: int) -> int:
    script = clock.script[0]
    if step(script, time_at(clock, cycle_count())):
        begin_to_count(script)
        script.orders = 0
        script.start = cycles_at_start()
    return _advance(clock, next_ns)


@commit.register(BedRing)
def commit_bed(ring: BedRing, length: int, now_ns: int) -> None:
    _commit(ring, length, now_ns)
    if length == ORDER_FRAME_BYTES:
        script = ring.script[0]
        script.orders += 1
        if script.orders == script.leg and script.count < script.triggers:
            script.latencies[script.count] = cycles_at_end() - script.start
        if script.orders == LEGS:
            script.count += 1


@decode.register(BedFeed)
def decode_bed(feed: BedFeed, packet: Packet, market: Market, events: Events) -> None:
    marks = feed.script[0].marks
    marks[DECODING] = cycles_at_start()
    _decode(feed, packet, market, events)
    marks[DECODED] = cycles_at_start()


@on_book.register(BedSpread)
def look_bed(strategy: BedSpread, desk: Desk, instrument: int) -> None:
    marks = strategy.script[0].marks
    marks[LOOKING] = cycles_at_start()
    _look(strategy, desk, instrument)
    marks[DECIDED] = cycles_at_start()


@write_new.register(BedSession)
def write_bed(session: BedSession, ring: Any, approval: Approval, now_ns: int) -> bool:
    script = session.script[0]
    if script.orders != 0:
        return _write_new(session, ring, approval, now_ns)
    script.marks[CHECKED] = cycles_at_start()
    sent = _write_new(session, ring, approval, now_ns)
    script.marks[SENT] = cycles_at_start()
    if script.count < script.triggers:
        keep_marks(script, address_of(script.marks))
    return sent


@compiled
def keep_marks(script: Script, marks_at: int) -> None:
    """The row of the trigger at hand."""
    row = script.count * (1 + MARKS)
    script.rows[row] = script.start
    for place in range(MARKS):
        script.rows[row + 1 + place] = load_i64(marks_at + 8 * place)


@compiled
def step(script: Script, now_ns: int) -> bool:
    """Answer the engine; the next frames if it has read all. True when the last one published is a trigger."""
    waiting = False
    for number in range(VENUES):
        peer = script.peers[number]
        script.filled += serve(peer, now_ns)
        waiting |= not has_read_all(peer.bed[0])
    if waiting:
        return False
    if script.phase == OPENING:
        open_step(script, now_ns)
        return False
    if script.phase == QUIET:
        if script.done == script.triggers:
            end(script, DONE)
            return False
        if script.quiet_left > 0:
            script.quiet_left -= 1
            for number in range(VENUES):
                send_quiet(script.peers[number], now_ns)
            return False
        choose_direction(script)
        send_move(script.peers[script.moving], script.rises != 0, now_ns)
        script.phase = FILLING
        script.filled = 0
        script.waited = 0
        return True
    if script.phase == FILLING:
        if script.filled < LEGS:
            script.waited += 1
            if script.waited > PATIENCE_TURNS:
                end(script, FAILED)
            return False
        script.held_trades += script.direction
        script.done += 1
        send_move(script.peers[script.moving], script.rises != 0, now_ns)
        script.quiet_left = 1 + draw(script.peers[0], script.quiet_max)
        script.phase = QUIET
    return False


@compiled
def end(script: Script, phase: int) -> None:
    script.phase = phase
    if script.stop_at != 0:
        store_i64(script.stop_at, 1)


@compiled
def open_step(script: Script, now_ns: int) -> None:
    """The next level of both markets; when all are told and the sessions are on, the script begins."""
    level = script.opened >> 1
    side = ASK if script.opened & 1 else BID
    ready = True
    for number in range(VENUES):
        peer = script.peers[number]
        ready &= script.is_snapshot == 0 or peer.logged_on != 0
        if script.is_snapshot != 0 and script.opened == 0:
            send_heartbeat(peer, now_ns)
        if level < DEPTH:
            open_market(peer, level, side, script.is_snapshot != 0, now_ns)
    if level < DEPTH:
        script.opened += 1
    elif ready:
        script.phase = QUIET
        script.quiet_left = 2
    else:
        script.waited += 1
        if script.waited > PATIENCE_TURNS:
            end(script, FAILED)


@compiled
def choose_direction(script: Script) -> None:
    """1: the engine is to buy at the first venue and sell at the second; -1: the other way. One of the books moves."""
    script.direction = 1 if draw(script.peers[0], 2) == 0 else -1
    if script.held_trades >= HELD_TRADES_MAX:
        script.direction = -1
    elif script.held_trades <= -HELD_TRADES_MAX:
        script.direction = 1
    script.moving = draw(script.peers[0], VENUES)
    script.rises = 1 if (script.direction == 1) == (script.moving == 1) else 0


# ---- The send alone.


@compiled
def approve(approval: Approval, number: int) -> None:
    """Order `number`, as the gate leaves it: armed."""
    approval.armed = 1
    approval.client_order_id = client_order_id(number)
    approval.instrument = 0
    approval.side = order_side(number)
    approval.time_in_force = 0
    approval.price_ticks = order_ticks(number)
    approval.qty_lots = order_lots(number)


@compiled
def client_order_id(number: int) -> int:
    return (number + 1) << 12 | (number & 63)


@compiled
def order_side(number: int) -> int:
    return SELL if number & 4 else BUY


@compiled
def order_ticks(number: int) -> int:
    return 600_000 + (number * 7 & 1023)


@compiled
def order_lots(number: int) -> int:
    return 1 + (number * 3 & 31)


def log_on_first(venue: Venue, peer: Peer, clock: LiveClock) -> bool:
    """Connect and log on; whether the session takes orders."""
    now_ns = time_at(clock, cycle_count())
    log_on(venue, now_ns)
    until_ns = now_ns + LOGON_PATIENCE_NS
    while venue.session.state != SessionState.READY and now_ns < until_ns:
        now_ns = time_at(clock, cycle_count())
        keep_logged_on(venue, now_ns)
        wake_ring(venue, now_ns)
        serve(peer, now_ns)
        while take_turn(venue, now_ns) != NOTHING:
            give_frame_back(venue, now_ns)
    return venue.session.state == SessionState.READY


def send_orders(
    venue: Venue, ring: Any, approval: Approval, script: Script, peer: Peer, frame: Frame, clock: LiveClock, burst: int,
    costs: Array, count: int,
) -> int:  # fmt: skip
    """Send `count` times `burst` orders, acknowledged before the next burst; cycles of each burst. How many went.

    `ring` is the venue's: what the exchange answers is taken off it, and not read.
    """
    sent = 0
    number = 0
    for place in range(count):
        now_ns = time_at(clock, cycle_count())
        if burst == 1:
            approve(approval, number)
            script.orders = 0
            script.start = cycles_at_start()
            sent += 1 if send_new_order(venue, approval, now_ns) else 0
            costs[place] = script.latencies[0]
            number += 1
        else:
            start = cycles_at_start()
            for _ in range(burst):
                approve(approval, number)
                sent += 1 if send_new_order(venue, approval, now_ns) else 0
                number += 1
            costs[place] = cycles_at_end() - start
        flush(ring)
        serve(peer, now_ns)
        while not has_read_all(peer.bed[0]):
            if poll(ring, frame, now_ns):
                release(ring)
    return sent


# ---- The C program.


def send_c_orders(
    engine: int, timed_send: int, timed_burst: int, turn: int, peer: Peer, clock: LiveClock, burst: int, costs: Array,
    count: int,
) -> int:  # fmt: skip
    """As `send_orders`, by the C program, which takes its own stamps."""
    sent = 0
    number = 0
    for place in range(count):
        now_ns = time_at(clock, cycle_count())
        ticks = order_ticks(number)
        lots = order_lots(number)
        side = 1 if order_side(number) == BUY else -1
        order_id = client_order_id(number)
        if burst == 1:
            costs[place] = call_c(timed_send, engine, order_id, ticks, lots, side, now_ns, 0)
            sent += 1 if costs[place] > 0 else 0
        else:
            costs[place] = call_c(timed_burst, engine, burst, order_id, ticks, lots, side, now_ns)
            sent += burst if costs[place] > 0 else 0
        number += burst
        call_c(turn, engine, 0, 0, 0, 0, 0, 0)
        serve(peer, now_ns)
        while not has_read_all(peer.bed[0]):
            call_c(turn, engine, 0, 0, 0, 0, 0, 0)
    return sent


def run_c(
    script: Script, engine: int, turn: int, timed_turn: int, clock: LiveClock, start_at: int, marks_at: int
) -> int:
    """The script to its end, with the C program's turns in place of the loop's; the script's phase.

    `start_at`: address of the C program's start stamp; 0: its stages are not stamped.
    """
    while script.phase != DONE and script.phase != FAILED:
        if step(script, time_at(clock, cycle_count())):
            begin_to_count(script)
            script.latencies[script.count] = call_c(timed_turn, engine, 0, 0, 0, 0, 0, 0)
            if marks_at != 0:
                script.start = load_i64(start_at)
                keep_marks(script, marks_at)
            script.count += 1
        else:
            call_c(turn, engine, 0, 0, 0, 0, 0, 0)
    return script.phase
