"""A plain client of the simulated Starbase: frames in and out of its ring by hand, and a plain reader of its feed."""

import ctypes
import struct
from dataclasses import dataclass, field
from typing import Any

import crosswire.venues.starbase.exchange.exchange  # noqa: F401 - its ring
from crosswire.nic.memory.struct import Struct, StructMeta, address_of
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    FLAG_RST,
    FLAG_SYN,
    PROTOCOL_UDP,
    TCP_FRAME_HEADER_BYTES,
    UDP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    PacketCounters,
    parse_packet,
    seal_tcp_frame,
    write_tcp_frame_header,
    write_udp_frame_header,
)
from crosswire.nic.rings.ring import Frame, commit, poll, release, reserve
from crosswire.venues.layout import Message
from crosswire.venues.starbase.exchange.setup import Channel, Crowd, Key, Protection, make_starbase_exchange
from crosswire.venues.starbase.exchange.state import Mistake, StarbaseExchange
from crosswire.venues.starbase.wire import market_layout, order_layout
from crosswire.venues.starbase.wire.order_codes import Template
from crosswire.venues.starbase.wire.order_layout import NULL_EXPONENT, NULL_I64
from tests.support.order_setup import VENUE, make_market

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
S = 1_000_000_000
CLIENT_IP = 0x0A_00_00_01
EXCHANGE_IP = 0x0A_00_00_02
TICK_E9 = 100_000_000  # of tests.support.order_setup
LOT_E9 = 1_000_000
FIRST_ID = 700
ORDER_MESSAGES: dict[int, Message] = {each.template_id: each for each in order_layout.MESSAGES}
MARKET_MESSAGES: dict[int, Message] = {each.template_id: each for each in market_layout.MESSAGES}


def order_flow(gateway: int, place: int = 0) -> Flow:
    return Flow(
        source_mac=1,
        destination_mac=2,
        source_ip=CLIENT_IP,
        destination_ip=EXCHANGE_IP,
        source_port=40_000 + 100 * gateway + 1000 * place,
        destination_port=9_000 + gateway,
    )


def feed_flow(group: int, port: int) -> Flow:
    return Flow(source_mac=2, destination_mac=3, source_ip=EXCHANGE_IP, destination_ip=group, destination_port=port)


CHANNEL = Channel(
    incremental=[feed_flow(0xE0000CC1, 4220), feed_flow(0xE0000CD1, 4220)],
    snapshot=[feed_flow(0xE0000CC0, 4230), feed_flow(0xE0000CD0, 4230)],
    retransmit=Flow(source_mac=2, destination_mac=1, source_ip=EXCHANGE_IP, source_port=4240),
)
KEYS = [Key("alpha", b"first secret", 1), Key("beta", b"second secret", 2), Key("gamma", b"third secret", 1)]


def make_exchange(instruments: int = 1, **options: Any) -> StarbaseExchange:
    options = {"start_ns": START_NS, "is_connected": False} | options
    return make_starbase_exchange(
        VENUE,
        make_market(instruments),
        [order_flow(0), order_flow(1)],
        CHANNEL,
        KEYS,
        dict.fromkeys(range(instruments), 1000),
        **options,
    )


def plain(value: Any) -> Any:
    """A field as a Python value; a decimal as (mantissa, exponent)."""
    if isinstance(value, order_layout.Decimal72):
        return value.mantissa, value.exponent
    return value


def read_block(cls: StructMeta, data: bytes) -> dict[str, Any]:
    """The fields of one packed block; those past its end are left out."""
    raw = ctypes.create_string_buffer(data.ljust(cls.size, b"\0"), cls.size)
    block = cls.at(ctypes.addressof(raw))  # type: ignore[attr-defined]
    return {
        name: plain(getattr(block, name))
        for name, each in cls.fields.items()
        if each.offset + each.size <= len(data) and not each.count
    }


def lots_of(decimal: tuple[int, int]) -> int:
    """A wire quantity in lots, exact."""
    value = decimal[0] * 10 ** (decimal[1] + 18)
    lots, rest = divmod(value, LOT_E9 * 10**9)
    assert rest == 0
    return lots


@dataclass
class Received:
    """One frame of the exchange."""

    template: int
    sequence: int
    last_processed: int
    is_resent: bool
    version: int
    fields: dict[str, Any]
    groups: dict[str, list[dict[str, Any]]]
    time_ns: int
    send_time_ns: int

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["fields"]:
            return self.__dict__["fields"][name]
        raise AttributeError(name)


def read_frame(data: bytes, time_ns: int) -> tuple[Received, int]:
    """The frame at the beginning of `data`, and how many bytes it and its padding take."""
    protocol, flags, length, template, version, sequence, processed, send_time_ns = struct.unpack_from(
        "<BBHHHqqq", data
    )
    assert protocol == order_layout.PROTOCOL_ID
    message = ORDER_MESSAGES[template]
    root = message.root.size
    for kind, since, before in reversed(order_layout.ROOT_BYTES_BEFORE):
        if kind == template and version < since:
            root = before
    position = 32 + root
    fields = read_block(message.root, data[32:position])
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, entry in message.groups.items():
        block, count = struct.unpack_from("<HH", data, position)
        assert block == entry.size
        position += 4
        groups[name] = [
            read_block(entry, data[position + i * block : position + (i + 1) * block]) for i in range(count)
        ]
        position += block * count
    for _ in message.texts:
        position += 1 + data[position]
    assert position == length
    padded = -(-length // 8) * 8
    assert data[length:padded] == bytes(padded - length)
    return Received(
        template, sequence, processed, bool(flags & 1), version, fields, groups, time_ns, send_time_ns
    ), padded


def new_body(
    client_order_id: int,
    side: int,
    price_e9: int,
    lots: int,
    *,
    exponent: int = -3,
    show: int = NULL_I64,
    tif: int = 0,
    flags: int = 0,
    smp: int = 0,
    mode: int = 0,
    instrument: int = 0,
    correlation: int = 0,
) -> bytes:
    """A new order without its header. `side`: 1 buy, -1 sell."""
    return struct.pack("<qqqqqbqbqbbHb", client_order_id, correlation, FIRST_ID + instrument, price_e9, lots, exponent,
                       show, NULL_EXPONENT, smp, side, tif, flags, mode)  # fmt: skip


@dataclass
class Connection:
    """One TCP connection of one client to one gateway, by hand."""

    wire: "Wire"
    flow: Flow
    client_id: str = "alpha"
    secret: bytes = b"first secret"
    sequence: int = 0  # of the last message sent
    heard: int = 0  # of the last message received
    sent: int = 0
    got: int = 0
    pending: bytes = b""
    inbox: list[Received] = field(default_factory=list)
    is_ended: bool = False

    def connect(self) -> None:
        self.sent = self.got = 0
        self.pending, self.is_ended = b"", False
        self.wire.send_segment(self.flow, b"", 0, 0, FLAG_SYN)

    def hang_up(self, flags: int = FLAG_FIN | FLAG_ACK) -> None:
        self.wire.send_segment(self.flow, b"", self.sent, self.got, flags)

    def send_bytes(self, data: bytes) -> None:
        self.wire.send_segment(self.flow, data, self.sent, self.got, FLAG_ACK | FLAG_PSH)
        self.sent += len(data)

    def frame(self, template: int, body: bytes, *, version: int = 17, sequence: int | None = None) -> bytes:
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        length = 32 + len(body)
        head = struct.pack("<BBHHHqqq", 0xDB, 0, length, template, version, sequence, self.heard, self.wire.now_ns)
        return head + body

    def send(self, template: int, body: bytes, **options: Any) -> None:
        data = self.frame(template, body, **options)
        self.send_bytes(data + bytes(-len(data) % 8))

    def logon(self, *, reset: bool = True, cancel_on_disconnect: bool = False, version: int = 17) -> None:
        if reset:
            self.sequence = 0
        body = self.client_id.encode().ljust(16, b"\0") + self.secret.ljust(48, b"\0")
        body += struct.pack("<bHb", reset, version, cancel_on_disconnect)
        self.send(Template.LOGON, body)

    def new(
        self,
        client_order_id: int,
        side: int,
        price_ticks: int | None,
        lots: int,
        *,
        tif: int = 0,
        flags: int = 0,
        smp: int = 0,
        mode: int = 0,
        instrument: int = 0,
        correlation: int = 0,
    ) -> None:
        """`side`: 1 buy, -1 sell."""
        price_e9 = NULL_I64 if price_ticks is None else price_ticks * TICK_E9
        body = new_body(
            client_order_id, side, price_e9, lots, tif=tif, flags=flags, smp=smp, mode=mode, instrument=instrument,
            correlation=correlation,
        )  # fmt: skip
        self.send(Template.NEW_ORDER_REQUEST, body)

    def amend(self, client_order_id: int, price_ticks: int, lots: int, *, flags: int = 0, instrument: int = 0) -> None:
        body = struct.pack("<qqqqqbqbH", client_order_id, 77, FIRST_ID + instrument, price_ticks * TICK_E9,
                           lots, -3, NULL_I64, NULL_EXPONENT, flags)  # fmt: skip
        self.send(Template.AMEND_ORDER_REQUEST, body)

    def cancel(self, client_order_id: int, instrument: int = 0) -> None:
        self.send(Template.CANCEL_ORDER_REQUEST, struct.pack("<qqq", client_order_id, 88, FIRST_ID + instrument))

    def cancel_by_id(self, order_id: int, instrument: int = 0) -> None:
        self.send(Template.CANCEL_ORDER_BY_ID_REQUEST, struct.pack("<qqq", order_id, 89, FIRST_ID + instrument))

    def mass_cancel(self, pair: int = NULL_I64, instrument: int = NULL_I64, product: int = 0, side: int = 0) -> None:
        self.send(Template.MASS_CANCEL_REQUEST, struct.pack("<qqqbb", 90, pair, instrument, product, side))

    def take(self, template: int | None = None) -> Received:
        """The next message received, which is of this kind."""
        assert self.inbox, "nothing was received"
        message = self.inbox.pop(0)
        assert template is None or message.template == template, message
        return message

    def hear(self, data: bytes, sequence: int, time_ns: int) -> None:
        if sequence != self.got & 0xFFFFFFFF:
            return
        self.got += len(data)
        self.pending += data
        while len(self.pending) >= 32:
            length = -(-struct.unpack_from("<H", self.pending, 2)[0] // 8) * 8
            if len(self.pending) < length:
                return
            message, used = read_frame(self.pending, time_ns)
            self.pending = self.pending[used:]
            if not message.is_resent:
                self.heard = message.sequence
            self.inbox.append(message)


@dataclass
class MarketMessage:
    template: int
    sequence: int
    flags: int
    time_ns: int
    fields: dict[str, Any]


@dataclass
class MarketPacket:
    sequence: int
    type: int
    messages: list[MarketMessage]
    group: int
    port: int
    time_ns: int


def read_packet(data: bytes, group: int, port: int, time_ns: int) -> MarketPacket:
    """One UDP payload of the market data."""
    _, sequence, _, kind, count = struct.unpack_from("<qqiHH", data)
    position, messages = 24, []
    for place in range(count):
        length, template, _, flags, transact_ns = struct.unpack_from("<HHHHq", data, position)
        assert length % 8 == 0 or template == market_layout.Template.RETRANSMIT_REQUEST
        message = MARKET_MESSAGES[template]
        block = data[position + 16 : position + 16 + message.root.size]
        messages.append(MarketMessage(template, sequence + place, flags, transact_ns, read_block(message.root, block)))
        position += length
    assert position == len(data) <= 1400
    return MarketPacket(sequence, kind, messages, group, port, time_ns)


class Wire:
    """The engine's side of the exchange's ring, time included."""

    def __init__(self, exchange: StarbaseExchange) -> None:
        self.exchange = exchange
        self.now_ns = START_NS
        self.connections: list[Connection] = []
        self.packets: list[MarketPacket] = []
        self._frame, self._packet, self._counters = Frame(), Packet(), PacketCounters()

    def client(self, gateway: int = 0, place: int = 0, key: int = 0) -> Connection:
        """A new client, not connected yet."""
        made = Connection(self, order_flow(gateway, place), KEYS[key].client_id, KEYS[key].secret)
        self.connections.append(made)
        return made

    def ready(self, gateway: int = 0, place: int = 0, key: int = 0, **options: Any) -> Connection:
        """A client that is logged on."""
        made = self.client(gateway, place, key)
        made.connect()
        made.logon(**options)
        self.run(MS)
        made.take(Template.LOGON_CONF)
        return made

    def send_segment(self, flow: Flow, data: bytes, sequence: int, acknowledgement: int, flags: int) -> None:
        address = reserve(self.exchange, TCP_FRAME_HEADER_BYTES + len(data))
        assert address != 0
        ctypes.memmove(write_tcp_frame_header(address, flow, 0xFFFF), data, len(data))
        length = seal_tcp_frame(address, len(data), sequence & 0xFFFFFFFF, acknowledgement & 0xFFFFFFFF, flags)
        commit(self.exchange, length, self.now_ns)

    def send_datagram(self, data: bytes) -> None:
        """To the retransmission service."""
        flow = Flow(source_ip=CLIENT_IP, destination_ip=EXCHANGE_IP, source_port=50_000, destination_port=4240)
        address = reserve(self.exchange, UDP_FRAME_HEADER_BYTES + len(data))
        ctypes.memmove(write_udp_frame_header(address, flow, len(data)), data, len(data))
        commit(self.exchange, UDP_FRAME_HEADER_BYTES + len(data), self.now_ns)

    def run(self, span_ns: int) -> None:
        """Let time pass, and take what is received."""
        self.now_ns += span_ns
        while poll(self.exchange, self._frame, self.now_ns):
            assert parse_packet(self._frame, self._packet, self._counters)
            packet, time_ns = self._packet, self._frame.time_ns
            data = ctypes.string_at(packet.payload_address, packet.payload_length)
            if packet.protocol == PROTOCOL_UDP:
                self.packets.append(read_packet(data, packet.destination_ip, packet.destination_port, time_ns))
            else:
                for each in self.connections:
                    if each.flow.source_port == packet.destination_port:
                        each.hear(data, packet.tcp_sequence, time_ns)
                        each.is_ended = each.is_ended or bool(packet.tcp_flags & (FLAG_FIN | FLAG_RST))
            release(self.exchange)

    def incremental(self) -> list[MarketMessage]:
        """The messages of feed A's incremental channel."""
        return [
            message
            for packet in self.packets
            if packet.group == 0xE0000CC1 and packet.port == 4220
            for message in packet.messages
        ]


def quote(client: Connection, *quotes: tuple[int, int, int, int], flags: int = 0, group: int = 5) -> None:
    """(bid price, bid lots, ask price, ask lots) of instrument 0, 1, ..."""
    body = struct.pack("<qqqqB", 1234, 55, group, 0, flags) + struct.pack("<HH", 46, len(quotes))
    for place, (bid, bid_lots, ask, ask_lots) in enumerate(quotes):
        prices = [price * TICK_E9 if price else NULL_I64 for price in (bid, ask)]
        body += struct.pack("<qqqqbqbHH", FIRST_ID + place, *prices, bid_lots, -3, ask_lots, -3, 0, 0)
    client.send(Template.MASS_QUOTE_REQUEST, body)


def rebuilt_books(messages: list[MarketMessage]) -> dict[int, dict[int, list[tuple[int, int, int]]]]:
    """What the L3 messages leave: instrument id -> side (0 bid) -> (price, quantity, order id) by price and time."""
    kinds = market_layout.Template
    orders: dict[int, tuple[int, int, int, int, int]] = {}
    for message in messages:
        fields, kind = message.fields, message.template
        if kind in (kinds.BID_PUT, kinds.ASK_PUT):
            orders[fields["order_id"]] = (fields["instrument_id"], kind - kinds.BID_PUT, fields["price_e9"],
                                          fields["sort_order_id"], fields["quantity_mantissa"])  # fmt: skip
        elif kind in (kinds.BID_QUANTITY_REDUCED, kinds.ASK_QUANTITY_REDUCED):
            instrument, side, price, sort, before = orders[fields["order_id"]]
            assert 0 < fields["quantity_mantissa"] < before
            assert side == kind - kinds.BID_QUANTITY_REDUCED
            orders[fields["order_id"]] = (instrument, side, price, sort, fields["quantity_mantissa"])
        elif kind in (kinds.BID_DELETE, kinds.ASK_DELETE):
            assert orders.pop(fields["order_id"])[1] == kind - kinds.BID_DELETE
    books: dict[int, dict[int, list[tuple[int, int, int]]]] = {}
    by_place = sorted(orders.items(), key=lambda item: (-item[1][2] if item[1][1] == 0 else item[1][2], item[1][3]))
    for order_id, (instrument, side, price, _, quantity) in by_place:
        books.setdefault(instrument, {0: [], 1: []})[side].append((price, quantity, order_id))
    return books


FAST: dict[str, Any] = {  # no time on the wire, and no limit of messages
    "order_latency_ns": 0, "response_latency_ns": 0, "feed_latency_ns": 0,
    "tokens_per_ms": 1_000_000, "tokens_full": 1_000_000_000,
}  # fmt: skip


def fast(instruments: int = 1, **options: Any) -> Wire:
    return Wire(make_exchange(instruments, **(FAST | options)))


def ask(client: Connection, number: int = 5, **more: Any) -> None:
    """Send a test request, with header fields of one's own."""
    client.send(Template.TEST_REQUEST, struct.pack("<q", number), **more)


def mistakes(wire: Wire) -> dict[Mistake, int]:
    """Count what was wrong with what clients sent, by kind; those that are 0 left out."""
    wire.run(0)
    return {kind: wire.exchange.gateways.mistakes[kind] for kind in Mistake if wire.exchange.gateways.mistakes[kind]}


def said(wire: Wire, client: Connection) -> list[Received]:
    wire.run(0)
    messages, client.inbox = client.inbox, []
    return messages


def last(wire: Wire, client: Connection) -> Received:
    return said(wire, client)[-1]


def kinds(wire: Wire, client: Connection) -> list[int]:
    return [message.template for message in said(wire, client)]


def book(wire: Wire, instrument: int = 0) -> list[list[tuple[int, int]]]:
    """Bids and asks as they were published: price and lots, best first."""
    levels = rebuilt_books(wire.incremental()).get(FIRST_ID + instrument, {0: [], 1: []})
    return [[(price // TICK_E9, lots) for price, lots, _ in levels[side]] for side in (0, 1)]


__all__ = [
    "CHANNEL",
    "FAST",
    "FIRST_ID",
    "KEYS",
    "MS",
    "START_NS",
    "Connection",
    "Crowd",
    "Protection",
    "S",
    "Struct",
    "Wire",
    "address_of",
    "ask",
    "book",
    "fast",
    "kinds",
    "last",
    "lots_of",
    "make_exchange",
    "mistakes",
    "new_body",
    "order_flow",
    "quote",
    "rebuilt_books",
    "said",
]
