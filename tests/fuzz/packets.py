"""Frames and segments: what lies below every venue."""

import struct

from crosswire.nic.packet import FLAG_ACK, FLAG_PSH, FLAG_SYN, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.ring import Frame
from crosswire.nic.tcp import tcp as machine
from tests.fuzz.target import Target, guard, joined, pieces
from tests.support.tcp_setup import IRS, ISS, SACK_PERMITTED, Client, build, check_invariants, mss_option


def run_packet(data: bytes) -> None:
    """One frame through `parse_packet`."""
    frame, packet, counters = Frame(time_ns=1), Packet(), PacketCounters()
    frame.address, frame.length = guard().place(data), len(data)
    has_payload = parse_packet(frame, packet, counters)
    assert sum(getattr(counters, name) for name in PacketCounters.fields) == 1
    assert has_payload == (counters.udp + counters.tcp == 1)
    if has_payload:
        assert frame.address <= packet.payload_address
        assert 0 <= packet.payload_length <= frame.address + frame.length - packet.payload_address


def packet_seeds() -> list[bytes]:
    """TCP and UDP, with tags, options, padding, and as a fragment."""
    segment = build(FLAG_ACK | FLAG_PSH, IRS, ISS, b"payload", options=SACK_PERMITTED)
    datagram = bytearray(segment)
    datagram[23], datagram[38:40] = 17, (len(segment) - 34).to_bytes(2, "big")
    fragment = bytearray(segment)
    fragment[20] = 0x20
    tagged = segment[:12] + bytes.fromhex("8100000a88a80001") + segment[12:]
    options = segment[:14] + b"\x46" + segment[15:34] + bytes(4) + segment[34:]
    return [segment, bytes(datagram), bytes(fragment), tagged, options, segment + bytes(6), segment[:40]]


_STEP = struct.Struct(
    "<BBhhHB"
)  # what to do, flags, sequence and acknowledgement from where they stand, window, options
DO_SEGMENT, DO_WAIT, DO_SEND, DO_CLOSE, DO_OPEN, DO_BREAK = range(6)


def run_tcp(data: bytes) -> None:
    """A connection of our own TCP: what the peer sends, what we send, and time."""
    client = Client()
    tcp = client.tcp
    machine.open_connection(tcp, ISS, 45_678, client.now_ns)
    client.output()
    for step in pieces(data):
        if len(step) < _STEP.size:
            continue
        what, flags, sequence, acknowledgement, window, option_bytes = _STEP.unpack_from(step)
        rest = step[_STEP.size :]
        options, payload = rest[: option_bytes % 41], rest[option_bytes % 41 :][:1460]
        kind = what % 6
        if kind in (DO_SEGMENT, DO_BREAK):
            base = IRS if tcp.state == 1 else tcp.receive.base + tcp.receive.next
            sent = tcp.send.base + tcp.send.una
            frame = build(flags, base + sequence, sent + acknowledgement, payload, window, options)
            if kind == DO_BREAK and payload:  # checksums and lengths as they come
                frame = frame[: len(frame) - len(payload)]
            address = guard().place(frame)
            if machine.process(tcp, address, len(frame), client.now_ns):
                given = tcp.payload
                assert address <= given.address
                assert given.address + given.length <= address + len(frame)
            client.take()
        elif kind == DO_WAIT:
            client.now_ns += window * 10_000_000
        elif kind == DO_SEND:
            client.write((payload or b"x")[:1400])
        elif kind == DO_CLOSE:
            machine.close_connection(tcp)
        elif tcp.state == 0:
            machine.open_connection(tcp, ISS, tcp.wire.source_port, client.now_ns)
        for _ in range(200):
            if not machine.dispatch(tcp, client.now_ns):
                break
            machine.copy_output(tcp, client.room.address)
        else:
            raise AssertionError("it never stops sending")
        check_invariants(tcp)


def tcp_step(what: int, flags: int = 0, *, ahead: int = 0, ack: int = 0, window: int = 65535, more: bytes = b"",
             options: bytes = b"") -> bytes:  # fmt: skip
    """Make one step."""
    return _STEP.pack(what, flags, ahead, ack, window, len(options)) + options + more


def tcp_seeds() -> list[bytes]:
    """A conversation, one with losses, one that is reset, and one that fails to begin."""
    hello = tcp_step(DO_SEGMENT, FLAG_SYN | FLAG_ACK, ack=1, options=mss_option(1460) + SACK_PERMITTED)
    data = tcp_step(DO_SEGMENT, FLAG_ACK | FLAG_PSH, more=b"0123456789")
    later = tcp_step(DO_SEGMENT, FLAG_ACK, ahead=10, more=b"later")
    sent, wait = tcp_step(DO_SEND, more=b"order" * 20), tcp_step(DO_WAIT, window=30)
    acked = tcp_step(DO_SEGMENT, FLAG_ACK, ack=100)
    finish = tcp_step(DO_SEGMENT, 0x11, more=b"end")
    return [
        joined(hello, data, sent, acked, finish, tcp_step(DO_CLOSE), acked),
        joined(hello, later, data, later, sent, sent, wait, wait, acked, acked, acked, acked, wait),
        joined(hello, sent, tcp_step(DO_SEGMENT, 4), tcp_step(DO_OPEN), hello, tcp_step(DO_SEGMENT, 0x14, ack=50)),
        joined(
            tcp_step(DO_SEGMENT, FLAG_SYN), wait, wait, tcp_step(DO_BREAK, FLAG_ACK, more=b"cut"), tcp_step(DO_CLOSE)
        ),
    ]


TARGETS = [Target("packet", run_packet, packet_seeds), Target("tcp", run_tcp, tcp_seeds)]
