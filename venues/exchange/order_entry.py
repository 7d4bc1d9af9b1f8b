"""Trading on a simulated exchange over captures: the session at the engine's end, the gateway at the exchange's.

Captures tell how a venue's books went, not how it takes orders. So the exchange that is made from them takes orders in
Crosswire's own protocol, whichever venue's captures they are: `venues/bridge/orders` and `venues/bridge/exchange`.
"""

import socket
from collections.abc import Callable
from typing import Any

from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.rings.ring import NEVER_NS, next_time_ns
from crosswire.nic.rings.sockets.tcp import TcpSocket, TcpSocketRing
from crosswire.venues.adapter import NS_PER_US, ExchangeSetup, GatewaySetup, OrderEntry, VenueSetup
from crosswire.venues.bridge.exchange.gateway import set_gateway
from crosswire.venues.bridge.orders.session import BridgeSession, make_bridge_session
from crosswire.venues.exchange.simulated import SimulatedExchange, make_simulated_exchange
from crosswire.venues.feed import Feed

HEARTBEAT_MS = 1_000
NS_PER_MS = 1_000_000
E6 = 1_000_000


def replayed_order_entry(make_feed: Callable[[VenueSetup], Feed]) -> OrderEntry:
    """Describe trading on an exchange over captures, whose own feed `make_feed` makes."""

    def make_exchange(setup: ExchangeSetup) -> SimulatedExchange:
        return make_replayed_exchange(make_feed(setup), setup)

    return OrderEntry(make_session=make_session, make_exchange=make_exchange, make_gateways=ReplayedGateways)


def make_session(setup: VenueSetup) -> BridgeSession:
    """Make an order session, closed."""
    return make_bridge_session(
        setup.number,
        setup.market,
        setup.flows[0],
        session_id=setup.number + 1,
        heartbeat_interval_ms=HEARTBEAT_MS,
    )


def make_replayed_exchange(feed: Feed, setup: ExchangeSetup) -> SimulatedExchange:
    """Make an exchange whose books are those of the captures. ValueError names what is out of range."""
    assert setup.replay is not None
    simulation = setup.simulation
    try:
        return make_simulated_exchange(
            feed,
            setup.number,
            setup.replay,
            setup.market,
            setup.flows[0],
            level_capacity=setup.level_capacity,
            feed_latency_ns=simulation.feed_latency_us * NS_PER_US,
            order_latency_ns=simulation.order_latency_us * NS_PER_US,
            response_latency_ns=simulation.response_latency_us * NS_PER_US,
            orders_per_second=simulation.orders_per_second,
            burst=simulation.burst,
            resting_max=simulation.max_resting_orders,
            linker=setup.linker,
        )
    except ValueError as error:
        raise ValueError(f"simulation: {error}") from None


class ReplayedGateways(Owner):
    """The gateway of an exchange over captures on a real socket: one client at a time."""

    def __init__(self, setup: GatewaySetup) -> None:
        self.setup = setup
        self.exchange: SimulatedExchange = setup.exchange
        self.orders = TcpSocket.unconnected(setup.flows[0])
        self.waiting: socket.socket | None = None
        ip, port = setup.endpoints[0]
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.listener.bind((ip_text(ip), port))
        except OSError as error:
            self.listener.close()
            reason = f"{error.strerror}; is another simulation running?"
            raise HostError(f"gateway {ip_text(ip)}:{port}: {reason}") from None
        self.listener.listen(1)
        self.listener.setblocking(False)

    @property
    def ring(self) -> TcpSocketRing:
        """What the client sends and is sent."""
        return self.orders.ring

    def accept(self) -> None:
        """Accept a new client, which displaces the old one once that one's orders are cancelled."""
        if self.waiting is None:
            try:
                self.waiting, _ = self.listener.accept()
            except BlockingIOError:
                return
        exchange = self.exchange
        if self.orders.socket is None or (exchange.gateway.closed and next_time_ns(exchange.answers) == NEVER_NS):
            self.orders.attach(self.waiting)
            self.waiting = None
            set_gateway(exchange.gateway, self.setup.flows[0])
        else:
            self.orders.hang_up()

    def clients(self) -> int:
        """Count the connected clients."""
        return int(self.orders.socket is not None and not self.ring.closed)

    def scale_heartbeats(self, speed_e6: int) -> None:
        """Keep heartbeats in the client's time."""
        gateway = self.exchange.gateway
        interval_ns = HEARTBEAT_MS * NS_PER_MS * speed_e6 // E6
        if gateway.logged_on and gateway.heartbeat_interval_ns != interval_ns:
            gateway.heartbeat_interval_ns = interval_ns
            # Silence until now was measured in another time.
            gateway.last_received_ns = gateway.last_sent_ns = self.exchange.now_ns

    def account(self) -> dict[str, Any]:
        """Tell what the exchange's own books say of the client."""
        exchange, gateway = self.exchange, self.exchange.gateway
        return {
            "new_orders": gateway.new_orders,
            "fills": gateway.fills,
            "resting": exchange.matching.resting_count,
            "mistakes": sum(gateway.mistakes) + sum(gateway.stream.faults),
            "position_lots": {
                name: gateway.position_lots[index]
                for index, name in enumerate(self.setup.names)
                if exchange.market.instruments[index].venue == self.setup.number
            },
        }

    def close(self) -> None:
        """Close the connections and the listener."""
        self.orders.close()
        self.listener.close()
        if self.waiting is not None:
            self.waiting.close()
