"""A `Tcp` without a network: hand-made segments go in, parsed segments come out, and the time is a number."""

import ctypes
import struct
from dataclasses import dataclass

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, address_of, array, u8, view
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    FLAG_RST,
    FLAG_SYN,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    TcpFrame,
    flags_and_window,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.tcp import tcp as machine
from crosswire.nic.tcp.receive import take_buffered
from crosswire.nic.tcp.segment import stamp, stamp_unnumbered, window_now
from crosswire.nic.tcp.send import has_room, keep_slot, next_slot
from crosswire.nic.tcp.state import SEQUENCE_MASK, Tcp, TcpState
from crosswire.nic.unit.compile import compiled

FIN, SYN, RST, PSH, ACK = FLAG_FIN, FLAG_SYN, FLAG_RST, FLAG_PSH, FLAG_ACK
START_NS = 1_700_000_000_000_000_000
MSS = 1460
LOCAL_PORT = 45_678
ISS = 1_000_000
WRAPPING = (ISS, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF - 700, 0x7FFFFFFF, 0x80000000 - 300)
IRS = 5_000_000
WIRE = Flow(
    source_mac=0x020000000001,
    destination_mac=0x020000000002,
    source_ip=0x0A620001,
    destination_ip=0x0A620002,
    source_port=LOCAL_PORT,
    destination_port=9000,
)
SESSION = Flow(
    source_mac=0x0200C0A80001,
    destination_mac=0x0200C0A80002,
    source_ip=0xC0A80001,
    destination_ip=0xC0A80002,
    source_port=40_001,
    destination_port=9_001,
)


@compiled
def commit_payload(tcp: Tcp, session: Flow, source: int, length: int, acknowledgement: int) -> bool:
    """What a session does to send `length` bytes; False if refused. It acknowledges in numbers of its own."""
    if not has_room(tcp, TCP_FRAME_HEADER_BYTES + length):
        return False
    address = address_of(next_slot(tcp).data)
    payload = write_tcp_frame_header(address, session, 0xFFFF)
    copy_bytes(payload, source, length)
    sequence = tcp.send.end & SEQUENCE_MASK
    if length & 1:
        sealed = seal_tcp_frame(address, length, sequence, acknowledgement, FLAG_ACK | FLAG_PSH)
        stamp(tcp, address, sealed, window_now(tcp))
        keep_slot(tcp, next_slot(tcp), sealed, 0)
        return True
    # As a template is committed: what is not written in the frame is not read there.
    sealed = seal_tcp_frame(address, length, 0, 0, FLAG_ACK | FLAG_PSH)
    tcp_header = view(TcpFrame, address).tcp
    unnumbered_sum = (tcp_header.checksum ^ 0xFFFF) + (flags_and_window(tcp_header) ^ 0xFFFF_FFFF)
    tcp_header.sequence = tcp_header.acknowledgement = acknowledgement
    tcp_header.checksum = length
    # A sum that was not folded, and is as large as one may be: below 2**38 with the longest payload.
    stamp_unnumbered(tcp, address, sealed, window_now(tcp), unnumbered_sum + (length << 10) * 0xFFFF)
    keep_slot(tcp, next_slot(tcp), sealed, 0)
    return True


def checksum(data: bytes) -> int:
    """RFC 1071, written apart from the code under test; 0 where a checksum in the data is right."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@dataclass(frozen=True)
class Seen:
    """A segment on the wire. `sequence` and `acknowledgement` as they are there."""

    flags: int
    sequence: int
    acknowledgement: int
    window: int
    payload: bytes
    options: bytes
    ports: tuple[int, int]


def parse(frame: bytes) -> Seen:
    """A frame that must be right in every respect."""
    assert frame[12:14] == b"\x08\x00"
    assert frame[14] == 0x45
    total = struct.unpack(">H", frame[16:18])[0]
    assert total == len(frame) - 14
    assert checksum(frame[14:34]) == 0
    transport = frame[34:]
    assert checksum(frame[26:34] + struct.pack(">HH", 6, len(transport)) + transport) == 0
    source, destination, sequence, acknowledgement, offset, flags, window = struct.unpack(">HHIIBBH", transport[:16])
    header = (offset >> 4) * 4
    return Seen(
        flags, sequence, acknowledgement, window, transport[header:], transport[20:header], (source, destination)
    )


def build(
    flags: int,
    sequence: int,
    acknowledgement: int = 0,
    payload: bytes = b"",
    window: int = 65535,
    options: bytes = b"",
    tail: bytes = b"",
    flow: Flow = WIRE,
    port: int | None = None,
) -> bytes:
    """A right frame from the peer to us; `tail` is Ethernet's padding."""
    options += b"\0" * (-len(options) % 4)
    ends = struct.pack(">II", flow.destination_ip, flow.source_ip)
    transport = struct.pack(
        ">HHIIBBHHH",
        flow.destination_port,
        flow.source_port if port is None else port,
        sequence & SEQUENCE_MASK,
        acknowledgement & SEQUENCE_MASK,
        (20 + len(options)) // 4 << 4,
        flags,
        window,
        0,
        0,
    )
    transport += options + payload
    total = checksum(ends + struct.pack(">HH", 6, len(transport)) + transport)
    transport = transport[:16] + struct.pack(">H", total) + transport[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(transport), 7, 0x4000, 64, 6, 0) + ends
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    macs = flow.source_mac.to_bytes(6, "big") + flow.destination_mac.to_bytes(6, "big")
    return macs + b"\x08\x00" + ip + transport + tail


def mss_option(value: int) -> bytes:
    return struct.pack(">BBH", 2, 4, value)


SACK_PERMITTED = b"\x01\x01\x04\x02"


class Client:
    """The connection under test, from the side of its peer. Sequence numbers given and seen are relative: 0 is the
    first data byte of a direction."""

    def __init__(self, iss: int = ISS, irs: int = IRS, **options: int) -> None:
        self.tcp = Tcp()
        machine.set_tcp(self.tcp, WIRE, SESSION, **options)
        self.iss = iss
        self.irs = irs
        self.now_ns = START_NS
        self.delivered = b""
        self.room: Array = array(u8, 1 << 12)
        self.spare: Array = array(u8, 1 << 17)

    # What the peer sends.
    def feed(self, frame: bytes) -> None:
        """A frame arrives; what it brings is taken."""
        room: Array = array(u8, max(len(frame), 1))
        ctypes.memmove(address_of(room), frame, len(frame))
        if machine.process(self.tcp, address_of(room), len(frame), self.now_ns):
            assert self.tcp.payload.length > 0
            self.delivered += ctypes.string_at(self.tcp.payload.address, self.tcp.payload.length)
        self.take()

    def take(self) -> None:
        """What was buffered."""
        while length := take_buffered(self.tcp, address_of(self.spare), 1460):
            self.delivered += bytes(self.spare.numpy()[:length])

    def peer(
        self,
        flags: int = ACK,
        sequence: int = 0,
        ack: int = 0,
        payload: bytes = b"",
        window: int = 65535,
        **more: bytes,
    ) -> None:
        """A segment by relative numbers."""
        self.feed(build(flags, self.irs + 1 + sequence, self.iss + 1 + ack, payload, window, **more))

    # What we send.
    def output(self) -> list[Seen]:
        """All that is to be sent now, numbers relative."""
        seen = []
        while machine.dispatch(self.tcp, self.now_ns):
            machine.copy_output(self.tcp, address_of(self.room))
            seen.append(self.relative(bytes(self.room.numpy()[: self.tcp.output.length])))
            assert len(seen) < 200
        return seen

    def relative(self, frame: bytes) -> Seen:
        assert frame[:6] == WIRE.destination_mac.to_bytes(6, "big")
        assert frame[6:12] == WIRE.source_mac.to_bytes(6, "big")
        one = parse(frame)
        assert one.ports == (self.tcp.wire.source_port, WIRE.destination_port)
        return Seen(
            one.flags,
            signed(one.sequence - self.iss - 1),
            signed(one.acknowledgement - self.irs - 1),
            one.window,
            one.payload,
            one.options,
            one.ports,
        )

    def write(self, payload: bytes, acknowledgement: int = 0) -> bool:
        """Commit a frame; False if refused. `output` sends it."""
        ctypes.memmove(address_of(self.spare), payload, len(payload))
        return commit_payload(self.tcp, SESSION, address_of(self.spare), len(payload), acknowledgement)

    def send(self, payload: bytes) -> list[Seen]:
        """Commit, and what goes out."""
        assert self.write(payload)
        return self.output()

    def wait(self, ms: float) -> list[Seen]:
        """What goes out after so much time, no timer in between being missed."""
        end_ns = self.now_ns + int(ms * NS_PER_MS)
        seen = []
        while (due_ns := machine.next_timer_ns(self.tcp)) <= end_ns:
            self.now_ns = max(self.now_ns, due_ns)
            before = len(seen)
            seen += self.output()
            if len(seen) == before and machine.next_timer_ns(self.tcp) <= self.now_ns:
                break
        self.now_ns = end_ns
        return seen

    def open(self) -> list[Seen]:
        """To SYN-SENT."""
        self.begin()
        return self.output()

    def begin(self) -> None:
        """To SYN-SENT, the SYN not sent yet."""
        machine.open_connection(self.tcp, self.iss, LOCAL_PORT, self.now_ns)

    def establish(self, mss: int = MSS, window: int = 65535, rtt_ms: float = 1.0) -> "Client":
        """To ESTABLISHED, its ACK sent."""
        self.open()
        self.now_ns += int(rtt_ms * NS_PER_MS)
        self.feed(build(SYN | ACK, self.irs, self.iss + 1, window=window, options=mss_option(mss)))
        assert self.state == TcpState.ESTABLISHED
        (answer,) = self.output()
        assert (answer.flags, answer.sequence, answer.acknowledgement) == (ACK, 0, 0)
        return self

    def close(self) -> list[Seen]:
        machine.close_connection(self.tcp)
        return self.output()

    def abort(self) -> list[Seen]:
        self.end()
        return self.output()

    def end(self) -> None:
        """To CLOSED, the RST not sent yet."""
        machine.abort_connection(self.tcp)

    @property
    def state(self) -> TcpState:
        return TcpState(self.tcp.state)


def signed(value: int) -> int:
    """A 32-bit difference, from -2**31 to 2**31 - 1."""
    return ((value + (1 << 31)) & SEQUENCE_MASK) - (1 << 31)


def check_invariants(tcp: Tcp) -> None:
    """What holds of a connection at any time."""
    assert 0 <= tcp.store.begin <= tcp.store.middle <= tcp.store.end <= tcp.store.begin + 64
    assert -1 <= tcp.send.una <= tcp.send.max <= tcp.send.end + tcp.send.fin_queued
    assert tcp.receive.delivered <= tcp.receive.next <= tcp.receive.delivered + 65536
    position = tcp.receive.next
    for index in range(tcp.reassembly.run_count):
        run = tcp.reassembly.runs[index]
        assert position < run.begin < run.end <= tcp.receive.delivered + 65536
        position = run.end
    end = tcp.send.end
    for number in reversed(range(tcp.store.begin, tcp.store.end)):
        slot = tcp.store.slots[number % 64]
        assert slot.end == end
        end -= slot.length - TCP_FRAME_HEADER_BYTES
    assert end <= max(tcp.send.una, 0) <= tcp.send.end + tcp.send.fin_queued


def flags_of(seen: list[Seen]) -> list[int]:
    return [each.flags for each in seen]
