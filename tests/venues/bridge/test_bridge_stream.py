"""The bridge's messages in the byte stream: which segments and messages are read, and why others are not."""

import ctypes
from collections.abc import Iterator

import pytest

from crosswire.nic.memory.struct import array, u8, view
from crosswire.nic.packet import FLAG_ACK, FLAG_FIN, FLAG_PSH, FLAG_RST, FLAG_SYN, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.ring import Frame
from crosswire.venues.bridge.orders.stream import (
    MessageStream,
    StreamFault,
    next_message,
    open_segment,
    reason_of_end,
    restart_stream,
    stamp_header,
    write_header,
)
from crosswire.venues.bridge.wire.order_layout import (
    MESSAGE_BYTES_MAX,
    VERSION,
    LogoutReason,
    MessageHeader,
    OrderAck,
    Template,
)
from tests.venues.bridge.test_bridge_orders import NOW_NS, Wire, message, segment


class Reader:
    """One end's stream that is read on its own; `kept` are the frames, which stay in place."""

    def __init__(self) -> None:
        self.wire = Wire(first_byte=1000)
        self.stream: MessageStream = self.wire.session.stream
        self.packet, self.kept = Packet(), list[Frame]()

    def open(self, payload: bytes, more: int = 0, flags: int = FLAG_ACK) -> bool:
        """Give it a segment whose first byte is the next, or so many behind that."""
        at = (self.stream.connection.receive_next + more) & 0xFFFFFFFF
        frame = segment(self.wire, payload, to_engine=True, sequence=at, flags=flags)
        self.kept += [frame, self.wire.kept]
        assert parse_packet(frame, self.packet, PacketCounters())
        return bool(open_segment(self.stream, self.packet))

    def rest(self) -> Iterator[int]:
        """Client order ids of the messages that are left."""
        while (address := next_message(self.stream)) != 0:
            yield view(OrderAck, address).client_order_id

    def faults(self) -> dict[str, int]:
        return {fault.name: self.stream.faults[fault] for fault in StreamFault if self.stream.faults[fault]}


@pytest.fixture
def reader() -> Reader:
    return Reader()


def ack(number: int, client_order_id: int | None = None, **header: int) -> bytes:
    """An acknowledgement, its header changed, as long as that says."""
    data = bytearray(message(OrderAck, Template.ORDER_ACK, number, client_order_id=client_order_id or number))
    data += bytes(max(0, header.get("length", 0) - len(data)))
    changed = MessageHeader.at(ctypes.addressof(ctypes.c_char.from_buffer(data)))
    for name, value in header.items():
        setattr(changed, name, value)
    return bytes(data)


@pytest.mark.parametrize("payload", [b"", ack(1)])
@pytest.mark.parametrize("flag", [FLAG_FIN, FLAG_RST, FLAG_SYN])
def test_each_flag_that_ends_a_connection_ends_the_stream(reader: Reader, flag: int, payload: bytes) -> None:
    assert not reader.open(payload, flags=FLAG_ACK | flag)
    assert list(reader.rest()) == []
    assert (reader.stream.ended, reader.faults()) == (1, {"CLOSED": 1})
    # Nothing is read behind it, and of what has no bytes nothing is missed.
    assert not reader.open(b"")
    assert reader.faults() == {"CLOSED": 1}
    assert not reader.open(ack(1))
    assert reader.faults() == {"CLOSED": 1, "AFTER_END": 1}
    assert not reader.open(b"x")
    assert reader.faults() == {"CLOSED": 1, "AFTER_END": 2}


def test_other_flags_end_nothing(reader: Reader) -> None:
    assert reader.open(ack(1), flags=FLAG_ACK | FLAG_PSH)
    assert list(reader.rest()) == [1]
    assert (reader.stream.ended, reader.faults()) == (0, {})


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_an_acknowledgement_without_bytes_is_no_fault_wherever_it_stands(reader: Reader, more: int) -> None:
    assert not reader.open(b"", more)
    assert reader.faults() == {}
    assert reader.open(ack(1))


@pytest.mark.parametrize("more", [-len(ack(1)), -1, 1, len(ack(1))])
def test_a_segment_that_is_not_the_next_is_left_alone_with_what_is_left_of_the_last(reader: Reader, more: int) -> None:
    assert reader.open(ack(1) + ack(2))
    assert next_message(reader.stream) != 0
    assert not reader.open(ack(2), more)
    assert list(reader.rest()) == []
    assert (reader.stream.ended, reader.faults()) == (0, {"OUT_OF_ORDER": 1})


def test_a_segment_of_another_connection_is_not_looked_at(reader: Reader) -> None:
    before = reader.stream.connection.receive_next
    reader.wire.session.stream.connection.flow.source_port += 1
    frame = segment(reader.wire, ack(1), to_engine=True)
    reader.wire.session.stream.connection.flow.source_port -= 1
    assert parse_packet(frame, reader.packet, PacketCounters())
    assert not open_segment(reader.stream, reader.packet)
    assert (list(reader.rest()), reader.stream.connection.receive_next) == ([], before)
    assert (reader.stream.ended, reader.faults()) == (0, {"OTHER_CONNECTION": 1})


@pytest.mark.parametrize("cut", [1, MessageHeader.size, OrderAck.size, 250])
@pytest.mark.parametrize("length", [OrderAck.size, MESSAGE_BYTES_MAX])
def test_a_message_may_be_as_long_as_any(reader: Reader, length: int, cut: int) -> None:
    """Longer than ours, which a newer version says, and in two segments."""
    data = ack(1, length=length, version=VERSION + 1) + ack(2)
    found = []
    for part in filter(None, (data[:cut], data[cut:])):
        assert reader.open(part)
        found += list(reader.rest())
    assert (found, reader.faults()) == ([1, 2], {})


WRONG = [
    ({"length": OrderAck.size - 1}, "BAD_LENGTH"),
    ({"length": MESSAGE_BYTES_MAX + 1}, "BAD_LENGTH"),
    ({"template_id": 0}, "BAD_TEMPLATE"),
    ({"template_id": len(Template) + 1}, "BAD_TEMPLATE"),
    ({"version": VERSION - 1}, "OLD_VERSION"),
    ({"version": VERSION - 1, "template_id": 0}, "OLD_VERSION"),
]


@pytest.mark.parametrize(("header", "fault"), WRONG)
def test_behind_what_is_not_believed_nothing_is_read(reader: Reader, header: dict[str, int], fault: str) -> None:
    assert reader.open(ack(1) + ack(2, **header) + ack(3))
    assert list(reader.rest()) == [1]
    assert (reader.stream.ended, reader.faults()) == (1, {fault: 1})
    assert next_message(reader.stream) == 0
    assert reader.faults() == {fault: 1}
    is_old = fault == "OLD_VERSION"
    assert reason_of_end(reader.stream) == (LogoutReason.BAD_LOGON if is_old else LogoutReason.BAD_MESSAGE)


@pytest.mark.parametrize("number", [0, 1, 3, 1 << 40])
def test_a_message_whose_number_is_not_the_next_ends_the_stream(reader: Reader, number: int) -> None:
    assert reader.open(ack(1) + ack(number) + ack(2))
    assert list(reader.rest()) == [1]
    assert (reader.stream.ended, reader.stream.receive_sequence) == (1, 1)
    assert reader.faults() == {"BAD_SEQUENCE": 1}


def test_a_new_connection_counts_from_the_beginning(reader: Reader) -> None:
    assert reader.open(ack(1) + ack(2) + ack(3)[:5])
    assert list(reader.rest()) == [1, 2]
    stamp_header(reader.stream, MessageHeader(), NOW_NS)
    reader.stream.connection.send_next = 77
    reader.open(b"", flags=FLAG_RST)
    restart_stream(reader.stream)
    assert (reader.stream.send_sequence, reader.stream.receive_sequence) == (0, 0)
    assert (reader.stream.connection.send_next, reader.stream.connection.receive_next) == (0, 0)
    assert reader.open(ack(1, 11) + ack(2, 12))
    assert list(reader.rest()) == [11, 12]


def test_a_header_is_written_whole_and_numbered_by_one(reader: Reader) -> None:
    memory = array(u8, MessageHeader.size)
    ctypes.memset(memory.address, 0xA5, MessageHeader.size)
    header = view(MessageHeader, memory.address)
    write_header(header, Template.ORDER_ACK, OrderAck.size)
    for number in (1, 2, 3):
        stamp_header(reader.stream, header, NOW_NS + number)
        fields = (header.length, header.template_id, header.version, header.reserved)
        assert fields == (OrderAck.size, Template.ORDER_ACK, VERSION, 0)
        assert (header.stamp.sequence, header.stamp.send_time_ns) == (number, NOW_NS + number)
