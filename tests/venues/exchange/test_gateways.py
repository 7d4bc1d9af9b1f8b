"""The gateway of a simulated exchange on a real socket: one client at a time, and whoever comes next is served."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.packet import Packet, PacketCounters, parse_packet
from crosswire.nic.rings.connection import reconnect
from crosswire.nic.rings.replay import Replay
from crosswire.nic.rings.ring import Frame, commit, flush, poll, release, reserve
from crosswire.nic.rings.sockets.tcp import TcpSocket
from crosswire.venues.adapter import GatewaySetup
from crosswire.venues.bridge.orders.session import BridgeSession, explain, make_bridge_session
from crosswire.venues.exchange.gateways import ReplayedGateways
from crosswire.venues.exchange.ring import ANSWER
from crosswire.venues.exchange.simulated import SimulatedExchange, make_simulated_exchange
from crosswire.venues.order import ReportKind, Reports
from crosswire.venues.session import SessionState, keep_session, read_reports, start_session, write_new
from crosswire.venues.side import BUY
from tests.support.order_setup import VENUE, make_approval, make_flow, make_market
from tests.support.ring_cases import LOOPBACK_IP
from tests.venues.exchange.test_simulated import GTC, MS, T0, PlainFeed, quiet, write_capture

TURNS_MAX = 10_000
MARKET_MS = 20_000


class Client:
    """A session over a connection of the kernel's."""

    def __init__(self, port: int) -> None:
        self.socket = TcpSocket.connect((LOOPBACK_IP, port), make_flow())
        self.session: BridgeSession = make_bridge_session(VENUE, make_market(), make_flow(), 1, 60_000)
        self.heard: list[int] = []

    def turn(self, now_ns: int) -> None:
        frame, packet, reports = Frame(), Packet(), Reports()
        while poll(self.socket.ring, frame, now_ns):
            assert parse_packet(frame, packet, PacketCounters())
            reports.count = 0
            read_reports(self.session, packet, reports)
            self.heard += [reports.items[place].kind for place in range(reports.count)]
        if self.session.state == SessionState.CLOSED:
            start_session(self.session, self.socket.ring, now_ns)
        keep_session(self.session, self.socket.ring, now_ns)
        flush(self.socket.ring)


class Bench:
    """An exchange, its gateway, and clients that come and go."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.exchange = exchange
        setup = GatewaySetup(
            number=VENUE,
            names=["x"],
            exchange=exchange,
            endpoints=[(LOOPBACK_IP, 0)],
            flows=(make_flow(),),
            folder=Path(),
            settings=None,
            listeners=None,
        )
        self.gateways = ReplayedGateways(setup)
        self.port = self.gateways.listener.getsockname()[1]
        self.clients: list[Client] = []
        self.now_ns = T0
        self.frame = Frame()

    def connect(self) -> Client:
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def turn(self) -> None:
        """A millisecond of the exchange's, as `crosswire exchange` serves it."""
        self.now_ns += MS
        self.gateways.accept()
        carry(self.gateways.ring, self.exchange, self.frame, self.now_ns)
        while poll(self.exchange, self.frame, self.now_ns):
            if self.exchange.polled == ANSWER and (slot := reserve(self.gateways.ring, self.frame.length)):
                copy_bytes(slot, self.frame.address, self.frame.length)
                commit(self.gateways.ring, self.frame.length, self.now_ns)
            release(self.exchange)
        for client in self.clients:
            client.turn(self.now_ns)

    def until_ready(self, client: Client) -> None:
        for _ in range(TURNS_MAX):
            if client.session.state == SessionState.READY:
                return
            self.turns(1)  # as slowly as the kernel carries what was sent; by turns, for some of them compile
        pytest.fail(f"not ready: {explain(client.session)}")

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn()
            time.sleep(0.0005)


def carry(source: object, target: SimulatedExchange, frame: Frame, now_ns: int) -> None:
    while poll(source, frame, now_ns):  # type: ignore[arg-type]
        slot = reserve(target, frame.length)
        copy_bytes(slot, frame.address, frame.length)
        commit(target, frame.length, now_ns)
        release(source)  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    path = write_capture(tmp_path / "feed.pcap", quiet(MARKET_MS))
    with Replay([path], cursors=2) as replay:
        exchange = make_simulated_exchange(
            PlainFeed(), VENUE, replay, make_market(), make_flow(), level_capacity=256, feed_latency_ns=0,
            order_latency_ns=MS, response_latency_ns=MS, orders_per_second=1000, burst=1000, resting_max=100,
        )  # fmt: skip
        bench = Bench(exchange)
        yield bench
        for client in bench.clients:
            client.socket.close()
        bench.gateways.close()


def test_a_new_client_displaces_the_old_one_which_stays_away(bench: Bench) -> None:
    old = bench.connect()
    bench.until_ready(old)
    assert write_new(old.session, old.socket.ring, make_approval(1, BUY, GTC, 90, 4), bench.now_ns)
    bench.turns(20)
    assert (old.heard, bench.exchange.matching.resting_count) == ([ReportKind.ACK], 1)
    new = bench.connect()
    bench.until_ready(new)
    bench.turns(2_000)  # two seconds of the exchange's
    assert old.heard == [ReportKind.ACK, ReportKind.CANCELLED]
    assert explain(old.session) == "the exchange logged us out: displaced; nothing more is sent there"
    assert new.session.state == SessionState.READY
    assert bench.exchange.matching.resting_count == 0
    assert sum(bench.exchange.gateway.mistakes) == 0


def test_a_client_that_comes_again_is_served(bench: Bench) -> None:
    """Its host has ended the first connection, with an order on its way, which counts for nothing on the second."""
    client = bench.connect()
    bench.until_ready(client)
    for number in (1, 2, 3):
        assert write_new(client.session, client.socket.ring, make_approval(number, BUY, GTC, 90, 4), bench.now_ns)
        bench.turns(1)
    reconnect(client.socket.ring, 0, bench.now_ns)
    client.session.state, client.session.reconnect_ns = SessionState.LOST, 1 << 62
    bench.turns(1)
    bench.until_ready(client)
    assert client.session.connection == 2
    assert client.heard[-1] == ReportKind.ACCOUNT_END
    assert bench.exchange.matching.resting_count == 0
    last_id = bench.exchange.matching.last_client_order_id
    assert write_new(client.session, client.socket.ring, make_approval(last_id + 1, BUY, GTC, 90, 4), bench.now_ns)
    bench.turns(20)
    assert client.heard[-1] == ReportKind.ACK
    assert sum(bench.exchange.gateway.mistakes) + sum(bench.exchange.gateway.stream.faults) == 0


def test_what_a_client_did_wrong_is_told_by_name_and_a_goodbye_is_not_wrong(bench: Bench) -> None:
    client = bench.connect()
    bench.until_ready(client)
    client.session.stream.send_sequence += 1  # its next message has a number that is not the next
    assert write_new(client.session, client.socket.ring, make_approval(1, BUY, GTC, 90, 4), bench.now_ns)
    bench.turns(20)
    assert bench.gateways.account()["mistakes"] == {"bad_sequence": 1}
    again = bench.connect()
    bench.until_ready(again)
    assert bench.gateways.account()["mistakes"] == {}
    again.socket.close()
    bench.clients.clear()
    bench.turns(20)
    assert bench.exchange.gateway.stream.ended != 0
    assert bench.gateways.account()["mistakes"] == {}
