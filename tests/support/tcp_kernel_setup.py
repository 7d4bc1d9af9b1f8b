"""A `TcpRing` over AF_XDP in one namespace, a kernel socket as its peer in the other."""

import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import Annotated, Any

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Pointer, Struct, address_of, array, i64, u8
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    FLAG_RST,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    PacketCounters,
    parse_packet,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.connection import connection_of, select_stream
from crosswire.nic.rings.fault import FaultRates, make_fault_ring
from crosswire.nic.rings.ring import Frame, commit, flush, poll, release, reserve
from crosswire.nic.rings.xdp.af_xdp import AfXdpSocket
from crosswire.nic.rings.xdp.program import SteerRules
from crosswire.nic.tcp.connection import Gateway, Step, TcpConnections
from crosswire.nic.tcp.ring import TcpRing
from crosswire.nic.unit.compile import compiled

GATEWAY_PORT = 9000
WAIT_S = 150.0  # without progress: see `lossy_testbed`; before Linux 6.15 the kernel backs off for up to 120 s
SESSION = Flow(
    source_mac=0x020000000001,
    destination_mac=0x020000000002,
    source_ip=0x0A000001,
    destination_ip=0x0A000002,
    source_port=40_001,
    destination_port=9_000,
)


class Talk(Struct):
    """What a session of the test sends and has received, on one stream."""

    stream: i64
    sent: i64
    to_send: i64
    chunk: i64
    received: i64
    room: i64
    ends: i64  # frames with FIN or RST
    end_flags: i64
    first_sent: i64  # of the stream, before this talk
    first_received: i64
    bad: i64  # frames that are not the next of the stream
    other: i64
    frame: Frame
    packet: Packet
    counters: PacketCounters
    flow: Flow
    outward: Annotated[Pointer, u8]
    inward: Annotated[Pointer, u8]


def make_talk(data: bytes, room: int, chunk: int = 500, stream: int = 0, flow: Flow = SESSION) -> Talk:
    """Ready to send `data` in pieces of `chunk`, and to receive `room` bytes."""
    talk = Talk(stream=stream, chunk=chunk, room=room)
    talk.outward = array(u8, max(len(data), 1))
    talk.inward = array(u8, max(room, 1))
    talk.outward.numpy()[: len(data)] = list(data)
    talk.to_send = len(data)
    for name in Flow.fields:
        setattr(talk.flow, name, getattr(flow, name))
    return talk


@compiled
def send_piece(ring: TcpRing, talk: Talk, now_ns: int) -> bool:
    """One frame of the session, if there is something to send and room for it."""
    length = min(talk.chunk, talk.to_send - talk.sent)
    if length <= 0 or connection_of(ring, talk.stream) == 0:
        return False
    select_stream(ring, talk.stream)
    address = reserve(ring, TCP_FRAME_HEADER_BYTES + length)
    if address == 0:
        return False
    payload = write_tcp_frame_header(address, talk.flow, 0xFFFF)
    copy_bytes(payload, address_of(talk.outward) + talk.sent, length)
    sequence = (talk.first_sent + talk.sent) & 0xFFFFFFFF
    acknowledgement = (talk.first_received + talk.received) & 0xFFFFFFFF
    sealed = seal_tcp_frame(address, length, sequence, acknowledgement, FLAG_ACK | FLAG_PSH)
    commit(ring, sealed, now_ns)
    talk.sent += length
    return True


@compiled
def take_frame(ring: TcpRing, talk: Talk, now_ns: int) -> bool:
    """One poll."""
    if not poll(ring, talk.frame, now_ns):
        return False
    packet = talk.packet
    if not parse_packet(talk.frame, packet, talk.counters) or packet.source_port != talk.flow.destination_port:
        talk.other += 1
        release(ring)
        return True
    expected = (talk.first_received + talk.received) & 0xFFFFFFFF
    if packet.tcp_sequence != expected or talk.received + packet.payload_length > talk.room:
        talk.bad += 1
    else:
        copy_bytes(address_of(talk.inward) + talk.received, packet.payload_address, packet.payload_length)
        talk.received += packet.payload_length
    if packet.tcp_flags & (FLAG_FIN | FLAG_RST):
        talk.ends += 1
        talk.end_flags = packet.tcp_flags
    release(ring)
    return True


@compiled
def turns(ring: TcpRing, talk: Talk, now_ns: int, count: int) -> int:
    """So many turns of a loop at one time; how many found something."""
    found = 0
    for _ in range(count):
        if take_frame(ring, talk, now_ns):
            found += 1
        if send_piece(ring, talk, now_ns):
            found += 1
        flush(ring)
    return found


class Rig(Owner):
    """Both ends. The peer's socket is `peer`, once connected."""

    def __init__(
        self,
        testbed: Testbed,
        *,
        receive: FaultRates | None = None,
        transmit: FaultRates | None = None,
        seed: int = 1,
        **options: int,
    ) -> None:
        self._closing = ExitStack()
        self.peer: socket.socket | None = None
        self.failure: list[BaseException] = []
        link = testbed.links[0]
        with in_namespace(testbed.exchange):
            self.server = self._closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.server.bind((link.exchange_ip, 0))
            self.server.listen(4)
        ip, port = self.server.getsockname()
        self.flow = SESSION
        with in_namespace(testbed.engine):
            gateway = Gateway(int.from_bytes(socket.inet_aton(ip), "big"), port, self.flow)
            self.owner = self._closing.enter_context(TcpConnections(link.engine_interface, [gateway]))
            rules = SteerRules(tcp=self.owner.tuples)
            self.xdp = self._closing.enter_context(AfXdpSocket(link.engine_interface, 0, rules, frames=1024))
        self.faults: Any = None
        inner: Any = self.xdp.ring
        if receive is not None or transmit is not None:
            inner = self.faults = make_fault_ring(inner, seed, receive, transmit)
        self.ring = self.owner.open_ring(inner, **options)
        self.tcp = self.ring.connections[0].tcp
        # Compiled before a clock runs: a loop that stands still for seconds retransmits.
        self.owner.drive(Step.TURN, 0, 0)
        turns(self.ring, make_talk(b"", 0), 0, 1)

    def connect(self) -> None:
        """Handshake, and the peer's socket."""
        self.owner.connect()
        self.server.settimeout(WAIT_S)
        self.peer, _ = self.server.accept()
        self._closing.enter_context(self.peer)
        self.peer.settimeout(WAIT_S)
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def peer_info(self) -> dict[str, int]:
        """What the kernel says of its end: fields of struct tcp_info."""
        assert self.peer is not None
        info = self.peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        words = {"rto_us": 8, "unacked": 24, "lost": 32, "last_sent_ms": 44, "rtt_us": 68, "total_retrans": 100}
        at = {name: int.from_bytes(info[place : place + 4], sys.byteorder) for name, place in words.items()}
        return {"retransmits": info[2], "probes": info[3], "backoff": info[4]} | at

    def sent_again_by_peer(self) -> int:
        """Segments that the kernel sent again, tail probes included: it does where our answer is late."""
        return self.peer_info()["total_retrans"]

    def in_peer(self, work: Any) -> threading.Thread:
        """Run `work(socket)` in a thread of its own."""
        assert self.peer is not None

        def run() -> None:
            try:
                work(self.peer)
            except BaseException as error:
                self.failure.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def echo_in_peer(self) -> threading.Thread:
        """The peer sends back what it gets, until the end."""

        def echo(peer: socket.socket) -> None:
            peer.settimeout(None)  # what it has sent may take long to arrive; `close` wakes it
            while data := peer.recv(1 << 16):
                peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)

        return self.in_peer(echo)

    def turn_until(self, talk: Talk, done: Any, wait_s: float = WAIT_S) -> bool:
        """Turns of the loop until `done()`; False if neither direction advances for so long."""
        tcp = self.tcp
        reached = (0, 0)
        give_up = 0.0
        while not done():
            now = time.monotonic()
            if reached != (tcp.send.una, tcp.receive.next) or give_up == 0.0:
                reached = (tcp.send.una, tcp.receive.next)
                give_up = now + wait_s
            if now > give_up or self.failure:
                return False
            if turns(self.ring, talk, time.time_ns(), 16) == 0:
                time.sleep(0.00002)
        return True

    def exchange_bytes(self, data: bytes, chunk: int = 500) -> bytes:
        """Send all of it and receive as much."""
        talk = make_talk(data, len(data), chunk)
        talk.first_sent = self.tcp.send.end
        talk.first_received = self.tcp.receive.delivered
        assert self.turn_until(talk, lambda: talk.received == len(data) or talk.bad or talk.ends), self.describe(talk)
        assert talk.bad == talk.ends == 0, self.describe(talk)
        return bytes(talk.inward.numpy())

    def describe(self, talk: Talk) -> str:
        """For a failure's message."""
        ours = f"sent {talk.sent} received {talk.received} {self.tcp.counters} state {self.tcp.state}"
        return f"{self.failure} {ours} una {self.tcp.send.una} peer {self.peer_info()} faults {self.faults}"

    def close(self) -> None:
        """All of it; threads that wait for the peer's socket end."""
        if self.peer is not None:
            with suppress(OSError):
                self.peer.shutdown(socket.SHUT_RDWR)
        self._closing.close()
