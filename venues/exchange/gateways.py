"""The gateway of an exchange over captures on a real socket, for `crosswire exchange`."""

import socket
from typing import Any

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.rings.ring import NEVER_NS, next_time_ns
from crosswire.nic.rings.sockets.tcp import TcpSocket, TcpSocketRing
from crosswire.venues.adapter import GatewaySetup
from crosswire.venues.bridge.exchange.gateway import displace_client, mistakes_of, set_gateway
from crosswire.venues.exchange.order_entry import HEARTBEAT_MS
from crosswire.venues.exchange.ring import is_settled
from crosswire.venues.exchange.simulated import SimulatedExchange
from crosswire.venues.instrument import E6


class ReplayedGateways(Owner):
    """One listener, one client at a time."""

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
        """The ring that carries what the client sends and is sent."""
        return self.orders.ring

    def accept(self) -> None:
        """Accept a new client, which displaces the old one once that one's orders are cancelled and it was told."""
        if self.waiting is None:
            try:
                self.waiting, _ = self.listener.accept()
            except BlockingIOError:
                return
        exchange = self.exchange
        gateway = exchange.gateway
        if self.orders.socket is None or (gateway.closed and is_settled(exchange)):
            self.orders.attach(self.waiting)
            self.waiting = None
            set_gateway(gateway, self.setup.flows[0])
        elif gateway.logged_on:
            displace_client(gateway, exchange.matching, exchange.market, exchange.answers, exchange.now_ns)
        elif not gateway.closed or next_time_ns(exchange.answers) == NEVER_NS:
            self.orders.hang_up()  # what is on its way from it is read, and no more

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
            "mistakes": mistakes_of(gateway),
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
