"""1,000,000 segments, made by mutation, against the guard page: none is read past its end, none breaks a rule.

Made in compiled code, so that it takes seconds: of a right segment some fields are drawn near the connection's own
numbers, then checksums are repaired (or not), then the frame is cut (or not). It lies right before an unreadable page.
"""

import os

import pytest

from crosswire.nic.memory.raw import copy_bytes, load_u8, multiply_u64, shift_right
from crosswire.nic.memory.struct import Struct, address_of, array, i64, u8, view
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_PSH,
    FLAG_SYN,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    TCP_FRAME_HEADER_BYTES,
    Byte,
    Flow,
    Ipv4Header,
    TcpHeader,
    internet_checksum,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.tcp.receive import take_buffered
from crosswire.nic.tcp.state import SEQUENCE_MASK, Tcp
from crosswire.nic.tcp.tcp import close_connection, copy_output, dispatch, open_connection, process
from crosswire.nic.unit.compile import NO_JIT, compiled
from tests.support.guard import GuardedBytes
from tests.support.tcp_setup import SESSION, WIRE, Client, check_invariants, commit_payload

pytestmark = [pytest.mark.tcp, pytest.mark.fuzz]

SEGMENTS = int(os.environ.get("CROSSWIRE_FUZZ_SEGMENTS", "2000" if NO_JIT else "1000000"))
ROUNDS = 20  # invariants are checked after each
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX = 0xBF58476D1CE4E5B9 - (1 << 64)


class Fuzz(Struct):
    """Draws, and what came of them."""

    state: i64
    delivered: i64
    established: i64
    sent: i64
    wrong: i64


@compiled
def draw(fuzz: Fuzz, bound: int) -> int:
    """0 to bound - 1."""
    fuzz.state += _GOLDEN
    mixed = multiply_u64(fuzz.state ^ shift_right(fuzz.state, 31), _MIX)
    return shift_right(shift_right(mixed, 32) * bound, 32)


@compiled
def near(fuzz: Fuzz, number: int) -> int:
    """A 32-bit number that is often that one, or close to it."""
    kind = draw(fuzz, 8)
    if kind < 4:
        return number & SEQUENCE_MASK
    if kind < 6:
        return (number + draw(fuzz, 3000) - 1500) & SEQUENCE_MASK
    if kind < 7:
        return (number + draw(fuzz, 200000) - 100000) & SEQUENCE_MASK
    return draw(fuzz, 1 << 31) * 2 + draw(fuzz, 2)


@compiled
def make_frame(fuzz: Fuzz, tcp: Tcp, flow: Flow, there: int) -> int:
    """Write a frame; returns its length."""
    length = draw(fuzz, 1461) if draw(fuzz, 4) == 0 else draw(fuzz, 60)
    if draw(fuzz, 3) == 0:
        length = 0
    payload = write_tcp_frame_header(there, flow, draw(fuzz, 65536))
    for index in range(min(length, 16)):
        view(Byte, payload + index).value = draw(fuzz, 256)
    flags = FLAG_ACK | FLAG_PSH
    if draw(fuzz, 6) == 0:
        flags = draw(fuzz, 256)
    if tcp.state == 1 and draw(fuzz, 2) == 0:
        flags = FLAG_SYN | FLAG_ACK
    sequence = near(fuzz, tcp.receive.base + tcp.receive.next)
    acknowledgement = near(fuzz, tcp.send.base + tcp.send.una + draw(fuzz, tcp.send.max - tcp.send.una + 1))
    total = seal_tcp_frame(there, length, sequence, acknowledgement, flags)
    header = view(TcpHeader, there + 34)
    ip = view(Ipv4Header, there + 14)
    changed = draw(fuzz, 4)
    if changed == 0:
        header.data_offset = draw(fuzz, 256)  # options, made of payload
    elif changed == 1 and draw(fuzz, 4) == 0:
        byte = view(Byte, there + draw(fuzz, total))
        byte.value = byte.value ^ (1 << draw(fuzz, 8))
    elif changed == 2 and draw(fuzz, 4) == 0:
        ip.total_length = draw(fuzz, 1600)
    if draw(fuzz, 8) != 0:
        repair(there, total)
    if draw(fuzz, 12) == 0:
        total = draw(fuzz, total + 1)
    return total


@compiled
def repair(there: int, length: int) -> None:
    """Right checksums, as far as the frame goes."""
    ip = view(Ipv4Header, there + 14)
    ip.checksum = 0
    ip.checksum = internet_checksum(there + 14, IPV4_HEADER_BYTES, 0)
    transport = ip.total_length - IPV4_HEADER_BYTES
    if transport < 20 or 34 + transport > length:
        return
    header = view(TcpHeader, there + 34)
    header.checksum = 0
    pseudo = ip.source_ip + ip.destination_ip + PROTOCOL_TCP + transport
    header.checksum = internet_checksum(there + 34, transport, pseudo)


@compiled
def run(fuzz: Fuzz, tcp: Tcp, flow: Flow, session: Flow, work: int, guard: int, now_ns: int, count: int) -> int:
    """So many frames; returns the time it has become."""
    for _ in range(count):
        if tcp.state == 0 or draw(fuzz, 5000) == 0:
            open_connection(tcp, draw(fuzz, 1 << 31) * 2, 1025 + draw(fuzz, 60000), now_ns)
            flow.destination_port = tcp.wire.source_port
        length = make_frame(fuzz, tcp, flow, work)
        address = guard - length
        copy_bytes(address, work, length)
        if process(tcp, address, length, now_ns):
            fuzz.delivered += tcp.payload.length
            # Both ends of what is given lie in the frame, behind the headers.
            if tcp.payload.address < address + TCP_FRAME_HEADER_BYTES:
                fuzz.wrong += 1
            if tcp.payload.address + tcp.payload.length > guard:
                fuzz.wrong += 1
            fuzz.delivered += load_u8(tcp.payload.address + tcp.payload.length - 1) >> 8
        taken = take_buffered(tcp, work, 1460)
        while taken > 0:
            fuzz.delivered += taken
            taken = take_buffered(tcp, work, 1460)
        fuzz.established += tcp.established
        if draw(fuzz, 4) == 0:
            commit_payload(tcp, session, work, 1 + draw(fuzz, 300), 0)
        if draw(fuzz, 2000) == 0:
            close_connection(tcp)
        for _ in range(100):
            if not dispatch(tcp, now_ns):
                break
            copy_output(tcp, work)
            fuzz.sent += 1
        now_ns += draw(fuzz, 2_000_000)
    return now_ns


def test_fuzzed_segments() -> None:
    fuzz = Fuzz(state=20_260_101)
    client = Client()
    flow = Flow()
    for part in ("mac", "ip", "port"):
        setattr(flow, f"source_{part}", getattr(WIRE, f"destination_{part}"))
        setattr(flow, f"destination_{part}", getattr(WIRE, f"source_{part}"))
    work = array(u8, 1 << 12)
    now_ns = client.now_ns
    with GuardedBytes(1 << 12) as guard:
        for _ in range(ROUNDS):
            now_ns = run(fuzz, client.tcp, flow, SESSION, address_of(work), guard.end, now_ns, SEGMENTS // ROUNDS)
            check_invariants(client.tcp)
    assert fuzz.wrong == 0
    assert fuzz.delivered > 0
    assert fuzz.established > SEGMENTS // 10
    counters = client.tcp.counters
    if SEGMENTS >= 1_000_000:
        # The ways out were taken.
        expected = (
            "truncated bad_header bad_ip_checksum bad_checksum bad_handshake simultaneous_open unacceptable bad_reset "
            "unexpected_syn without_ack ack_of_unsent ack_too_old after_fin out_of_order trimmed "
            "challenge_acks answers_suppressed retransmits tail_probes resets refused_state"
        )
        assert [name for name in expected.split() if getattr(counters, name) == 0] == []
