"""The simulated exchanges on a real wire: frames out of a `SimulatedExchange` onto sockets, orders in.

    captures -> exchange (books, matching, gateway) --- UDP market data ---> publisher's socket
                                 ^    |
                                 |    +---------------- answers ----------> order connection
                                 +------------------- order frames -------- order connection

The exchange lives in capture time, which runs `speed_e6` millionths as fast as the clock.
"""

from typing import Any, NamedTuple

from numba import literal_unroll

from crosswire.nic.clock import advance
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import STARVED
from crosswire.nic.rings.ring import NEVER_NS, Frame, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.unit.compile import compiled
from crosswire.venues.exchange.simulated import SimulatedExchange

FRAMES_PER_TURN = 64  # of market data and answers, before the orders are looked at again
STEP_NS = 10_000_000  # of capture time: after a stall the exchange's two readers must not part
FLAT_OUT = 0  # as `speed_e6`: each turn takes the exchange to its next frame, whatever its time
PARTS = 1_000_000


class SimState(Struct):
    """The publisher's own memory. Times are ns since the epoch."""

    speed_e6: i64
    started_ns: i64  # by the clock
    first_ns: i64  # of the captures
    muted: i64  # 1: market data goes on, but no longer onto the wire
    frame: Frame
    packet: Packet
    parsed: PacketCounters


class SimCounters(Struct):
    """What one exchange did on the wire."""

    published: i64  # market data frames, before the faults
    muted: i64  # market data frames kept back at the end
    answers: i64
    orders: i64  # frames of the client
    unpublished: i64  # market data frames that the socket had no room for, tried again
    lost_answers: i64  # the client's connection took no more
    lost_orders: i64  # the exchange's wire was full
    at_end: i64  # 1: the captures are over


class SimVenue(NamedTuple):
    """One exchange and its two sockets."""

    exchange: SimulatedExchange
    publisher: Any
    orders: Any
    counters: SimCounters


@compiled
def capture_time_ns(state: SimState, exchange: SimulatedExchange, now_ns: int) -> int:
    """The exchange's time when the clock shows `now_ns`, no more than STEP_NS past what it has to do next."""
    due_ns = next_time_ns(exchange)
    if due_ns == STARVED or due_ns == NEVER_NS:
        return exchange.now_ns if state.speed_e6 == FLAT_OUT else elapsed_ns(state, now_ns)
    if state.speed_e6 == FLAT_OUT:
        return max(exchange.now_ns, due_ns)
    return min(elapsed_ns(state, now_ns), max(exchange.now_ns, due_ns) + STEP_NS)


@compiled
def elapsed_ns(state: SimState, now_ns: int) -> int:
    """Capture time when the clock shows `now_ns`, at any speed but FLAT_OUT."""
    return state.first_ns + (now_ns - state.started_ns) // 1000 * state.speed_e6 // 1000


@compiled
def take_orders(state: SimState, venue: SimVenue, time_ns: int) -> None:
    """Everything that the client has sent, to the exchange's end of its order wire."""
    while poll(venue.orders, state.frame, time_ns):
        slot = reserve(venue.exchange, state.frame.length)
        if slot == 0:
            venue.counters.lost_orders += 1
        else:
            copy_bytes(slot, state.frame.address, state.frame.length)
            commit(venue.exchange, state.frame.length, time_ns)
            venue.counters.orders += 1
        release(venue.orders)


@compiled
def give_frames(state: SimState, venue: SimVenue, time_ns: int) -> None:
    """What the exchange says until `time_ns`, FRAMES_PER_TURN frames of it, to the sockets."""
    counters = venue.counters
    for _ in range(FRAMES_PER_TURN):
        if not poll(venue.exchange, state.frame, time_ns):
            break
        if parse_packet(state.frame, state.packet, state.parsed):
            if state.packet.protocol == PROTOCOL_UDP and state.muted != 0:
                counters.muted += 1
            elif state.packet.protocol == PROTOCOL_UDP:
                slot = reserve(venue.publisher, state.frame.length)
                while slot == 0:
                    counters.unpublished += 1
                    flush(venue.publisher)
                    slot = reserve(venue.publisher, state.frame.length)
                copy_bytes(slot, state.frame.address, state.frame.length)
                commit(venue.publisher, state.frame.length, time_ns)
                counters.published += 1
            else:
                slot = reserve(venue.orders, state.frame.length)
                if slot == 0:
                    counters.lost_answers += 1
                else:
                    copy_bytes(slot, state.frame.address, state.frame.length)
                    commit(venue.orders, state.frame.length, time_ns)
                    counters.answers += 1
        release(venue.exchange)
    flush(venue.publisher)
    flush(venue.orders)


def serve(state: SimState, venues: tuple[SimVenue, ...], clock: Struct, until_ns: int) -> bool:
    """Run the exchanges until the clock shows `until_ns`, or until a replay window wants refilling: then True."""
    now_ns = advance(clock, 0)
    starved = False
    while now_ns < until_ns and not starved:
        for venue in literal_unroll(venues):
            time_ns = capture_time_ns(state, venue.exchange, now_ns)
            take_orders(state, venue, time_ns)
            give_frames(state, venue, time_ns)
            due_ns = next_time_ns(venue.exchange)
            starved = starved or due_ns == STARVED
            venue.counters.at_end = 1 if due_ns == NEVER_NS else 0
        now_ns = advance(clock, 0)
    return starved
