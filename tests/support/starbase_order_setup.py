"""A Starbase session against a gateway in plain Python that packs its frames from the published tables."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from crosswire.nic.memory.struct import Array, address_of, array, i64, size_of, u8, view
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    Ipv4Header,
    Packet,
    PacketCounters,
    TcpHeader,
    internet_checksum,
    parse_packet,
    pseudo_header_sum,
    reverse_flow,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.connection import CONNECTIONS_MAX, connection_of, reconnect, select_stream
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX, DelayedFrame, DelayRing, set_delay_ring
from crosswire.nic.rings.ring import Frame, commit, reserve
from crosswire.venues.order import (
    ORDERS_BITS,
    Approvals,
    Reports,
    TimeInForce,
)
from crosswire.venues.session import (
    SessionState,
    keep_session,
    read_reports,
    start_session,
    write_amend,
    write_mass_quote,
    write_new,
)
from crosswire.venues.starbase.orders.session import make_starbase_session
from crosswire.venues.starbase.orders.state import StarbaseSession
from tests.support.guard import GuardedBytes
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_approval, make_flow, make_market, structs
from tests.support.starbase_wire import HEADER, order_layouts, pack_frame, unpack_body

NOW_NS = 1_700_000_000_000_000_000
CLIENT_ID = b"key-0123456789AB"
EXCHANGE_NS = 123_456_789
ACTIVE, FILLED, CANCELED, QUEUED = 1, 2, 3, 4  # OrderStatus
SECRET = b"sEcReT-of-forty-eight-bytes-0123456789-0123456789"[:48]
PAYLOAD = TCP_FRAME_HEADER_BYTES
IOC, FOK, GTC, POST_ONLY = TimeInForce
NULL = -(1 << 63)
READS_MAX = 100  # calls for one packet
FUZZ_FRAMES = int(os.environ.get("CROSSWIRE_FUZZ_FRAMES", "20000")) // 20


class OrderRing(DelayRing):
    """A wire from the session to its gateways that says which stream was selected."""

    stream: i64
    streams: Annotated[Array, i64, DELAY_FRAMES_MAX]  # that each frame went out on
    reserved: i64  # bytes asked for
    overrun: i64  # the most that a frame was longer
    connections: Annotated[Array, i64, CONNECTIONS_MAX]
    reconnects: Annotated[Array, i64, CONNECTIONS_MAX]


@connection_of.register(OrderRing)
def order_connection_of(ring: OrderRing, stream: int) -> int:
    return int(ring.connections[stream])


@select_stream.register(OrderRing)
def select_order_stream(ring: OrderRing, stream: int) -> None:
    ring.stream = stream


@reconnect.register(OrderRing)
def reconnect_order_stream(ring: OrderRing, stream: int, _now_ns: int) -> None:
    ring.reconnects[stream] += 1


@reserve.register(OrderRing)
def reserve_order_frame(ring: OrderRing, length: int) -> int:
    ring.reserved = length
    return reserve(view(DelayRing, address_of(ring)), length)


@commit.register(OrderRing)
def commit_order_frame(ring: OrderRing, length: int, now_ns: int) -> None:
    ring.streams[ring.sent & (DELAY_FRAMES_MAX - 1)] = ring.stream
    ring.overrun = max(ring.overrun, length - ring.reserved)
    commit(view(DelayRing, address_of(ring)), length, now_ns)


def flow_of(stream: int) -> Flow:
    flow = make_flow()
    flow.source_port += 100 * stream
    flow.destination_port += stream
    return flow


class Gateway:
    """The exchange's end of one link: its numbers, what it received, and a history to send again."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.flow = reverse_flow(flow_of(stream))
        self.messages: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.numbers: list[int] = []
        self.flags: list[int] = []
        self.processed: list[int] = []
        self.history: dict[int, tuple[Any, ...]] = {}
        self.sent_sequence = self.last_processed = 0
        self.begin_connection()

    def begin_connection(self) -> None:
        self.sent_bytes = self.received_bytes = 0
        self.unread = b""

    def receive(self, payload: bytes) -> None:
        self.received_bytes += len(payload)
        self.unread += payload
        while len(self.unread) >= HEADER.size:
            protocol, flags, length, template, version, sequence, processed, _ = HEADER.unpack_from(self.unread)
            assert (protocol, version) == (0xDB, 17)
            size = length + -length % 8
            if len(self.unread) < size:
                return
            message = order_layouts().by_template()[template]
            root, groups, _, taken = unpack_body(message, self.unread[HEADER.size : length])
            assert taken == length - HEADER.size
            assert self.unread[length:size] == bytes(size - length)
            self.unread = self.unread[size:]
            self.messages.append((message.name, root, groups))
            self.numbers.append(sequence)
            self.flags.append(flags)
            self.processed.append(processed)

    def take(self) -> list[str]:
        """Names of what came since the last time."""
        names = [name for name, _, _ in self.messages]
        self.seen, self.messages = self.messages, []
        return names

    def frame(
        self, name: str, root: dict[str, Any] | None = None, groups: Any = None, texts: Any = (), **more: Any
    ) -> bytes:
        """The next frame; `sequence` in `more` for one out of order."""
        if "sequence" not in more:
            self.sent_sequence += 1
            more["sequence"] = self.sent_sequence
            self.history[self.sent_sequence] = (name, root or {}, groups, texts)
        more.setdefault("last_processed", self.last_processed)
        return pack_frame(name, root or {}, groups, texts, **more)

    def again(self, sequence: int) -> bytes:
        name, root, groups, texts = self.history[sequence]
        return self.frame(name, root, groups, texts, sequence=sequence, flags=1)


class Bench:
    """A session, its wire, and one or two gateways."""

    def __init__(self, links: int = 1, **settings: Any) -> None:
        self.market = make_market(count=2)
        flows = tuple(flow_of(stream) for stream in range(links))
        self.session: StarbaseSession = make_starbase_session(VENUE, self.market, flows, CLIENT_ID, SECRET, **settings)
        self.ring = OrderRing()
        set_delay_ring(self.ring, 0)
        # As after long use: what is not written is not 0.
        ctypes.memset(self.ring.frames.address, 0xA5, DELAY_FRAMES_MAX * size_of(DelayedFrame))
        self.gateways = [Gateway(stream) for stream in range(links)]
        self.frame, self.packet, self.counters, self.reports = Frame(), Packet(), PacketCounters(), Reports()
        self.now_ns = NOW_NS
        self.guard = GuardedBytes()
        self.orders = 0
        for stream in range(links):
            self.ring.connections[stream] = 1

    @property
    def gateway(self) -> Gateway:
        return self.gateways[0]

    def pump(self) -> None:
        """What the session sent reaches the gateways; headers and checksums are checked on the way."""
        assert self.ring.overrun == 0
        while self.ring.received != self.ring.sent:
            slot = self.ring.frames[self.ring.received % DELAY_FRAMES_MAX]
            data = bytes(slot.data)[: slot.length]
            memory = array(u8, len(data))
            ctypes.memmove(memory.address, data, len(data))
            frame = Frame(address=memory.address, length=len(data), time_ns=self.now_ns)
            assert parse_packet(frame, self.packet, self.counters)
            packet = self.packet
            ip = view(Ipv4Header, memory.address + 14)
            segment = len(data) - 34
            assert internet_checksum(memory.address + 14, 20, 0) == 0
            assert internet_checksum(memory.address + 34, segment, pseudo_header_sum(ip, segment)) == 0
            gateway = next(each for each in self.gateways if each.flow.source_port == packet.destination_port)
            assert packet.source_port == gateway.flow.destination_port
            assert self.ring.streams[self.ring.received % DELAY_FRAMES_MAX] == gateway.stream
            assert (packet.tcp_sequence, packet.tcp_acknowledgement) == (gateway.received_bytes, gateway.sent_bytes)
            assert view(TcpHeader, memory.address + 34).flags == FLAG_ACK | FLAG_PSH
            gateway.receive(data[PAYLOAD:])
            self.ring.received += 1

    def keep(self, after_ns: int = 0) -> int:
        self.now_ns += after_ns
        due_ns = keep_session(self.session, self.ring, self.now_ns)
        self.pump()
        return due_ns

    def hear(
        self, payload: bytes, gateway: Gateway | None = None, flags: int = FLAG_ACK | FLAG_PSH
    ) -> list[dict[str, int]]:
        """One segment from a gateway, its last byte before an unreadable page; what the session says of it."""
        gateway = gateway or self.gateway
        data = bytes(PAYLOAD) + payload
        address = self.guard.place(data)
        write_tcp_frame_header(address, gateway.flow, 0xFFFF)
        seal_tcp_frame(address, len(payload), gateway.sent_bytes, gateway.received_bytes, flags)
        gateway.sent_bytes += len(payload)
        self.frame.address, self.frame.length, self.frame.time_ns = address, len(data), self.now_ns
        assert parse_packet(self.frame, self.packet, self.counters)
        return self.read()

    def read(self) -> list[dict[str, int]]:
        """As the loop does: again while there is more."""
        heard = []
        for _ in range(READS_MAX):
            heard += self.read_once()
            if self.session.unread == 0:
                return heard
        raise AssertionError("there is more without end")

    def read_once(self) -> list[dict[str, int]]:
        """One call: what fits."""
        self.reports.count = 0
        read_reports(self.session, self.packet, self.reports)
        return structs(self.reports.items, self.reports.count)

    @contextmanager
    def full_ring(self, room: int = 0) -> Iterator[None]:
        """A ring with room for so many frames; what is sent goes out when there is room again."""
        begun = self.ring.sent
        self.ring.received = begun - (DELAY_FRAMES_MAX - room)
        yield
        self.ring.received = begun

    def close_connection(self, gateway: Gateway | None = None) -> None:
        gateway = gateway or self.gateway
        assert self.hear(b"", gateway, FLAG_ACK | FLAG_FIN) == []
        gateway.begin_connection()

    def log_on(self, heartbeat_s: int = 5) -> None:
        start_session(self.session, self.ring, self.now_ns)
        self.pump()
        for gateway in self.gateways:
            assert gateway.take() == ["Logon"]
            assert self.hear(self.conf(gateway, heartbeat_s), gateway) == []
        assert self.session.state == SessionState.READY

    def conf(self, gateway: Gateway, heartbeat_s: int = 5, schema: int = 17, **more: Any) -> bytes:
        return gateway.frame("LogonConf", {"heartbeatIntervalSeconds": heartbeat_s, "schemaVersion": schema}, **more)

    def new(self, side: int, time_in_force: int, price_ticks: int, qty_lots: int, instrument: int = 0) -> int:
        """Send an order; its id, 0 if the session refused."""
        self.orders += 1
        order_id = self.orders << ORDERS_BITS | self.orders
        approval = make_approval(order_id, side, time_in_force, price_ticks, qty_lots, instrument)
        sent = write_new(self.session, self.ring, approval, self.now_ns)
        assert approval.armed == 0
        self.pump()
        return order_id if sent else 0

    def amend(self, order_id: int, price_ticks: int, qty_lots: int, time_in_force: int = 2) -> bool:
        approval = make_approval(order_id, 0, time_in_force, price_ticks, qty_lots)
        sent = write_amend(self.session, self.ring, approval, self.now_ns)
        self.pump()
        return bool(sent)

    def quote(self, *terms: tuple[int, int, int, int]) -> list[int]:
        """Send bids and asks (instrument, bid, ask, lots); the ids of all sides, none if it was not sent."""
        approvals = Approvals(count=2 * len(terms))
        ids = []
        for pair, (instrument, bid, ask, lots) in enumerate(terms):
            for side, price in enumerate((bid, ask)):
                self.orders += 1
                ids.append(self.orders << ORDERS_BITS | self.orders)
                approval = approvals.items[2 * pair + side]
                approval.armed, approval.client_order_id = 1, ids[-1]
                approval.instrument, approval.side = instrument, side
                approval.time_in_force, approval.price_ticks, approval.qty_lots = POST_ONLY, price, lots
        sent = write_mass_quote(self.session, self.ring, approvals, self.now_ns)
        assert not any(approval.armed for approval in approvals.items)
        self.pump()
        return ids if sent else []


def quantity(name: str, lots: int, exponent: int = -3) -> dict[str, int]:
    """Lots of 0.001 as a decimal with the exponent of the exchange's choice."""
    return {f"{name}.mantissa": lots * 10 ** (-3 - exponent), f"{name}.exponent": exponent}


def ticks(name: str, price_ticks: int) -> dict[str, int]:
    return {f"{name}.price9": price_ticks * 100_000_000}


def fill(match_id: int, price_ticks: int, lots: int, exponent: int = -3) -> dict[str, int]:
    return {"matchId": match_id, **ticks("fillPrice", price_ticks), **quantity("fillQty", lots, exponent)}


def response(order_id: int, status: int, lots: int, filled: int = 0, reason: int = 0, side: int = 1) -> dict[str, int]:
    return {
        "timestamp": EXCHANGE_NS, "execId": 1, "clientOrderId": order_id, "orderId": 9000 + order_id % 4096,
        "instrumentId": FIRST_VENUE_ID, "status": status, "cancelReason": reason, "side": side,
        **ticks("price", 101), **quantity("quantity", lots), **quantity("totalFilled", filled),
    }  # fmt: skip


def result(
    instrument: int, bid: tuple[int, int], ask: tuple[int, int], terms: tuple[int, int, int] = (0, 0, 0)
) -> dict[str, int]:
    """Order number and status of each side; bid, ask and lots."""
    return {
        **ticks("bidPrice", terms[0]), **ticks("askPrice", terms[1]),
        **quantity("bidQty", terms[2]), **quantity("askQty", terms[2]),
        "instrumentId": FIRST_VENUE_ID + instrument, "bidOrderId": bid[0], "bidStatus": bid[1],
        "askOrderId": ask[0], "askStatus": ask[1], "bidRejectReason": 22, "askRejectReason": 22,
    }  # fmt: skip


def placed(order_id: int, status: int, lots: int, filled: int = 0, reason: int = 0) -> dict[str, int]:
    values = response(order_id, status, lots, filled, reason)
    del values["side"]
    return values


def told(heard: list[dict[str, int]], *names: str) -> list[tuple[int, ...]]:
    return [tuple(report[name] for name in ("kind", *names)) for report in heard]
