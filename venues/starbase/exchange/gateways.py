"""The gateways of the simulated exchange on real sockets, for `crosswire exchange`."""

from typing import Any

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.owner import Owner
from crosswire.nic.rings.sockets.tcp_server import TcpServer, TcpServerRing
from crosswire.venues.adapter import GatewaySetup
from crosswire.venues.exchange.counted import counted
from crosswire.venues.instrument import E6
from crosswire.venues.starbase.exchange.account import CLIENT
from crosswire.venues.starbase.exchange.rest import RestServer
from crosswire.venues.starbase.exchange.state import Mistake, StarbaseExchange


class StarbaseGateways(Owner):
    """Gateways A and B: several clients at once; the exchange ends those that it no longer wants. And its REST."""

    def __init__(self, setup: GatewaySetup) -> None:
        self.setup = setup
        self.exchange: StarbaseExchange = setup.exchange
        self.server = TcpServer(setup.endpoints, list(setup.flows[: len(setup.endpoints)]))
        self.rest = RestServer(setup)

    @property
    def ring(self) -> TcpServerRing:
        """The ring that carries what the clients send and are sent."""
        return self.server.ring

    def accept(self) -> None:
        """Accept new clients; let go of those that have left; tell the account to who has asked for it."""
        self.server.accept()
        self.rest.tell()

    def clients(self) -> int:
        """Count the connected clients."""
        return self.server.clients()

    def scale_heartbeats(self, speed_e6: int) -> None:
        """Keep heartbeats in the clients' time."""
        gateways = self.exchange.gateways
        interval_ns = gateways.heartbeat_s * NS_PER_S * speed_e6 // E6
        if gateways.heartbeat_ns != interval_ns:
            gateways.heartbeat_ns = interval_ns
            gateways.grace_ns = interval_ns // 2
            # Silence until now was measured in another time.
            for served in gateways.served:
                served.last_received_ns = served.last_sent_ns = self.exchange.now_ns

    def account(self) -> dict[str, Any]:
        """Tell what the exchange's own books say of the client."""
        exchange = self.exchange
        member = exchange.matching.members[CLIENT]
        return {
            "new_orders": member.new_orders,
            "duplicate_orders": member.duplicate_orders,
            "fills": member.fills,
            "resting": member.open_orders,
            "mistakes": counted(exchange.gateways.mistakes, Mistake),
            "rest": self.rest.summary(),
            "position_lots": {
                name: member.position_lots[index]
                for index, name in enumerate(self.setup.names)
                if exchange.matching.market.instruments[index].venue == self.setup.number
            },
        }

    def close(self) -> None:
        """Close the connections and the listeners."""
        self.rest.close()
        self.server.close()
