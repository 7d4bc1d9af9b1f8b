"""Order streams: what an exchange says to our session, and what a client says to a simulated exchange."""

import ctypes

import crosswire.venues.starbase.exchange.exchange  # noqa: F401 - its ring
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_PSH,
    TCP_FRAME_HEADER_BYTES,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.ring import Frame
from crosswire.venues.bridge.wire.order_layout import MESSAGES, NewOrder, Template
from crosswire.venues.order import (
    ORDERS_BITS,
    REPORTS_MAX,
)
from crosswire.venues.session import (
    SessionState,
)
from crosswire.venues.starbase.exchange.events import take_frame
from crosswire.venues.starbase.wire import order_codes
from tests.fuzz.target import Target, guard, joined, pieces
from tests.support import starbase_exchange_client as exchange
from tests.support.order_setup import FIRST_VENUE_ID
from tests.support.starbase_order_setup import IOC, Bench, fill, response
from tests.support.starbase_wire import order_layouts, pack_frame
from tests.venues.bridge import test_bridge_orders as bridge

REPAIRED, AS_IT_COMES = 0, 1  # first byte of a frame for an exchange


def bytes_of(frame: Frame) -> bytes:
    """What a frame holds."""
    return ctypes.string_at(frame.address, frame.length)


def run_bridge_reports(data: bytes) -> None:
    """Segments of the bridge's exchange to a session that has an order out."""
    wire = bridge.Wire()
    session, stream, packet = wire.session, wire.session.stream, wire.packet
    session.state = SessionState.READY
    flow = stream.connection.flow
    for payload in pieces(data):
        packet.payload_address, packet.payload_length = guard().place(payload), len(payload)
        packet.protocol, packet.tcp_flags = 6, FLAG_ACK
        packet.source_ip, packet.destination_ip = flow.destination_ip, flow.source_ip
        packet.source_port, packet.destination_port = flow.destination_port, flow.source_port
        packet.tcp_sequence = stream.connection.receive_next
        for _ in range(64):
            wire.reports.count = 0
            bridge.read_reports(session, packet, wire.reports)
            assert 0 <= wire.reports.count <= REPORTS_MAX
            if session.unread == 0:
                break
        else:
            raise AssertionError("it never comes to the segment's end")
    assert session.bad_frames == sum(bridge.faults_of(session).values())


def bridge_report_seeds() -> list[bytes]:
    """Each message, alone and one after the other; one cut in two."""
    each = [bridge.message(one.root, Template(one.template_id), place) for place, one in enumerate(MESSAGES, 1)]
    alone = [joined(bridge.message(one.root, Template(one.template_id), 1)) for one in MESSAGES]
    whole = b"".join(each)
    return [joined(*each), joined(whole), joined(whole[:30], whole[30:]), *alone]


def run_bridge_orders(data: bytes) -> None:
    """Segments of a client to the bridge's simulated exchange, most of them sealed right."""
    wire = bridge.Wire()
    count = 0
    for piece in pieces(data):
        if not piece:
            continue
        payload = piece[1:]
        if piece[0] % 2 == REPAIRED:
            frame = bridge.segment(wire, payload, to_engine=False)
            payload = bytes_of(frame)
        frame = Frame(address=guard().place(payload), length=len(payload), time_ns=wire.now_ns)
        wire.exchange_receives(frame)
        wire.to_engine.received = wire.to_engine.sent
        count += 1
    assert wire.gateway.frames_received == count


def bridge_order_seeds() -> list[bytes]:
    """A session that logs on and trades; each message; a frame that is sent as it is."""
    order = {"client_order_id": 9, "instrument_id": FIRST_VENUE_ID, "qty_lots": 3, "price_ticks": 101}
    logon = bridge.message(bridge.Logon, Template.LOGON, 1, heartbeat_interval_ms=1000)
    new = bridge.message(NewOrder, Template.NEW_ORDER, 2, **order)
    cancel = bridge.message(bridge.CancelOrder, Template.CANCEL_ORDER, 3, client_order_id=9)
    each = [bridge.message(one.root, Template(one.template_id), 2) for one in MESSAGES]
    frame = bytes_of(bridge.segment(bridge.Wire(), logon, to_engine=False))
    sealed = [bytes([REPAIRED]) + payload for payload in (logon, new, cancel)]
    return [
        joined(*sealed),
        joined(sealed[0] + new, sealed[2]),
        joined(bytes([AS_IT_COMES]) + frame),
        *(joined(sealed[0], bytes([REPAIRED]) + payload) for payload in each),
    ]


def run_starbase_reports(data: bytes) -> None:
    """Segments of a Starbase gateway to a session that has logged on and has an order out."""
    bench = Bench()
    bench.guard.close()
    bench.guard = guard()
    bench.log_on()
    bench.new(0, IOC, 101, 5)
    for payload in pieces(data):
        heard = bench.hear(payload[:1460])
        assert len(heard) <= REPORTS_MAX * 64
        bench.keep(1_000_000)
    faults = bench.session.links[0].stream.faults
    assert all(count >= 0 for count in faults)


def starbase_report_seeds() -> list[bytes]:
    """Each message of the published tables, empty; answers to the order; two segments of one message."""
    tables = order_layouts().by_template()
    each = [pack_frame(message.name, {}, None, (), sequence=2, last_processed=2) for message in tables.values()]
    order = 1 << ORDERS_BITS | 1
    answer = pack_frame("NewOrderResponse", response(order, 1, 5), {"fills": [fill(1, 101, 2)]}, (), sequence=2,
                        last_processed=2)  # fmt: skip
    return [joined(answer), joined(answer[:40], answer[40:]), *(joined(frame) for frame in each)]


def run_starbase_orders(data: bytes) -> None:
    """Segments of a client to Starbase's simulated exchange, most of them sealed right."""
    wire = exchange.Wire(exchange.make_exchange())
    client = wire.client()
    client.connect()
    wire.run(exchange.MS)
    venue = wire.exchange
    for piece in pieces(data):
        if not piece:
            continue
        frame = piece[1:]
        if piece[0] % 2 == REPAIRED:
            payload = frame[:1400]
            frame = bytes(TCP_FRAME_HEADER_BYTES) + payload
            address = guard().place(frame)
            write_tcp_frame_header(address, client.flow, 0xFFFF)
            seal_tcp_frame(
                address, len(payload), client.sent & 0xFFFFFFFF, client.got & 0xFFFFFFFF, FLAG_ACK | FLAG_PSH
            )
            client.sent += len(payload)
        else:
            address = guard().place(frame)
        venue.frame.address, venue.frame.length, venue.frame.time_ns = address, len(frame), wire.now_ns
        take_frame(venue, wire.now_ns)
        assert venue.matching.order_count >= 0
        wire.run(exchange.MS)


def starbase_order_seeds() -> list[bytes]:
    """A session that logs on, trades and cancels; each request, empty; a frame that is sent as it is."""
    made = Recorded()
    made.logon()
    made.new(1, 1, 1000, 5)
    made.amend(1, 1001, 4)
    made.cancel(1)
    made.mass_cancel()
    logon = made.taken[0]
    each = []
    for template in order_codes.Template:
        one = Recorded()
        one.sequence = 1
        one.send(template, bytes(64))
        each.append(joined(logon, one.taken[0]))
    tagged = bytes([AS_IT_COMES]) + tagged_frame()
    return [joined(*made.taken), joined(logon, tagged), *each]


def tagged_frame() -> bytes:
    """Make a frame to the gateway whose VLAN tag mends the sum of what would be the IP header without it."""
    flow = exchange.order_flow(0)
    room = array(u8, TCP_FRAME_HEADER_BYTES)
    write_tcp_frame_header(room.address, flow, 0xFFFF)
    seal_tcp_frame(room.address, 0, 0, 0, FLAG_ACK)
    plain = bytes(room)
    behind = plain[12:30]  # the type, and of the header what then lies in the first 20 bytes
    total = sum(int.from_bytes(behind[place : place + 2], "big") for place in range(0, 18, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return plain[:12] + b"\x81\x00" + (total ^ 0xFFFF).to_bytes(2, "big") + plain[12:]


class Recorded(exchange.Connection):
    """A client whose segments are kept for a seed."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.wire = exchange.Wire.__new__(exchange.Wire)
        self.wire.now_ns = exchange.START_NS
        self.taken: list[bytes] = []

    def send_bytes(self, data: bytes) -> None:
        self.taken.append(bytes([REPAIRED]) + data)


TARGETS = [
    Target("bridge-reports", run_bridge_reports, bridge_report_seeds),
    Target("bridge-orders", run_bridge_orders, bridge_order_seeds),
    Target("starbase-reports", run_starbase_reports, starbase_report_seeds),
    Target("starbase-orders", run_starbase_orders, starbase_order_seeds),
]
