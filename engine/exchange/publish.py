"""The simulated exchanges on a real wire: frames out of a `SimulatedExchange` onto sockets, orders in.

    captures -> exchange (books, matching, gateway) --- UDP market data ---> publisher's socket
                                 ^    |
                                 |    +---------------- answers ----------> order connection
                                 +------------------- order frames -------- order connection

The exchange lives in capture time, which runs `speed_e6` millionths as fast as the clock.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from crosswire.nic.clock import advance
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Struct, address_of, i64
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.remote import RemoteRing
from crosswire.nic.rings.replay import STARVED
from crosswire.nic.rings.ring import NEVER_NS, Frame, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.unit.unit import Unit, unit_of
from crosswire.venues.order import VENUES_MAX

FRAMES_PER_TURN = 64  # of market data and answers, before the orders are looked at again
STEP_NS = 10_000_000  # of capture time: after a stall the exchange's two readers must stay together
FLAT_OUT = 0  # as `speed_e6`: each turn takes the exchange to its next frame, whatever its time


class ExchangeCounters(Struct):
    """What one exchange did on the wire."""

    published: i64  # market data frames, before the faults
    muted: i64  # market data frames kept back at the end
    answers: i64
    orders: i64  # frames of the client
    unpublished: i64  # market data frames that the socket had no room for, tried again
    lost_answers: i64  # the client's connection took no more
    lost_orders: i64  # the exchange's wire was full
    at_end: i64  # 1: the captures are over


class PublishedVenue(Struct):
    """One exchange and its two sockets, behind the entry of one unit. The first four fields are addresses."""

    exchange: i64
    ring: i64
    publisher: i64
    orders: i64
    turn: i64  # entry
    counters: ExchangeCounters


class PublisherState(Struct):
    """The publisher's own memory. Times are ns since the epoch."""

    speed_e6: i64
    started_ns: i64  # by the clock
    first_ns: i64  # of the captures
    muted: i64  # 1: market data goes on, but no longer onto the wire
    frame: Frame
    packet: Packet
    parsed: PacketCounters
    venue_count: i64
    venues: Annotated[Array, PublishedVenue, VENUES_MAX]


class PublisherEntries(Struct):
    """The address of `serve`."""

    serve: i64


class ExchangeParts(NamedTuple):
    """One venue's exchange, the ring in front of it and its sockets' rings."""

    exchange: Any
    ring: RemoteRing
    publisher: Any
    orders: Any


@compiled
def capture_time_ns(state: PublisherState, exchange: Any, ring: RemoteRing, now_ns: int) -> int:
    """Convert the clock's `now_ns` to the exchange's time, no more than STEP_NS past what it has to do next."""
    due_ns = next_time_ns(ring)
    if due_ns == STARVED or due_ns == NEVER_NS:
        return exchange.now_ns if state.speed_e6 == FLAT_OUT else elapsed_ns(state, now_ns)
    if state.speed_e6 == FLAT_OUT:
        return max(exchange.now_ns, due_ns)
    return min(elapsed_ns(state, now_ns), max(exchange.now_ns, due_ns) + STEP_NS)


@compiled
def elapsed_ns(state: PublisherState, now_ns: int) -> int:
    """Convert the clock's `now_ns` to capture time, at any speed but FLAT_OUT."""
    return state.first_ns + (now_ns - state.started_ns) // 1000 * state.speed_e6 // 1000


@compiled
def take_orders(
    state: PublisherState, counters: ExchangeCounters, ring: RemoteRing, orders: Struct, time_ns: int
) -> None:
    """Hand everything that the client has sent to the exchange's end of its order wire."""
    while poll(orders, state.frame, time_ns):
        slot = reserve(ring, state.frame.length)
        if slot == 0:
            counters.lost_orders += 1
        else:
            copy_bytes(slot, state.frame.address, state.frame.length)
            commit(ring, state.frame.length, time_ns)
            counters.orders += 1
        release(orders)


@compiled
def give_frames(
    state: PublisherState, counters: ExchangeCounters, ring: RemoteRing, publisher: Struct, orders: Struct, time_ns: int
) -> None:
    """Send what the exchange says until `time_ns` to the sockets, at most FRAMES_PER_TURN frames."""
    for _ in range(FRAMES_PER_TURN):
        if not poll(ring, state.frame, time_ns):
            break
        if parse_packet(state.frame, state.packet, state.parsed):
            if state.packet.protocol == PROTOCOL_UDP and state.muted != 0:
                counters.muted += 1
            elif state.packet.protocol == PROTOCOL_UDP:
                publish(state, counters, publisher, time_ns)
            else:
                answer(state, counters, orders, time_ns)
        release(ring)
    flush(publisher)
    flush(orders)


@compiled
def publish(state: PublisherState, counters: ExchangeCounters, publisher: Struct, time_ns: int) -> None:
    """Put a market data frame on the wire, however long that takes."""
    slot = reserve(publisher, state.frame.length)
    while slot == 0:
        counters.unpublished += 1
        flush(publisher)
        slot = reserve(publisher, state.frame.length)
    copy_bytes(slot, state.frame.address, state.frame.length)
    commit(publisher, state.frame.length, time_ns)
    counters.published += 1


@compiled
def answer(state: PublisherState, counters: ExchangeCounters, orders: Struct, time_ns: int) -> None:
    """Send an answer on its client's connection."""
    slot = reserve(orders, state.frame.length)
    if slot == 0:
        counters.lost_answers += 1
    else:
        copy_bytes(slot, state.frame.address, state.frame.length)
        commit(orders, state.frame.length, time_ns)
        counters.answers += 1


def turn(
    state: PublisherState,
    counters: ExchangeCounters,
    exchange: Any,
    ring: RemoteRing,
    publisher: Struct,
    orders: Struct,
    now_ns: int,
) -> bool:
    """Take one venue's orders in and send its frames out; tell whether its replay window needs refilling."""
    time_ns = capture_time_ns(state, exchange, ring, now_ns)
    take_orders(state, counters, ring, orders, time_ns)
    give_frames(state, counters, ring, publisher, orders, time_ns)
    due_ns = next_time_ns(ring)
    counters.at_end = 1 if due_ns == NEVER_NS else 0
    return due_ns == STARVED


def serve(state: PublisherState, clock: Struct, until_ns: int) -> bool:
    """Run the exchanges until the clock shows `until_ns`, or until a replay window needs refilling: then True."""
    now_ns = advance(clock, 0)
    starved = False
    while now_ns < until_ns and not starved:
        for number in range(state.venue_count):
            venue = state.venues[number]
            starved |= (
                call_entry(
                    venue.turn,
                    address_of(state),
                    address_of(venue.counters),
                    venue.exchange,
                    venue.ring,
                    venue.publisher,
                    venue.orders,
                    now_ns,
                )
                != 0
            )
        now_ns = advance(clock, 0)
    return starved


def serve_unit(clock: type[Struct]) -> Unit:
    """Describe the unit of `serve` with this clock."""
    return unit_of("serve", {serve: (PublisherState, clock, "i64")})


def turn_unit(parts: ExchangeParts) -> Unit:
    """Describe the unit of `turn` for one venue's classes."""
    kinds = (
        PublisherState,
        ExchangeCounters,
        type(parts.exchange),
        RemoteRing,
        type(parts.publisher),
        type(parts.orders),
        "i64",
    )
    return unit_of(f"publish-{type(parts.exchange).__name__}", {turn: kinds})


class Publisher:
    """The exchanges of one process and what serves them."""

    def __init__(self, parts: Sequence[ExchangeParts], clock: Struct, speed_e6: int, linker: Linker) -> None:
        """Take the exchanges' parts; the publisher can be used once `linker` has loaded."""
        self.parts = list(parts)
        self.clock = clock
        self.state = PublisherState(speed_e6=speed_e6, venue_count=len(self.parts))
        self.entries = PublisherEntries()
        for venue, each in zip(self.venues, self.parts, strict=True):
            venue.exchange, venue.ring = address_of(each.exchange), address_of(each.ring)
            venue.publisher, venue.orders = address_of(each.publisher), address_of(each.orders)
            linker.link_all(venue, turn_unit(each))
        linker.link_all(self.entries, serve_unit(type(clock)))

    @property
    def venues(self) -> list[PublishedVenue]:
        """What each exchange did, in the order of the parts."""
        return [self.state.venues[number] for number in range(self.state.venue_count)]

    def serve(self, until_ns: int) -> bool:
        """Call `serve`."""
        return call_entry(self.entries.serve, address_of(self.state), address_of(self.clock), until_ns) != 0
