"""Simulated Starbase: a ring with the whole exchange at its other end, in virtual time.

    background orders --+
                        v
    engine -> orders -> gateways A, B -> matching engine -> publisher -> feed -> engine
                              |                                                    ^
                              +-----------------> answers -------------------------+

The engine commits order frames and requests for retransmission; it polls market data packets and answers. Each of the
three wires has its latency. What happens at one and the same nanosecond is ordered, always: at the exchange releases
from the speed bump, then background orders, frames of clients, thaws, duties of gateways and publisher; towards the
engine market data before answers.

The exchange catches up inside `poll`, no further than the next frame that it has for the engine. The same object
serves `crosswire exchange`, where connections come and go by frames with SYN, FIN and RST; for an engine in the same
process `connection_of` and `reconnect` do that.
"""

from crosswire.nic.memory.struct import address_of, view
from crosswire.nic.packet import (
    ETHERNET_HEADER_BYTES,
    FLAG_FIN,
    FLAG_RST,
    IPV4_HEADER_BYTES,
    TcpHeader,
)
from crosswire.nic.rings.connection import connection_of, reconnect, select_stream
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.nic.rings.latency import note_frame
from crosswire.nic.rings.ring import Frame, next_time_ns, poll, release
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.load import call_entry
from crosswire.venues.exchange.ring import ANSWER, MARKET_DATA, NOTHING, send_syn
from crosswire.venues.starbase.exchange.background import next_background_ns
from crosswire.venues.starbase.exchange.events import next_quiet_ns
from crosswire.venues.starbase.exchange.gateway.gateway import kill_connections, next_duty_ns
from crosswire.venues.starbase.exchange.matching.matching import next_release_ns
from crosswire.venues.starbase.exchange.matching.quotes import next_protection_ns
from crosswire.venues.starbase.exchange.state import StarbaseExchange


@poll.register(StarbaseExchange)
def poll_starbase(exchange: StarbaseExchange, frame: Frame, now_ns: int) -> bool:
    exchange.polled = NOTHING
    call_entry(exchange.catch_up, address_of(exchange), now_ns)
    drop_stale(exchange, now_ns)
    feed_ns = next_time_ns(exchange.feed)
    answer_ns = next_time_ns(exchange.answers)
    if min(feed_ns, answer_ns) > now_ns:
        exchange.counters.empty_polls += 1
        return False
    if feed_ns <= answer_ns:
        poll(exchange.feed, frame, now_ns)
        note_frame(exchange.orders.latency, frame.time_ns)
        exchange.polled = MARKET_DATA
    else:
        poll(exchange.answers, frame, now_ns)
        exchange.polled = ANSWER
        note_end(exchange, frame)
    exchange.counters.frames += 1
    exchange.counters.bytes += frame.length
    return True


@compiled
def stream_of(exchange: StarbaseExchange, client_port: int) -> int:
    """Find the in-process stream with this port at the client's end, -1."""
    for number in range(exchange.stream_count):
        if exchange.streams[number].flow.source_port == client_port:
            return number
    return -1


@compiled
def drop_stale(exchange: StarbaseExchange, now_ns: int) -> None:
    """Drop answers on a connection that an in-process client has given up: its host would not deliver them."""
    answers = exchange.answers
    while exchange.stream_count != 0 and next_time_ns(answers) <= now_ns:
        place = answers.received & (DELAY_FRAMES_MAX - 1)
        header = view(TcpHeader, address_of(answers.frames[place].data) + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES)
        number = stream_of(exchange, header.destination_port)
        if number < 0:
            return
        stream = exchange.streams[number]
        if stream.is_up != 0 and exchange.generations[place] == stream.number:
            return
        exchange.stale += 1
        release(answers)


@compiled
def note_end(exchange: StarbaseExchange, frame: Frame) -> None:
    """Note that an answer with FIN or RST is the last of its connection."""
    if exchange.stream_count == 0:
        return
    header = view(TcpHeader, frame.address + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES)
    number = stream_of(exchange, header.destination_port)
    if number >= 0 and header.flags & (FLAG_FIN | FLAG_RST) != 0:
        exchange.streams[number].is_up = 0


@release.register(StarbaseExchange)
def release_starbase(exchange: StarbaseExchange) -> None:
    if exchange.polled == ANSWER:
        release(exchange.answers)
    elif exchange.polled == MARKET_DATA:
        release(exchange.feed)
    exchange.polled = NOTHING


@next_time_ns.register(StarbaseExchange)
def next_starbase_ns(exchange: StarbaseExchange) -> int:
    """Tell when the ring has something to do next; after `end_ns` gateways' duties alone keep no run going."""
    first_ns = min(next_time_ns(exchange.feed), next_time_ns(exchange.answers), next_time_ns(exchange.orders))
    first_ns = min(first_ns, next_release_ns(exchange.matching), next_background_ns(exchange.background))
    duty_ns = min(next_duty_ns(exchange), next_protection_ns(exchange.matching))
    if duty_ns <= exchange.end_ns:
        first_ns = min(first_ns, duty_ns)
    return min(first_ns, next_quiet_ns(exchange))


@connection_of.register(StarbaseExchange)
def starbase_connection(exchange: StarbaseExchange, stream: int) -> int:
    return exchange.streams[stream].number if exchange.streams[stream].is_up != 0 else 0


@select_stream.register(StarbaseExchange)
def select_starbase(_exchange: StarbaseExchange, _stream: int) -> None:
    """Do nothing: a frame's ports already say which connection it belongs to."""


@reconnect.register(StarbaseExchange)
def reconnect_starbase(exchange: StarbaseExchange, stream: int, now_ns: int) -> None:
    """Open a new connection; its frame with SYN ends the old one at the exchange, too."""
    ours = exchange.streams[stream]
    ours.is_up = 0
    if send_syn(exchange, ours.flow, now_ns):
        ours.number += 1
        ours.is_up = 1


@compiled
def restart_gateway(exchange: StarbaseExchange, gateway: int, now_ns: int) -> None:
    """Kill a gateway's process and start another: connections die by RST, numbers and stored messages are kept.

    The caller has polled everything until `now_ns`.
    """
    exchange.now_ns = max(exchange.now_ns, now_ns)
    kill_connections(exchange, gateway, exchange.now_ns)


@compiled
def forget_session(exchange: StarbaseExchange, number: int) -> None:
    """Lose at the exchange what a session was sent: asked for again, it is stepped over by gap fills."""
    session = exchange.gateways.sessions[number]
    session.first_sequence = session.send_sequence + 1
