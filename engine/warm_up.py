"""Frames through the whole line before the first real one: the loop's code, tables and branches in the caches.

The same compiled loop runs on rings of the same kind in a network namespace of its own, over a strategy and books that
are thrown away. The frames are the first of the venues' captures; orders go into a connection that nobody reads.
"""

import heapq
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import msgspec

from engine.build import Core, build_core
from engine.config import LiveVenueConfig, RunConfig
from engine.loop import Venue
from engine.rings import make_venues, open_rings
from nic.clock import ClockKeeper, LiveClock, advance
from nic.packet import ETHER_TYPE_IPV4
from nic.replay import read_frames
from nic.testbed import private_namespace
from venues.order import SessionState

FRAMES_MAX = 2_000  # of each venue
BATCH_FRAMES = 16  # sent at once: a ring holds at least 32
BATCH_PAUSE_S = 0.0005
SETTLE_S = 0.05


def warm_up(config: RunConfig, config_path: Path, loop: Callable[..., int], tap_bytes: int = 0) -> str:
    """Run `loop` on synthetic traffic; says what was done. HostError if the rings can't be made.

    `tap_bytes` is as of `open_rings`: rings of the kind that the loop was compiled for.
    """
    captures = [[config_path.parent / capture for capture in venue.captures] for venue in config.venue]
    missing = [path for paths in captures for path in paths if not path.exists()]
    if missing or not all(captures):
        return "not warmed up: " + (f"capture {missing[0]} does not exist" if missing else "a venue has no captures")
    core = build_core(config, config_path)
    with ExitStack() as closing:
        pairs = closing.enter_context(private_namespace(len(config.venue)))
        listener = closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=len(config.venue)))
        rings = []
        for number, (near, _) in enumerate(pairs):
            each = open_rings(inside(config, near, listener.getsockname()[1]), number, tap_bytes)
            closing.push(each.closing)
            rings.append(each)
        clock = LiveClock()
        ClockKeeper(clock)
        venues = make_venues(config, core.engine.market, [each.ring for each in rings])
        log_on(core, venues, advance(clock, 0))
        thread = threading.Thread(target=loop, args=(core.engine, venues, core.strategy, clock), name="warm-up")
        thread.start()
        try:
            send_frames([far for _, far in pairs], captures)
            time.sleep(SETTLE_S)
        finally:
            core.engine.state.stop = 1
            thread.join()
    state = core.engine.state
    return f"warmed up with {state.frames:,} frames, {state.orders_sent} orders that went nowhere"


def inside(config: RunConfig, interface: str, port: int) -> RunConfig:
    """The configuration with every venue's rings on `interface`, its gateway on this host."""

    def moved(live: LiveVenueConfig | None) -> LiveVenueConfig:
        assert live is not None
        return msgspec.structs.replace(
            live,
            interface=interface,
            device=f"net_af_packet_{interface},iface={interface}" if live.device else "",
            queue=0,
            coalesce_us=None,
            flow_steering=False,
            require=live.require and "generic",
            gateway=f"127.0.0.1:{port}",
        )

    venues = [msgspec.structs.replace(venue, live=moved(venue.live)) for venue in config.venue]
    return msgspec.structs.replace(config, venue=venues)


def log_on(core: Core, venues: tuple[Venue, ...], now_ns: int) -> None:
    """Have the sessions believe that their gateways answered."""
    for venue in venues:
        session = venue.session
        session.state = core.engine.gate.venues[session.venue].session_state = SessionState.READY
        session.last_received_ns = now_ns


def send_frames(interfaces: list[str], captures: list[list[Path]]) -> None:
    """Each venue's first frames onto its interface, all in the order of their times."""
    with ExitStack() as closing:
        raws = [
            closing.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETHER_TYPE_IPV4)) for _ in interfaces
        ]
        for raw, interface in zip(raws, interfaces, strict=True):
            raw.bind((interface, ETHER_TYPE_IPV4))
        streams = (first_frames(venue, paths) for venue, paths in enumerate(captures))
        for number, (_, venue, frame) in enumerate(heapq.merge(*streams)):
            raws[venue].send(frame)
            if number % BATCH_FRAMES == 0:
                time.sleep(BATCH_PAUSE_S)


def first_frames(venue: int, captures: list[Path]) -> Iterator[tuple[int, int, bytes]]:
    """(time, venue, frame) of the venue's first frames."""
    for time_ns, frame in islice(read_frames(captures), FRAMES_MAX):
        yield time_ns, venue, frame
