"""A venue's rings on the host, made from its live configuration."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crosswire.engine.build.venue import make_parts, order_flow
from crosswire.engine.config import ConfigError, LiveVenueConfig, RunConfig, VenueConfig, parse_endpoint, parse_mac
from crosswire.engine.venue import VenueParts
from crosswire.nic.host.card_clock import check_card_clock
from crosswire.nic.host.interface import InterfaceDrops
from crosswire.nic.host.multicast import Group, Membership, is_multicast
from crosswire.nic.host.offload import Offload
from crosswire.nic.host.process import HostError
from crosswire.nic.memory.struct import Struct
from crosswire.nic.packet import Flow
from crosswire.nic.rings.dpdk.dpdk import DpdkPort, DpdkRing
from crosswire.nic.rings.joined import make_joined_ring
from crosswire.nic.rings.receive_times import HARDWARE, POLL
from crosswire.nic.rings.sockets.af_packet import AfPacketRing, AfPacketSocket
from crosswire.nic.rings.sockets.tcp import TcpSocket, TcpSocketRing
from crosswire.nic.rings.sockets.udp import UdpSocket, UdpSocketRing
from crosswire.nic.rings.tap import make_tap
from crosswire.nic.rings.xdp.af_xdp import AfXdpRing, AfXdpSocket
from crosswire.nic.rings.xdp.program import SteerRules, TcpTuple
from crosswire.nic.tcp.connection import Gateway, TcpConnections
from crosswire.nic.tcp.ring import TcpEndpoints, make_tcp_ring
from crosswire.venues.market import Market

KERNEL_RINGS = ("af_packet", "sockets")  # the kernel has a hand in their frames, and tells their stamps
MARKET_RINGS = {"af_xdp": AfXdpRing, "af_packet": AfPacketRing, "sockets": UdpSocketRing, "dpdk": DpdkRing}


@dataclass
class VenueRings:
    """One venue's ring, what carries it, and everything that must be closed after it."""

    ring: Any
    market: Any  # the owner of the market data ring
    connections: TcpConnections | None  # our own TCP, not connected yet; None: the kernel's, which is
    drops: InterfaceDrops
    obtained: str
    tap: Any  # around all that the loop has of the venue; None: it is not captured
    closing: ExitStack = field(default_factory=ExitStack)


def has_own_tcp(venue: VenueConfig, config_path: Path) -> bool:
    """Tell whether orders go over our own TCP; ConfigError if the ring can't carry it."""
    live = venue.live
    assert live is not None
    if live.tcp == "own" and live.ring != "af_xdp":
        # The kernel sees what the others receive too, and would answer every segment with RST.
        raise ConfigError(f'{config_path}: venue {venue.name}: live.tcp = "own" needs ring = "af_xdp"')
    return live.ring == "af_xdp" if live.tcp is None else live.tcp == "own"


def blank_ring(venue: VenueConfig, config_path: Path, tapped: bool = False) -> Any:
    """Make an unconnected ring of the class that `open_rings` will give: compiling needs no more than that."""
    assert venue.live is not None
    market = MARKET_RINGS[venue.live.ring]()
    ring: Struct
    if has_own_tcp(venue, config_path):
        ring = make_tcp_ring(market, [TcpEndpoints(Flow(), Flow(), (1,))], seed=0)
    else:
        ring = make_joined_ring(TcpSocketRing(), (market,))
    return make_tap(ring, 8, tells_orders=True) if tapped else ring


def make_all_parts(config: RunConfig, config_path: Path, market: Market, rings: list[Any]) -> tuple[VenueParts, ...]:
    """Make the venues' parts over these rings, with new feeds and closed sessions."""
    parts = []
    for number, (venue, ring) in enumerate(zip(config.venue, rings, strict=True)):
        live = venue.live
        # Sockets have the kernel's own look at it.
        checks_udp = live is not None and live.check_udp and live.ring != "sockets"
        parts.append(make_parts(number, config, market, config_path, ring)._replace(checks_udp=checks_udp))
    return tuple(parts)


def parse_group(text: str, what: str) -> Group:
    """Parse "239.1.1.1:6200", or "10.98.0.2@239.1.1.1:6200" for one source's packets only."""
    source, _, group = text.rpartition("@")
    ip, port = parse_endpoint(group, what)
    if not is_multicast(ip):
        raise ConfigError(f"{what} = {text}: {group} is not a multicast address (224.0.0.0/4)")
    return Group(ip, port, parse_endpoint(f"{source}:1", what)[0] if source else 0)


def open_rings(
    config: RunConfig,
    config_path: Path,
    number: int,
    tap_bytes: int = 0,
    allocating: AbstractContextManager[None] | None = None,
) -> VenueRings:
    """Join the groups, open the market data ring, connect the order session. ConfigError, HostError: one line each.

    With `tap_bytes` there is a tap around it all whose buffer has that size. `allocating` is where the counters of the
    market data's ring are to lie; what orders go through holds secrets, and stays where it is.
    """
    venue = config.venue[number]
    live = venue.live
    assert live is not None
    what = f"venue {venue.name}: live."
    groups = [parse_group(text, f"{what}groups") for text in live.groups]
    if not groups:
        raise ConfigError(f"{what}groups is empty")
    own = has_own_tcp(venue, config_path)
    endpoints = [parse_endpoint(text, f"{what}gateway") for text in (live.gateway, live.gateway_b) if text]
    if len(endpoints) > 1 and not own:
        raise ConfigError(f'{what}gateway_b: two gateways need tcp = "own"')
    closing = ExitStack()
    try:
        set_offloads(live, config.live.namespace if config.live else "", groups, closing)
        connections = closing.enter_context(own_connections(live, venue.name, endpoints)) if own else None
        with allocating or nullcontext():
            market, obtained = open_market(venue, groups, closing, connections.tuples if connections else ())
        drops = closing.enter_context(InterfaceDrops(live.interface))
        ring: Struct
        if connections is not None:
            ring = connections.open_ring(market.ring)
            closing.callback(connections.disconnect)
        else:
            orders = closing.enter_context(TcpSocket.connect(endpoints[0], order_flow(venue.name)))
            ring = make_joined_ring(orders.ring, (market.ring,))
        tap = make_tap(ring, tap_bytes, tells_orders=True) if tap_bytes > 0 else None
    except HostError as error:
        closing.close()
        raise HostError(f"venue {venue.name}: {error}") from None
    except BaseException:
        closing.close()
        raise
    return VenueRings(ring if tap is None else tap, market, connections, drops, obtained, tap, closing)


def own_connections(live: LiveVenueConfig, venue: str, endpoints: list[tuple[int, int]]) -> TcpConnections:
    """Make the local ports and neighbours of our own TCP, not connected yet."""
    mac = parse_mac(live.gateway_mac, "live.gateway_mac") if live.gateway_mac else 0
    gateways = [Gateway(ip, port, order_flow(venue, stream), mac) for stream, (ip, port) in enumerate(endpoints)]
    return TcpConnections(live.interface, gateways)


def set_offloads(live: LiveVenueConfig, namespace: str, groups: list[Group], closing: ExitStack) -> None:
    """Ask the interface for what it has to do while the rings are open."""
    if live.coalesce_us is None and not live.flow_steering:
        return
    offload = closing.enter_context(Offload(live.interface, namespace))
    if live.coalesce_us is not None:
        offload.coalesce(live.coalesce_us)
    if live.flow_steering:
        offload.steer([(group.ip, group.port) for group in groups], live.queue)


def open_market(
    venue: VenueConfig, groups: list[Group], closing: ExitStack, connections: tuple[TcpTuple, ...] = ()
) -> tuple[Any, str]:
    """Open the market data ring; return its owner, and what kind of ring was obtained."""
    live = venue.live
    assert live is not None
    if live.timestamps == HARDWARE and live.ring in KERNEL_RINGS:
        check_card_clock(live.interface)
    if live.ring == "sockets":
        udp = UdpSocket(live.interface, groups, busy_poll_us=live.busy_poll_us, stamped=live.timestamps)
        return closing.enter_context(udp), "sockets"
    market, obtained = open_bypass(venue, live, groups, connections, closing)
    closing.enter_context(Membership(live.interface, groups))
    return market, obtained


def open_bypass(
    venue: VenueConfig,
    live: LiveVenueConfig,
    groups: list[Group],
    connections: tuple[TcpTuple, ...],
    closing: ExitStack,
) -> tuple[Any, str]:
    """Open a ring that takes the frames before, or beside, the kernel's stack."""
    if live.timestamps != POLL and live.ring not in KERNEL_RINGS:
        raise ConfigError(
            f'venue {venue.name}: live.timestamps = "{live.timestamps}": {live.ring} takes frames before the'
            ' kernel could tell their stamps; set it to "poll", or the ring to "af_packet" or "sockets"'
        )
    steered = tuple((group.ip, group.port, group.source_ip) for group in groups)
    if live.ring == "af_packet":
        packets = AfPacketSocket(live.interface, udp=steered, frames=live.frames, stamped=live.timestamps)
        return closing.enter_context(packets), "af_packet"
    if live.ring == "dpdk":
        if not live.device:
            raise ConfigError(f'venue {venue.name}: live.device is missing: what DPDK is to open, as "0000:3b:00.0"')
        port = closing.enter_context(DpdkPort(live.device, udp=steered, frames=live.frames))
        return port, port.obtained
    if live.require is None:
        raise ConfigError(f'venue {venue.name}: live.require is missing: "zerocopy", "native" or "generic"')
    socket = closing.enter_context(
        AfXdpSocket(
            live.interface,
            live.queue,
            SteerRules(udp=steered, tcp=connections),
            require=live.require,
            busy_poll_us=live.busy_poll_us,
            frames=2 * live.frames,  # half of them for transmitting
        )
    )
    return socket, f"af_xdp {socket.obtained}{', huge pages' if socket.huge else ''}"
