"""From a venue's live configuration to its rings on the host."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from engine.build import FEEDS, make_session, order_flow
from engine.config import ConfigError, LiveVenueConfig, RunConfig, VenueConfig, parse_endpoint
from engine.loop import Venue
from nic.af_packet import AfPacketRing, AfPacketSocket
from nic.af_xdp import AfXdpRing, AfXdpSocket
from nic.dpdk import DpdkPort, DpdkRing
from nic.host import HostError
from nic.interface import InterfaceDrops
from nic.line import make_line_ring
from nic.multicast import Group, Membership, is_multicast
from nic.offload import Offload
from nic.socket_tcp import TcpSocket, TcpSocketRing
from nic.socket_udp import UdpSocket, UdpSocketRing
from nic.tap import make_tap
from nic.xdp_program import SteerRules
from venues.market import Market

MARKET_RINGS = {"af_xdp": AfXdpRing, "af_packet": AfPacketRing, "sockets": UdpSocketRing, "dpdk": DpdkRing}


@dataclass
class VenueRings:
    """One venue's ring, what carries it, and everything that must be closed after it."""

    ring: Any
    market: Any  # the owner of the market data ring
    orders: TcpSocket
    drops: InterfaceDrops
    obtained: str
    tap: Any  # around the market data ring; None: it is not captured
    closing: ExitStack = field(default_factory=ExitStack)


def blank_ring(venue: VenueConfig, tapped: bool = False) -> Any:
    """A ring of the class that `open_rings` will give, connected to nothing: what compiling needs to know."""
    assert venue.live is not None
    market = MARKET_RINGS[venue.live.ring]()
    return make_line_ring(TcpSocketRing(), (make_tap(market, 8) if tapped else market,))


def make_venues(config: RunConfig, market: Market, rings: list[Any]) -> tuple[Venue, ...]:
    """The venues' lines over these rings, with new feeds and closed sessions."""
    return tuple(
        Venue(ring, FEEDS[venue.feed][1](venue=number), make_session(number, market))
        for number, (venue, ring) in enumerate(zip(config.venue, rings, strict=True))
    )


def parse_group(text: str, what: str) -> Group:
    """ "239.1.1.1:6200", or "10.98.0.2@239.1.1.1:6200" for one source's packets only."""
    source, _, group = text.rpartition("@")
    ip, port = parse_endpoint(group, what)
    if not is_multicast(ip):
        raise ConfigError(f"{what} = {text}: {group} is not a multicast address (224.0.0.0/4)")
    return Group(ip, port, parse_endpoint(f"{source}:1", what)[0] if source else 0)


def open_rings(config: RunConfig, number: int, tap_bytes: int = 0) -> VenueRings:
    """Join the groups, open the market data ring, connect the order session. ConfigError, HostError: one line each.

    With `tap_bytes` the market data ring is in a tap with so large a buffer.
    """
    venue = config.venue[number]
    live = venue.live
    assert live is not None
    what = f"venue {venue.name}: live."
    groups = [parse_group(text, f"{what}groups") for text in live.groups]
    if not groups:
        raise ConfigError(f"{what}groups is empty")
    closing = ExitStack()
    try:
        set_offloads(live, config.live.namespace if config.live else "", groups, closing)
        market, obtained = open_market(venue, groups, closing)
        orders = closing.enter_context(
            TcpSocket.connect(parse_endpoint(live.gateway, f"{what}gateway"), order_flow(number))
        )
        drops = closing.enter_context(InterfaceDrops(live.interface))
        tap = make_tap(market.ring, tap_bytes) if tap_bytes > 0 else None
        ring = make_line_ring(orders.ring, (market.ring if tap is None else tap,))
    except HostError as error:
        closing.close()
        raise HostError(f"venue {venue.name}: {error}") from None
    except BaseException:
        closing.close()
        raise
    return VenueRings(ring, market, orders, drops, obtained, tap, closing)


def set_offloads(live: LiveVenueConfig, namespace: str, groups: list[Group], closing: ExitStack) -> None:
    """What the interface is asked to do while the rings are open."""
    if live.coalesce_us is None and not live.flow_steering:
        return
    offload = closing.enter_context(Offload(live.interface, namespace))
    if live.coalesce_us is not None:
        offload.coalesce(live.coalesce_us)
    if live.flow_steering:
        offload.steer([(group.ip, group.port) for group in groups], live.queue)


def open_market(venue: VenueConfig, groups: list[Group], closing: ExitStack) -> tuple[Any, str]:
    """The owner of the market data ring, and what kind of ring was obtained."""
    live = venue.live
    assert live is not None
    if live.ring == "sockets":
        return closing.enter_context(UdpSocket(live.interface, groups, busy_poll_us=live.busy_poll_us)), "sockets"
    market, obtained = open_bypass(venue, live, groups, closing)
    closing.enter_context(Membership(live.interface, groups))
    return market, obtained


def open_bypass(venue: VenueConfig, live: LiveVenueConfig, groups: list[Group], closing: ExitStack) -> tuple[Any, str]:
    """A ring that takes the frames before, or beside, the kernel's stack."""
    steered = tuple((group.ip, group.port, group.source_ip) for group in groups)
    if live.ring == "af_packet":
        return closing.enter_context(AfPacketSocket(live.interface, udp=steered, frames=live.frames)), "af_packet"
    if live.ring == "dpdk":
        if any(group.source_ip for group in groups):  # it steers nothing: the port's frames are all its
            raise ConfigError(f"venue {venue.name}: live.groups: ring dpdk can't filter by source")
        if not live.device:
            raise ConfigError(f'venue {venue.name}: live.device is missing: what DPDK is to open, as "0000:3b:00.0"')
        port = closing.enter_context(DpdkPort(live.device, frames=live.frames))
        return port, port.obtained
    if live.require is None:
        raise ConfigError(f'venue {venue.name}: live.require is missing: "zerocopy", "native" or "generic"')
    socket = closing.enter_context(
        AfXdpSocket(
            live.interface,
            live.queue,
            SteerRules(udp=steered),
            require=live.require,
            busy_poll_us=live.busy_poll_us,
            frames=2 * live.frames,  # half of them for transmitting
        )
    )
    return socket, f"af_xdp {socket.obtained}{', huge pages' if socket.huge else ''}"
