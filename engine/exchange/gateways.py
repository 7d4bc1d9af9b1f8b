"""The order gateways of `crosswire sim`: who is connected to a simulated exchange, and what its books say of them.

Each kind of venue has one class, with the same few methods.
"""

import socket
from typing import Any

from crosswire.engine.build.market import instrument_names
from crosswire.engine.build.venue import HEARTBEAT_MS, order_flow
from crosswire.engine.config import RunConfig, parse_endpoint
from crosswire.engine.exchange.publish import PARTS
from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.rings.ring import NEVER_NS, next_time_ns
from crosswire.nic.rings.sockets.tcp import TcpSocket, TcpSocketRing
from crosswire.nic.rings.sockets.tcp_server import TcpServer, TcpServerRing
from crosswire.venues.bridge.exchange.gateway import set_gateway
from crosswire.venues.exchange.simulated import SimulatedExchange
from crosswire.venues.starbase.exchange.state import StarbaseExchange

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
CLIENT = 1  # the member that the configured API key is of


class BridgeGate(Owner):
    """A bridge's gateway: one client at a time."""

    def __init__(self, config: RunConfig, number: int, exchange: SimulatedExchange) -> None:
        venue = config.venue[number]
        self.names = instrument_names(config)
        self.number = number
        self.exchange = exchange
        self.orders = TcpSocket.unconnected(order_flow(number))
        self.knocking: socket.socket | None = None
        assert venue.live is not None
        ip, port = parse_endpoint(venue.live.gateway, f"venue {venue.name}: live.gateway")
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.listener.bind((ip_text(ip), port))
        except OSError as error:
            self.listener.close()
            reason = f"{error.strerror}; is another simulation running?"
            raise HostError(f"gateway {venue.live.gateway}: {reason}") from None
        self.listener.listen(1)
        self.listener.setblocking(False)

    @property
    def ring(self) -> TcpSocketRing:
        """What its clients send and are sent."""
        return self.orders.ring

    def accept(self) -> None:
        """Take up who knocks. A new client displaces the old one once that one's orders are cancelled."""
        if self.knocking is None:
            try:
                self.knocking, _ = self.listener.accept()
            except BlockingIOError:
                return
        exchange = self.exchange
        if self.orders.socket is None or (exchange.gateway.closed and next_time_ns(exchange.answers) == NEVER_NS):
            self.orders.attach(self.knocking)
            self.knocking = None
            set_gateway(exchange.gateway, order_flow(self.number))
        else:
            self.orders.hang_up()

    def clients(self) -> int:
        """How many are connected."""
        return int(self.orders.socket is not None and not self.ring.closed)

    def scale_heartbeats(self, speed_e6: int) -> None:
        """What is due every second of the client's is so in the exchange's time."""
        gateway = self.exchange.gateway
        interval_ns = HEARTBEAT_MS * NS_PER_MS * speed_e6 // PARTS
        if gateway.logged_on and gateway.heartbeat_interval_ns != interval_ns:
            gateway.heartbeat_interval_ns = interval_ns
            # Silence until now was measured in another time.
            gateway.last_received_ns = gateway.last_sent_ns = self.exchange.now_ns

    def account(self) -> dict[str, Any]:
        """What the exchange's own books say of the client."""
        exchange, gateway = self.exchange, self.exchange.gateway
        return {
            "new_orders": gateway.new_orders,
            "fills": gateway.fills,
            "resting": exchange.matching.resting_count,
            "mistakes": sum(gateway.mistakes) + sum(gateway.stream.faults),
            "position_lots": {
                name: gateway.position_lots[index]
                for index, name in enumerate(self.names)
                if exchange.market.instruments[index].venue == self.number
            },
        }

    def close(self) -> None:
        """Close the connections and the listener."""
        self.orders.close()
        self.listener.close()
        if self.knocking is not None:
            self.knocking.close()


class StarbaseGate(Owner):
    """Starbase's gateways A and B: several clients at once, of whom the exchange ends those that it no longer wants."""

    def __init__(self, config: RunConfig, number: int, exchange: StarbaseExchange) -> None:
        venue = config.venue[number]
        self.names = instrument_names(config)
        self.number = number
        self.exchange = exchange
        assert venue.live is not None
        texts = [text for text in (venue.live.gateway, venue.live.gateway_b) if text]
        endpoints = [parse_endpoint(text, f"venue {venue.name}: live.gateway") for text in texts]
        self.server = TcpServer(endpoints, [order_flow(number, gateway) for gateway in range(len(endpoints))])

    @property
    def ring(self) -> TcpServerRing:
        """What its clients send and are sent."""
        return self.server.ring

    def accept(self) -> None:
        """Take up who knocks, let go who has gone."""
        self.server.accept()

    def clients(self) -> int:
        """How many are connected."""
        return self.server.clients()

    def scale_heartbeats(self, speed_e6: int) -> None:
        """What is due every few seconds of the client's is so in the exchange's time."""
        gateways = self.exchange.gateways
        interval_ns = gateways.heartbeat_s * NS_PER_S * speed_e6 // PARTS
        if gateways.heartbeat_ns != interval_ns:
            gateways.heartbeat_ns = interval_ns
            gateways.grace_ns = interval_ns // 2
            # Silence until now was measured in another time.
            for served in gateways.served:
                served.last_received_ns = served.last_sent_ns = self.exchange.now_ns

    def account(self) -> dict[str, Any]:
        """What the exchange's own books say of the client."""
        exchange = self.exchange
        member = exchange.matching.members[CLIENT]
        return {
            "new_orders": member.new_orders,
            "duplicate_orders": member.duplicate_orders,
            "fills": member.fills,
            "resting": member.open_orders,
            "mistakes": sum(exchange.gateways.mistakes),
            "position_lots": {
                name: member.position_lots[index]
                for index, name in enumerate(self.names)
                if exchange.matching.market.instruments[index].venue == self.number
            },
        }

    def close(self) -> None:
        """Close the connections and the listeners."""
        self.server.close()


SimGateway = BridgeGate | StarbaseGate


def make_gate(config: RunConfig, number: int, exchange: Any) -> SimGateway:
    """The gateways of one venue's exchange, listening."""
    if config.venue[number].orders == "starbase":
        return StarbaseGate(config, number, exchange)
    return BridgeGate(config, number, exchange)
