"""The simulated exchange: a ring with a venue at its other end, replayed from the venue's own captures.

    captures --+-- LEADER ---> exchange's books --> matching --> gateway
               |                                      ^            |
               |                                   orders       answers      two wires with a latency each
               |                                      |            v
               +-- FOLLOWER ------------------------> ring (poll, commit)

A capture's time stamps are when the engine receives a frame; the exchange knew it earlier (`clock`), so its own books,
decoded from the same frames by the same decoder, run ahead by that. A frame that the engine commits at t is
handled at t + order latency, against the book of that instant, and the answer is received at the time it was given +
response latency.

What happens at one and the same nanosecond is ordered, always: at the exchange market data, then orders, then its own
heartbeats; towards the engine market data before answers.

The order connection of an engine in the same process can be made anew (`reconnect`): a frame with SYN travels behind
what the last connection still carries, and answers to that one are dropped, as the engine's host would. `crosswire
exchange` has sockets for that.

In a backtest the engine decodes every frame itself, a moment later. So there the exchange decodes only what it needs
(`share_books`). Its books are the engine's until an order comes. Then they part: they lie over the engine's
(`venues.book.book.lay_book_over`), and take in the frames that the engine is yet to receive; while something of ours
rests they do that for every frame. When the engine has received what they have taken in, they are equal to the
engine's, and the exchange has none of its own again. What we have taken is then remembered, and followed, there.

The exchange catches up inside `poll`. While orders of ours rest, `next_time_ns` also names the exchange's next market
frame, and while frames are under way their arrival, so that no answer can be late; without that, the exchange costs no
turn of the loop.
"""

from typing import Annotated

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.raw import FNV_BASIS
from crosswire.nic.memory.struct import Pointer, Reference, address_of, copy_struct, i64, view
from crosswire.nic.packet import (
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    PROTOCOL_UDP,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    PacketCounters,
    TcpFrame,
    parse_packet,
)
from crosswire.nic.rings.connection import connection_of, reconnect, select_stream
from crosswire.nic.rings.delay import set_delay_ring
from crosswire.nic.rings.latency import Model, note_frame
from crosswire.nic.rings.replay import (
    FOLLOWER,
    LEADER,
    STARVED,
    Captures,
    Cursor,
    Replay,
    next_record_time,
    peek_record,
    read_record,
    take_record,
    tell_behind,
    told_ahead,
)
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.venues.book.book import lay_book_over, make_books
from crosswire.venues.book.taken import move_taken
from crosswire.venues.bridge.exchange.gateway import (
    BridgeGateway,
    displace_client,
    do_duty,
    is_heartbeat,
    next_duty_ns,
    receive_frame,
    reset_client,
    send_executions,
    send_segment,
    set_gateway,
    take_connection,
)
from crosswire.venues.exchange.clock import (
    ExchangeClock,
    book_time,
    is_measured,
    measure,
    tell_measured,
    tell_modelled,
)
from crosswire.venues.exchange.matching import Matching, on_market, set_matching
from crosswire.venues.exchange.ring import ANSWER, MARKET_DATA, NOTHING, ExchangeRing, send_syn
from crosswire.venues.exchange.wire_time import tells_time, wire_time_unit
from crosswire.venues.feed import Feed, copy_feed, feed_unit
from crosswire.venues.market import Events, Market, clear_events, copy_instruments
from crosswire.venues.token_bucket import empty_until


class SimulatedExchange(ExchangeRing):
    """A venue's exchange; its answers come on the same ring as its market data."""

    feed: Annotated[Feed, Reference]  # the exchange's own
    decode: i64  # entry of the feed's unit
    copy_feed: i64  # as well; 0: the feed has none
    read_wire_time: i64  # entry of the feed's unit for that; 0: its wire tells no time
    exchange_frames: i64  # market frames that have come to the exchange
    decoded: i64  # how many of them are in its books
    shares: i64  # 1: it has no books of its own but where they must differ from the engine's
    follows: i64  # 1: it has
    partings: i64  # times that it began to
    engine_feed: i64  # address
    engine_market: Annotated[Market, Reference]
    engine_events: Annotated[Events, Reference]  # of the frame that the engine has read last
    polled_ns: i64  # receive time of that
    polled_told: i64  # and its `book_time`
    connection: i64  # number of the engine's connection, from 1
    is_up: i64  # 1: the engine's host has it
    taken: i64  # number of the connection that the gateway has
    first_answer: i64  # of the answers' wire: those before it are on earlier connections
    stale: i64  # answers that the engine's host has dropped
    flow: Flow  # from the engine to the exchange
    captures: Annotated[Pointer, Captures]  # one
    cursors: Annotated[Pointer, Cursor]  # FOLLOWER and LEADER
    market: Market  # the exchange's own instruments and books
    clock: ExchangeClock
    frame: Frame  # of the engine's
    market_frame: Frame
    packet: Packet
    parsed: PacketCounters
    events: Events
    matching: Matching
    gateway: BridgeGateway


@compiled
def catch_up(exchange: SimulatedExchange, now_ns: int) -> bool:
    """Let everything happen at the exchange that happens until `now_ns`; False when it starves before that."""
    gateway = exchange.gateway
    while True:
        market_ns = next_market_ns(exchange)
        if market_ns == STARVED:
            return False
        order_ns = next_time_ns(exchange.orders)
        duty_ns = next_duty_ns(gateway)
        first_ns = min(market_ns, order_ns, duty_ns)
        if first_ns > now_ns:
            return True
        # A frame may arrive before the last one's time (captures merge by receive time): time stands still then.
        exchange.now_ns = max(exchange.now_ns, first_ns)
        if market_ns == first_ns:
            _take_market(exchange)
        elif order_ns == first_ns:
            poll(exchange.orders, exchange.frame, first_ns)
            _take_order_frame(exchange)
            release(exchange.orders)
        else:
            do_duty(gateway, exchange.matching, exchange.market, exchange.answers, exchange.now_ns)


@compiled
def _take_order_frame(exchange: SimulatedExchange) -> None:
    """Hand a frame of the engine's to the gateway; one with SYN begins a connection."""
    gateway, frame = exchange.gateway, exchange.frame
    if frame.length == TCP_FRAME_HEADER_BYTES and view(TcpFrame, frame.address).tcp.flags == FLAG_SYN:
        take_connection(gateway, exchange.matching, exchange.now_ns)
        exchange.taken += 1
        exchange.first_answer = exchange.answers.sent
        return
    if not is_heartbeat(frame):
        bring_up(exchange)
    receive_frame(gateway, exchange.matching, exchange.market, frame, exchange.answers, exchange.now_ns)


@compiled
def _drop_stale(exchange: SimulatedExchange, now_ns: int) -> None:
    """Drop the answers that have arrived on a connection which the engine's host no longer has."""
    answers = exchange.answers
    while next_time_ns(answers) <= now_ns and (
        exchange.is_up == 0 or exchange.taken != exchange.connection or answers.received < exchange.first_answer
    ):
        exchange.stale += 1
        release(answers)


@compiled
def is_busy(exchange: SimulatedExchange) -> bool:
    """Tell whether an order of ours rests or is on its way there, so that what happens next depends on the market."""
    return exchange.matching.resting_count != 0 or next_time_ns(exchange.orders) != NEVER_NS


@compiled
def next_market_ns(exchange: SimulatedExchange) -> int:
    """Return the exchange time of the next market frame; NEVER_NS after the last, STARVED if only Python can tell."""
    captures, cursor = exchange.captures[0], exchange.cursors[LEADER]
    receive_ns = next_record_time(captures, cursor)
    if receive_ns == STARVED or receive_ns == NEVER_NS:
        return receive_ns
    clock = exchange.clock
    if clock.is_known == 0:
        if is_measured(clock):
            peek_record(captures, cursor, exchange.market_frame)
            read_packet(exchange)
            tell_measured(clock, receive_ns)
        else:
            tell_modelled(clock, receive_ns, exchange.exchange_frames)
    return clock.time_ns


@compiled
def read_packet(exchange: SimulatedExchange) -> None:
    """Find the packet in the market frame, and what its wire tells of when it was made."""
    told = exchange.clock.told
    told.time_ns = 0
    told.is_book = 0
    if is_market_data(exchange) and exchange.read_wire_time != 0:
        call_entry(exchange.read_wire_time, address_of(exchange.feed), address_of(exchange.packet), address_of(told))


@compiled
def is_market_data(exchange: SimulatedExchange) -> bool:
    """Find the packet in the market frame; False if it is none that a feed reads."""
    found = parse_packet(exchange.market_frame, exchange.packet, exchange.parsed)
    return found and exchange.packet.protocol == PROTOCOL_UDP


@compiled
def _take_market(exchange: SimulatedExchange) -> None:
    """Take one market frame to the exchange: to our resting orders, and to its books, if they are its own."""
    clock, cursor = exchange.clock, exchange.cursors[LEADER]
    if not is_measured(clock):
        peek_record(exchange.captures[0], cursor, exchange.market_frame)
        read_packet(exchange)
    tell_behind(exchange.captures[0], cursor, book_time(clock))
    cursor.frames += 1
    exchange.exchange_frames += 1
    clock.is_known = 0
    note_frame(exchange.answers.latency, exchange.now_ns)
    matching = exchange.matching
    if exchange.shares != 0 and matching.resting_count == 0:
        return
    bring_up(exchange)
    if exchange.events.count == 0:
        return
    if exchange.shares == 0:
        measure(clock, exchange.market_frame.time_ns, book_time(clock))
    if matching.resting_count != 0:
        gateway = exchange.gateway
        on_market(matching, exchange.market, exchange.events, exchange.now_ns, gateway.executions)
        send_executions(gateway, exchange.market, exchange.answers, exchange.now_ns)
        send_segment(gateway, exchange.answers, exchange.now_ns)


@compiled
def bring_up(exchange: SimulatedExchange) -> None:
    """Have all that has come to the exchange in its books; `events` are then the last frame's."""
    if exchange.shares != 0 and exchange.follows == 0:
        _part(exchange)
    while exchange.decoded < exchange.cursors[LEADER].frames:
        clear_events(exchange.events, exchange.market)
        read_record(exchange.captures[0], exchange.decoded, exchange.market_frame)
        exchange.decoded += 1
        if is_market_data(exchange):
            packet, market = address_of(exchange.packet), address_of(exchange.market)
            call_entry(exchange.decode, address_of(exchange.feed), packet, market, address_of(exchange.events))


@compiled
def _part(exchange: SimulatedExchange) -> None:
    """Begin to have books: those that the engine has now, after what it has received."""
    own, theirs = exchange.market, exchange.engine_market
    call_entry(exchange.copy_feed, address_of(exchange.feed), exchange.engine_feed, address_of(theirs))
    for index in range(own.count):
        instrument, book = own.instruments[index], own.books[index]
        if instrument.venue == exchange.matching.venue:
            instrument.venue_id = theirs.instruments[index].venue_id
            lay_book_over(book, theirs.books[index])
            move_taken(theirs.books[index].taken, book.taken)
    exchange.events.count = 0
    exchange.decoded = exchange.cursors[FOLLOWER].frames
    exchange.follows = 1
    exchange.partings += 1


@compiled
def _join(exchange: SimulatedExchange) -> None:
    """Have no books any more: the engine has received all that is in them."""
    own, theirs = exchange.market, exchange.engine_market
    for index in range(own.count):
        if own.instruments[index].venue == exchange.matching.venue:
            move_taken(own.books[index].taken, theirs.books[index].taken)
    exchange.follows = 0


@poll.register(SimulatedExchange)
def poll_exchange(exchange: SimulatedExchange, frame: Frame, now_ns: int) -> bool:
    exchange.polled = NOTHING
    market_ns = next_record_time(exchange.captures[0], exchange.cursors[FOLLOWER])
    # An exchange that has nothing of ours can catch up later: then a starved window changes nothing about this turn.
    if market_ns == STARVED or (not catch_up(exchange, now_ns) and is_busy(exchange)):
        exchange.counters.empty_polls += 1
        return False
    _drop_stale(exchange, now_ns)
    answer_ns = next_time_ns(exchange.answers)
    if min(market_ns, answer_ns) > now_ns:
        exchange.counters.empty_polls += 1
        return False
    if market_ns <= answer_ns:
        cursor = exchange.cursors[FOLLOWER]
        if exchange.shares != 0:
            if exchange.follows != 0 and exchange.decoded == cursor.frames:
                _join(exchange)
            exchange.polled_told = told_ahead(exchange.captures[0], cursor)
        take_record(exchange.captures[0], cursor, frame)
        exchange.polled_ns = frame.time_ns
        note_frame(exchange.orders.latency, frame.time_ns)
        exchange.polled = MARKET_DATA
    else:
        poll(exchange.answers, frame, now_ns)
        exchange.polled = ANSWER
        if view(TcpFrame, frame.address).tcp.flags & (FLAG_FIN | FLAG_RST) != 0:
            exchange.is_up = 0
    exchange.counters.frames += 1
    exchange.counters.bytes += frame.length
    return True


@release.register(SimulatedExchange)
def release_exchange(exchange: SimulatedExchange) -> None:
    if exchange.polled == ANSWER:
        release(exchange.answers)
    elif exchange.polled == MARKET_DATA and exchange.polled_told != 0 and exchange.engine_events.count != 0:
        measure(exchange.clock, exchange.polled_ns, exchange.polled_told)
    exchange.polled = NOTHING


@next_time_ns.register(SimulatedExchange)
def next_exchange_ns(exchange: SimulatedExchange) -> int:
    """Tell when the exchange has something to do; STARVED when `Replay.refill` must be called first.

    After the last market frame heartbeats alone keep no run going.
    """
    market_ns = next_record_time(exchange.captures[0], exchange.cursors[FOLLOWER])
    exchange_ns = next_market_ns(exchange)
    if market_ns == STARVED or exchange_ns == STARVED:
        return STARVED
    first_ns = min(market_ns, next_time_ns(exchange.answers), next_time_ns(exchange.orders))
    if exchange.matching.resting_count != 0:
        first_ns = min(first_ns, exchange_ns)
    if market_ns != NEVER_NS:
        first_ns = min(first_ns, next_duty_ns(exchange.gateway))
    return first_ns


@connection_of.register(SimulatedExchange)
def exchange_connection(exchange: SimulatedExchange, _stream: int) -> int:
    return exchange.connection if exchange.is_up != 0 else 0


@select_stream.register(SimulatedExchange)
def select_exchange(_exchange: SimulatedExchange, _stream: int) -> None:
    """Do nothing: there is one stream."""


@reconnect.register(SimulatedExchange)
def reconnect_exchange(exchange: SimulatedExchange, _stream: int, now_ns: int) -> None:
    exchange.is_up = 0
    if send_syn(exchange, exchange.flow, now_ns):
        exchange.connection += 1
        exchange.is_up = 1


def make_simulated_exchange(
    feed: Feed,
    venue: int,
    replay: Replay,
    terms: Market,
    flow: Flow,
    *,
    level_capacity: int,
    feed_latency_ns: int | None,
    order_latency_ns: int,
    response_latency_ns: int,
    orders_per_second: int,
    burst: int,
    resting_max: int,
    latency_max_ns: int = NS_PER_S,
    linker: Linker | None = None,
) -> SimulatedExchange:
    """Make a venue over `replay`, which must have two cursors; the caller keeps `replay` alive.

    `feed` has seen nothing yet and becomes the exchange's own. The exchange can be used once `linker` has loaded;
    without one its units are loaded here.
    `terms` are the run's instruments: the exchange gets a copy, with books of its own for `level_capacity` levels each.
    `flow` is the order connection from the engine to the exchange. `feed_latency_ns` None: measured by the times on the
    wire, at most `latency_max_ns`. ValueError names what is out of range.
    """
    if len(replay.cursors) <= LEADER:
        raise ValueError("a simulated exchange reads ahead of the engine: its replay needs two cursors")
    if feed_latency_ns is not None and feed_latency_ns < 0:
        raise ValueError(f"a latency can't be negative: feed latency {feed_latency_ns} ns")
    if feed_latency_ns is None and not tells_time(type(feed)):
        raise ValueError("feed_latency: the wire tells no times, so it can't be measured: write another model")
    exchange = SimulatedExchange(digest=FNV_BASIS, connection=1, taken=1, is_up=1)
    exchange.clock.latency.model = Model.MEASURED if feed_latency_ns is None else Model.CONSTANT
    exchange.clock.constant_ns = feed_latency_ns or 0
    exchange.clock.latency_max_ns = latency_max_ns
    exchange.clock.resolution_ns = NS_PER_MS
    copy_struct(exchange.flow, flow)
    feed.venue = venue
    exchange.feed = feed
    links = linker or Linker()
    links.link_all(exchange, feed_unit(type(feed)))
    if tells_time(type(feed)):
        links.link_all(exchange, wire_time_unit(type(feed)))
    exchange.captures = replay.ring.captures
    exchange.cursors = replay.ring.cursors
    set_delay_ring(exchange.orders, order_latency_ns)
    set_delay_ring(exchange.answers, response_latency_ns)
    copy_instruments(exchange.market, terms)
    exchange.market.books = make_books(terms.capacity, level_capacity)
    set_matching(exchange.matching, venue, orders_per_second, burst, resting_max)
    set_gateway(exchange.gateway, flow)
    if linker is None:
        links.load()
    return exchange


def share_books(exchange: SimulatedExchange, feed: Feed, market: Market, events: Events) -> None:
    """Let the exchange use the books that the engine decodes from the same frames, in the same process and thread.

    `feed`, `market` and `events` are the engine's, none of which has seen anything yet; the engine must read each frame
    that it polls before it polls again, and get it as it was captured. Does nothing for a feed that can't be copied.
    """
    if not copy_feed.is_registered(type(feed)):
        return
    exchange.shares = 1
    exchange.engine_feed = address_of(feed)
    exchange.engine_market = market
    exchange.engine_events = events


def connect_anew(exchange: SimulatedExchange, now_ns: int) -> None:
    """Let the client's next process connect: what the last one left open is cancelled, and nobody is told."""
    reconnect(exchange, 0, now_ns)


def kill_gateway(exchange: SimulatedExchange, _gateway: int, now_ns: int) -> None:
    """Let the gateway's process die, and another one take its place: what rests is cancelled."""
    reset_client(exchange.gateway, exchange.matching, exchange.answers, max(exchange.now_ns, now_ns))


def displace(exchange: SimulatedExchange, _gateway: int, now_ns: int) -> bool:
    """Let another client take the place of ours, which is told so; False if ours is not logged on."""
    if exchange.gateway.logged_on == 0:
        return False
    arguments = (exchange.gateway, exchange.matching, exchange.market, exchange.answers)
    displace_client(*arguments, max(exchange.now_ns, now_ns))
    return True


def throttle(exchange: SimulatedExchange, until_ns: int) -> None:
    """Refuse all new orders before then, by rate."""
    empty_until(exchange.matching.throttle, until_ns)
