"""Two made-up exchanges at the far ends of two shared-memory wires, for `tests.bench.tick_to_trade`.

Each publishes one instrument on the bridge feed and answers orders through its gateway and matching. Between triggers
come quiet frames, in random number, that change both books and start nothing. A trigger is one delta of LEVELS changes
that takes one book through the other; the orders are answered, the book goes back, and only when the engine has read
everything comes the next one, after a random pause.
"""

import platform
from typing import Annotated, Any

from llvmlite import ir

from crosswire.nic.capture.format import RecordHeader
from crosswire.nic.clock import LiveClock, time_at
from crosswire.nic.memory.raw import copy_bytes, cycle_count, load_u32_acquire
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, one, size_of, view
from crosswire.nic.packet import Flow, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.ring import Frame, commit, poll, release, reserve
from crosswire.nic.rings.shared import SharedRing
from crosswire.nic.unit.compile import compiled, lowers
from crosswire.venues.book.book import make_books
from crosswire.venues.bridge.exchange.gateway import BridgeGateway, do_duty, receive_frame, set_gateway
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.bridge.wire.encoder import FeedWriter, make_writer, write_definition, write_delta, write_snapshot
from crosswire.venues.bridge.wire.layout import BookDelta, InstrumentDefinition, Level, Snapshot
from crosswire.venues.exchange.matching import Matching, set_matching
from crosswire.venues.feed import decode
from crosswire.venues.instrument import Instrument
from crosswire.venues.market import Events, Market, clear_events
from crosswire.venues.side import ASK, BID
from tests.bench.quiet_book import DEPTH, LOTS, MOVE_TICKS, Drawing, draw, level_ticks

EXCHANGES = 2
LEVELS = 4  # changed by each delta, two a side
LEVEL_CAPACITY = 1024
ORDERS_PER_SECOND = 1_000_000  # no throttle: the matching takes what comes
HELD_TRADES_MAX = 10  # net, before the triggers turn to the other direction
BUFFER_BYTES = 1 << 16
SPIN_PAUSES = 4
INSTRUMENT_ID = 7

DONE = 0
NO_LOGON = 1
NO_ORDERS = 2
RING_FULL = 3


class Exchange(Struct):
    """One venue: its publisher, its own books, its order gateway."""

    number: i64  # venue, and market index of its instrument
    last_id: i64
    full: i64  # frames that the wire had no room for
    wire: Annotated[Pointer, SharedRing]
    writer: Annotated[Pointer, FeedWriter]
    market: Market
    feed: BridgeFeed
    matching: Matching
    gateway: BridgeGateway
    frame: Frame
    packet: Packet
    parsed: PacketCounters
    events: Events
    definition: InstrumentDefinition
    snapshot: Snapshot
    delta: BookDelta
    bids: Annotated[Array, Level, DEPTH]
    asks: Annotated[Array, Level, DEPTH]


class Exchanges(Drawing):
    """Both, and the script that they follow."""

    triggers: i64
    done: i64
    quiet_frames_max: i64  # on each exchange before a trigger, drawn from 1 up to this
    pause_ns_max: i64  # before a trigger, drawn from 0
    patience_ns: i64
    held_trades: i64  # bought at the first and sold at the second, net
    items: Annotated[Array, Exchange, EXCHANGES]


def spin() -> None:
    """Wait a little: where two cores are threads of one, a loop without this would slow the engine's down."""


@lowers(spin, returns="none")
def _spin(_context: Any, builder: Any) -> None:
    if platform.machine() == "x86_64":
        pause_type = ir.FunctionType(ir.VoidType(), ())
        function = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), pause_type)
        for _ in range(SPIN_PAUSES):
            builder.call(function, [])


@compiled
def publish(exchange: Exchange) -> bool:
    """Everything written, to the wire and then into the exchange's own books; False if the wire is full."""
    writer = exchange.writer[0]
    position = address_of(writer.buffer)
    end = position + writer.used
    while position < end:
        length = view(RecordHeader, position).captured_length
        address = position + size_of(RecordHeader)
        slot = reserve(exchange.wire[0], length)
        if slot == 0:
            exchange.full += 1
            return False
        copy_bytes(slot, address, length)
        commit(exchange.wire[0], length, writer.time_ns)
        exchange.frame.address = address
        exchange.frame.length = length
        exchange.frame.time_ns = writer.time_ns
        if parse_packet(exchange.frame, exchange.packet, exchange.parsed):
            clear_events(exchange.events, exchange.market)
            decode(exchange.feed, exchange.packet, exchange.market, exchange.events)
        position = address + length
    writer.used = 0
    return True


@compiled
def set_change(level: Level, price_ticks: int, qty_lots: int) -> None:
    level.price_ticks = price_ticks
    level.qty_lots = qty_lots


@compiled
def send_delta(exchange: Exchange, now_ns: int) -> bool:
    """The first two of `bids` and of `asks` as the book's next change."""
    delta = exchange.delta
    delta.instrument_id = INSTRUMENT_ID + exchange.number
    delta.exchange_time_ns = now_ns
    delta.previous_id = exchange.last_id
    exchange.last_id += 1
    delta.first_id = exchange.last_id
    delta.last_id = exchange.last_id
    exchange.writer[0].time_ns = now_ns
    write_delta(exchange.writer[0], delta, exchange.bids, LEVELS // 2, exchange.asks, LEVELS // 2)
    return publish(exchange)


@compiled
def send_quiet(exchanges: Exchanges, exchange: Exchange, now_ns: int) -> bool:
    """Four deep levels change their sizes: nothing to trade on."""
    for place in range(LEVELS // 2):
        position = 1 + draw(exchanges, DEPTH - 1)
        set_change(exchange.bids[place], level_ticks(BID, position), LOTS + draw(exchanges, LOTS))
        position = 1 + draw(exchanges, DEPTH - 1)
        set_change(exchange.asks[place], level_ticks(ASK, position), LOTS + draw(exchanges, LOTS))
    return send_delta(exchange, now_ns)


@compiled
def send_move(exchanges: Exchanges, exchange: Exchange, rises: bool, back: bool, now_ns: int) -> bool:
    """The best level of one side goes and the other side comes through it by MOVE_TICKS; or `back` again."""
    there_lots = 0 if back else LOTS
    best_lots = LOTS if back else 0
    position = 1 + draw(exchanges, DEPTH - 1)
    set_change(exchange.bids[1], level_ticks(BID, position), LOTS + draw(exchanges, LOTS))
    set_change(exchange.asks[1], level_ticks(ASK, position), LOTS + draw(exchanges, LOTS))
    if rises:
        set_change(exchange.asks[0], level_ticks(ASK, 0), best_lots)
        set_change(exchange.bids[0], level_ticks(ASK, 0) + MOVE_TICKS, there_lots)
    else:
        set_change(exchange.bids[0], level_ticks(BID, 0), best_lots)
        set_change(exchange.asks[0], level_ticks(BID, 0) - MOVE_TICKS, there_lots)
    return send_delta(exchange, now_ns)


@compiled
def open_market(exchange: Exchange, now_ns: int) -> bool:
    """The definition and the first snapshot."""
    exchange.writer[0].time_ns = now_ns
    write_definition(exchange.writer[0], exchange.definition)
    for position in range(DEPTH):
        set_change(exchange.bids[position], level_ticks(BID, position), LOTS)
        set_change(exchange.asks[position], level_ticks(ASK, position), LOTS)
    exchange.last_id = 1
    exchange.snapshot.instrument_id = INSTRUMENT_ID + exchange.number
    exchange.snapshot.exchange_time_ns = now_ns
    exchange.snapshot.last_id = 1
    write_snapshot(exchange.writer[0], exchange.snapshot, exchange.bids, DEPTH, exchange.asks, DEPTH)
    return publish(exchange)


@compiled
def has_read_all(wire: SharedRing) -> bool:
    """Whether the other end has given back every frame."""
    return load_u32_acquire(wire.transmit.consumer_address) == wire.transmit.index


@compiled
def settle(exchanges: Exchanges, clock: LiveClock, accepted: int, logged_on: int) -> bool:
    """Answer until so many orders and logons were taken, and all that was sent is read; False if patience ends."""
    now_ns = time_at(clock, cycle_count())
    until_ns = now_ns + exchanges.patience_ns
    while now_ns < until_ns:
        taken = 0
        on = 0
        unread = 0
        for number in range(EXCHANGES):
            exchange = exchanges.items[number]
            wire = exchange.wire[0]
            while poll(wire, exchange.frame, now_ns):
                receive_frame(exchange.gateway, exchange.matching, exchange.market, exchange.frame, wire, now_ns)
                release(wire)
            taken += exchange.matching.accepted
            on += exchange.gateway.logged_on
            unread += 0 if has_read_all(wire) else 1
        if taken >= accepted and on >= logged_on and unread == 0:
            return True
        spin()
        now_ns = time_at(clock, cycle_count())
    return False


@compiled
def pause(exchanges: Exchanges, clock: LiveClock) -> int:
    """Wait a random while; the time."""
    now_ns = time_at(clock, cycle_count())
    until_ns = now_ns + draw(exchanges, exchanges.pause_ns_max + 1)
    while now_ns < until_ns:
        spin()
        now_ns = time_at(clock, cycle_count())
    return now_ns


@compiled
def choose_direction(exchanges: Exchanges) -> int:
    """1: the engine is to buy at the first exchange and sell at the second; -1: the other way."""
    if exchanges.held_trades >= HELD_TRADES_MAX:
        return -1
    if exchanges.held_trades <= -HELD_TRADES_MAX:
        return 1
    return 1 if draw(exchanges, 2) == 0 else -1


@compiled
def trigger_once(exchanges: Exchanges, clock: LiveClock) -> int:
    """Quiet frames, one trigger, its answers, and back; DONE or what went wrong."""
    now_ns = time_at(clock, cycle_count())
    accepted = 0
    for number in range(EXCHANGES):
        exchange = exchanges.items[number]
        do_duty(exchange.gateway, exchange.matching, exchange.market, exchange.wire[0], now_ns)
        for _ in range(1 + draw(exchanges, exchanges.quiet_frames_max)):
            if not send_quiet(exchanges, exchange, now_ns):
                return RING_FULL
        accepted += exchange.matching.accepted
    if not settle(exchanges, clock, 0, EXCHANGES):
        return NO_LOGON
    direction = choose_direction(exchanges)
    moving = draw(exchanges, EXCHANGES)
    rises = (direction == 1) == (moving == 1)
    exchange = exchanges.items[moving]
    if not send_move(exchanges, exchange, rises, False, pause(exchanges, clock)):
        return RING_FULL
    if not settle(exchanges, clock, accepted + EXCHANGES, EXCHANGES):
        return NO_ORDERS
    exchanges.held_trades += direction
    exchanges.done += 1
    for number in range(EXCHANGES):
        # What was taken comes back: each trigger finds whole levels.
        exchanges.items[number].market.books[number].taken.count = 0
    if not send_move(exchanges, exchange, rises, True, time_at(clock, cycle_count())):
        return RING_FULL
    return DONE


def run_exchanges(exchanges: Exchanges, clock: LiveClock) -> int:
    """Open the markets, wait for the logons, pull the triggers; DONE or what went wrong."""
    now_ns = time_at(clock, cycle_count())
    for number in range(EXCHANGES):
        if not open_market(exchanges.items[number], now_ns):
            return RING_FULL
    if not settle(exchanges, clock, 0, EXCHANGES):
        return NO_LOGON
    result = DONE
    while result == DONE and exchanges.done < exchanges.triggers:
        result = trigger_once(exchanges, clock)
    if result == DONE and not settle(exchanges, clock, 0, EXCHANGES):
        result = NO_LOGON
    return result


def feed_flow(number: int) -> Flow:
    """Addresses of an exchange's market data. They are on no wire but shared memory."""
    return Flow(
        source_mac=0x02_00_00_00_02_00 + number,
        destination_mac=0x01_00_5E_01_01_01 + number,
        source_ip=0xC6_13_00_01 + number,
        destination_ip=0xEF_01_01_01 + number,
        source_port=6200,
        destination_port=6200,
    )


def set_exchange(exchange: Exchange, number: int, wire: SharedRing, terms: Market, flow: Flow) -> None:
    """An exchange that lists instrument `number` of `terms`; `flow` is the order connection as the engine has it."""
    exchange.number = number
    exchange.wire = one(wire)
    exchange.writer = one(make_writer(feed_flow(number), number + 1, BUFFER_BYTES))
    exchange.feed.venue = number
    exchange.market.count = terms.count
    exchange.market.capacity = terms.count
    exchange.market.instruments = array(Instrument, terms.count)
    copy_bytes(address_of(exchange.market.instruments), address_of(terms.instruments), terms.count * Instrument.size)
    exchange.market.books = make_books(terms.count, LEVEL_CAPACITY)
    set_matching(exchange.matching, number, ORDERS_PER_SECOND, ORDERS_PER_SECOND, 16)
    set_gateway(exchange.gateway, flow)
    define(exchange.definition, terms.instruments[number], INSTRUMENT_ID + number)


def define(definition: InstrumentDefinition, instrument: Instrument, instrument_id: int) -> None:
    """Fill in what the venue says of an instrument: just what the configuration has."""
    for name in ("kind", "payoff", "tick_e9", "lot_e9", "contract_e9", "maker_fee_e9", "taker_fee_e9"):
        setattr(definition, name, getattr(instrument, name))
    definition.instrument_id = instrument_id
    for name in ("symbol", "base", "quote", "settlement"):
        field = getattr(definition, name)
        copy_bytes(address_of(field), address_of(getattr(instrument, name)), len(field))
