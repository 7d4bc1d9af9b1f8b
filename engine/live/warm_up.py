"""Synthetic traffic before the first real frame, so that the loop's code, tables and branches are in the caches.

The same compiled loop runs on rings of the same kind in a network namespace of its own, over a strategy and books that
are thrown away. The frames are the first of a venue's captures, or of its simulated exchange where that makes its
market data itself; orders go into a connection that nobody reads: with the kernel's TCP to a listener, with our own to
a gateway that says SYN-ACK and nothing more.
"""

import ctypes
import heapq
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from crosswire.engine.build.market import make_market
from crosswire.engine.build.run import Core, Run, build_core
from crosswire.engine.build.venue import make_exchange
from crosswire.engine.captures import venue_captures
from crosswire.engine.config import ConfigError, LiveVenueConfig, RunConfig
from crosswire.engine.errors import KNOWN_ERRORS, LoopError
from crosswire.engine.live.rings import make_all_parts, open_rings
from crosswire.engine.loop import Status
from crosswire.engine.venue import VenueParts
from crosswire.nic.capture.stamps import STAMPS_NAMED
from crosswire.nic.clock import ClockKeeper, LiveClock, advance
from crosswire.nic.host.testbed import private_namespace
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    FLAG_ACK,
    FLAG_SYN,
    PROTOCOL_UDP,
    TCP_FRAME_HEADER_BYTES,
    Packet,
    PacketCounters,
    parse_packet,
    reverse_flow,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.connection import connection_of
from crosswire.nic.rings.replay import STARVED, Replay, read_frames
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.tcp.connection import TcpConnections, reconnect_from_python, turn
from crosswire.nic.unit.link import Linker

FRAMES_MAX = 2_000  # of each venue
BATCH_FRAMES = 16  # sent at once: a ring holds at least 32
BATCH_PAUSE_S = 0.0005
SETTLE_S = 0.05
NOBODY_MAC = "02:00:00:00:00:ff"

TimedFrame: TypeAlias = tuple[int, int, bytes]  # time, number of the venue, frame


def warm_up(config: RunConfig, config_path: Path, tap_bytes: int = 0) -> str:
    """Run the loop on synthetic traffic; return what was done.

    HostError if the rings can't be made; LoopError if the loop fails: it would fail as well on the first real frames.

    `tap_bytes` is as in `open_rings`: rings of the kind that the loop was compiled for.
    """
    try:
        frames = [first_frames(number, config, config_path) for number in range(len(config.venue))]
    except KNOWN_ERRORS as error:
        return f"not warmed up: {error}"
    core = build_core(config, config_path)
    kept = MemoryJournal(core.engine.journal)
    with ExitStack() as closing:
        pairs = closing.enter_context(private_namespace(len(config.venue)))
        listener = closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=len(config.venue)))
        rings = []
        here = [inside(config, near, listener.getsockname()[1]) for near, _ in pairs]
        for number, own in enumerate(here):
            each = open_rings(own, config_path, number, tap_bytes)
            closing.push(each.closing)
            rings.append(each)
        clock = LiveClock()
        ClockKeeper(clock)
        for each, (_, far) in zip(rings, pairs, strict=True):
            if each.connections is not None:
                pretend_to_connect(each.connections, far, clock)
        parts = make_all_parts(here[0], config_path, core.engine.market, [each.ring for each in rings])
        run = Run(config, config_path, core, parts, clock, [])
        run.load()
        log_on(core, parts, config, advance(clock, 0))
        failures: list[LoopError] = []
        thread = threading.Thread(target=turn_or_note, args=(run, kept, failures), name="warm-up")
        thread.start()
        try:
            send_frames([far for _, far in pairs], frames)
            time.sleep(SETTLE_S)
        finally:
            core.engine.state.stop = 1
            thread.join()
            for each in rings:
                if each.connections is not None:
                    each.connections.disconnect(patience_s=0)
    if failures:
        raise failures[0]
    state = core.engine.state
    return f"warmed up with {state.frames:,} frames, {state.orders_sent} orders that went nowhere"


def turn_or_note(run: Run, kept: MemoryJournal, failures: list[LoopError]) -> None:
    """Turn the loop, and note an error that it raises: its thread would only print and forget it."""
    try:
        while run.turn() == Status.JOURNAL:
            kept.take()
    except LoopError as error:
        failures.append(error)


def inside(config: RunConfig, interface: str, port: int) -> RunConfig:
    """Copy the configuration with every venue's rings on `interface` and its gateway on this host."""

    def moved(live: LiveVenueConfig | None) -> LiveVenueConfig:
        assert live is not None
        return msgspec.structs.replace(
            live,
            interface=interface,
            groups=[group.rpartition("@")[2] for group in live.groups],  # frames of captures have other senders
            device=f"net_af_packet_{interface},iface={interface}" if live.device else "",
            queue=0,
            coalesce_us=None,
            flow_steering=False,
            require=live.require and "generic",
            gateway=f"127.0.0.1:{port}",
            gateway_b="",
            gateway_mac=NOBODY_MAC,
            check_udp=False,  # a capture's may not have been filled in
        )

    venues = [msgspec.structs.replace(venue, live=moved(venue.live)) for venue in config.venue]
    return msgspec.structs.replace(config, venue=venues)


def pretend_to_connect(connections: TcpConnections, far: str, clock: LiveClock) -> None:
    """Have our own TCP take its connection as established, by answering its SYN from the wire's other end."""
    frame, ring = Frame(), connections.ring
    assert ring is not None
    tcp = ring.connections[0].tcp
    answer = array(u8, TCP_FRAME_HEADER_BYTES)
    reconnect_from_python(ring, 0, advance(clock, 0))
    write_tcp_frame_header(answer.address, reverse_flow(tcp.wire), 0xFFFF)
    seal_tcp_frame(answer.address, 0, 0, tcp.send.base, FLAG_SYN | FLAG_ACK)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETHER_TYPE_IPV4) as raw:
        raw.bind((far, ETHER_TYPE_IPV4))
        raw.send(bytes(answer))
    begun = time.monotonic()
    while connection_of(ring, 0) == 0 and time.monotonic() - begun < SETTLE_S:
        turn(ring, frame, advance(clock, 0))


def log_on(core: Core, parts: tuple[VenueParts, ...], config: RunConfig, now_ns: int) -> None:
    """Have the sessions believe that their gateways answered."""
    for part, configured in zip(parts, config.venue, strict=True):
        configured.order_entry.believe_ready(part.session, part.ring, now_ns)
        core.engine.gate.venues[part.session.venue].session_state = part.session.state


def send_frames(interfaces: list[str], frames: list[list[TimedFrame]]) -> None:
    """Send each venue's frames onto its interface, all in the order of their times."""
    with ExitStack() as closing:
        raws = [
            closing.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETHER_TYPE_IPV4)) for _ in interfaces
        ]
        for raw, interface in zip(raws, interfaces, strict=True):
            raw.bind((interface, ETHER_TYPE_IPV4))
        for number, (_, venue, frame) in enumerate(heapq.merge(*frames)):
            raws[venue].send(frame)
            if number % BATCH_FRAMES == 0:
                time.sleep(BATCH_PAUSE_S)


def first_frames(number: int, config: RunConfig, config_path: Path) -> list[TimedFrame]:
    """Take the venue's first frames of market data. One of KNOWN_ERRORS says why there are none."""
    venue = config.venue[number]
    if not venue.captures:
        market, _ = make_market(config)
        replays: list[Replay] = []
        linker = Linker()
        exchange = make_exchange(number, config, market, config_path, replays, linker)
        linker.load()
        try:
            return [(time_ns, number, frame) for time_ns, frame in islice(market_frames(exchange), FRAMES_MAX)]
        finally:
            for replay in replays:
                replay.close()
    paths, stamps = venue_captures(venue, config_path), STAMPS_NAMED[venue.capture_stamps]
    for path in paths:
        if not path.exists():
            raise ConfigError(f"capture {path} does not exist")
    return [(time_ns, number, frame) for time_ns, frame in islice(read_frames(paths, stamps=stamps), FRAMES_MAX)]


def market_frames(exchange: Any) -> Iterator[tuple[int, bytes]]:
    """Take the market data of a simulated exchange that nobody trades on: (time, frame)."""
    frame, packet, counters = Frame(), Packet(), PacketCounters()
    while (due_ns := next_time_ns(exchange)) not in (NEVER_NS, STARVED):
        if poll(exchange, frame, due_ns):
            if parse_packet(frame, packet, counters) and packet.protocol == PROTOCOL_UDP:
                yield frame.time_ns, ctypes.string_at(frame.address, frame.length)
            release(exchange)
