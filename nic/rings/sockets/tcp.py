"""An order session over the kernel's TCP, as a ring of frames.

A session writes whole TCP frames and reads whole TCP frames, as on any ring; here the kernel keeps the connection, so
the headers go no further than this file: what is committed is sent without them, and what is received is given some.
Both directions count their bytes from 0.

The client's end can be connected anew from the loop: a socket without a connection stays in the network namespace that
it was made in, and keeps its options and its descriptor (connect(2), AF_UNSPEC).
"""

import contextlib
import errno
import os
import socket
import struct
from typing import Annotated, Self

from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.host.system_call import MSG_DONTWAIT, MSG_NOSIGNAL, call_connect, call_recv, call_send
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, u8
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    FLAG_RST,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.connection import connection_of, reconnect, select_stream
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve, set_frame
from crosswire.nic.unit.compile import compiled

SLOT_BYTES = 2048  # headers and payload of a frame to be sent
SEGMENT_BYTES = 1460  # of payload in a received frame: what one over Ethernet would hold
BACKLOG_BYTES = 1 << 16  # written and not yet taken by the kernel; past that `reserve` finds no room
CONNECT_PATIENCE_S = 5.0
SOCKADDR_BYTES = 16  # struct sockaddr_in
_SEQUENCE_MASK = 0xFFFFFFFF
_CLOSED = -1  # `descriptor` of a ring without connection


class TcpSocketRing(Struct):
    """One connection. `closed` is 1 after the peer's end was delivered, as a frame with FIN or RST, and until the next
    connection is there.
    """

    descriptor: i64
    closed: i64
    number: i64  # of the connection, from 1
    connecting: i64  # 1: another one is being made
    has_peer: i64  # 1: this is the client's end, and `peer` is where it connects to
    send_error: i64  # errno of the send that ended it; 0: none
    received_bytes: i64
    sent_bytes: i64
    backlog: i64  # bytes in `unsent`
    counters: RingCounters  # `wakeups`: sends
    flow: Flow  # of received frames: from the peer to us
    received: Annotated[Array, u8, SLOT_BYTES]
    unsent: Annotated[Array, u8, BACKLOG_BYTES]
    slot: Annotated[Array, u8, SLOT_BYTES]
    peer: Annotated[Array, u8, SOCKADDR_BYTES]
    nobody: Annotated[Array, u8, SOCKADDR_BYTES]  # AF_UNSPEC


@poll.register(TcpSocketRing)
def poll_tcp(ring: TcpSocketRing, frame: Frame, now_ns: int) -> bool:
    if ring.connecting != 0:
        go_on_connecting(ring)
    if ring.descriptor == _CLOSED or ring.closed != 0:
        ring.counters.empty_polls += 1
        return False
    address = address_of(ring.received)
    count = call_recv(ring.descriptor, address + TCP_FRAME_HEADER_BYTES, SEGMENT_BYTES, MSG_DONTWAIT)
    if count == -errno.EAGAIN or count == -errno.EINTR:
        ring.counters.empty_polls += 1
        return False
    flags = FLAG_ACK | FLAG_PSH
    if count <= 0:
        ring.closed = 1
        flags = FLAG_ACK | FLAG_FIN if count == 0 else FLAG_RST
        count = 0
    write_tcp_frame_header(address, ring.flow, 0xFFFF)
    length = seal_tcp_frame(
        address, count, ring.received_bytes & _SEQUENCE_MASK, ring.sent_bytes & _SEQUENCE_MASK, flags
    )
    set_frame(ring.counters, frame, address, length, now_ns)
    ring.received_bytes += count
    return True


@release.register(TcpSocketRing)
def release_tcp(_ring: TcpSocketRing) -> None:
    pass


@reserve.register(TcpSocketRing)
def reserve_tcp(ring: TcpSocketRing, length: int) -> int:
    if ring.descriptor == _CLOSED or ring.closed != 0 or length > SLOT_BYTES:
        return 0
    if ring.backlog + length > BACKLOG_BYTES:
        ring.counters.drops += 1
        return 0
    return address_of(ring.slot)


@commit.register(TcpSocketRing)
def commit_tcp(ring: TcpSocketRing, length: int, now_ns: int) -> None:
    payload = length - TCP_FRAME_HEADER_BYTES
    ring.sent_bytes += payload
    address = address_of(ring.slot) + TCP_FRAME_HEADER_BYTES
    taken = 0
    if ring.backlog == 0 and payload > 0:
        ring.counters.wakeups += 1
        result = call_send(ring.descriptor, address, payload, MSG_DONTWAIT | MSG_NOSIGNAL)
        if result >= 0:
            taken = result
        elif result != -errno.EAGAIN and result != -errno.EINTR:
            ring.send_error = -result
            taken = payload  # the connection is gone; its end comes with the next poll
    if taken < payload:
        copy_bytes(address_of(ring.unsent) + ring.backlog, address + taken, payload - taken)
        ring.backlog += payload - taken


@flush.register(TcpSocketRing)
def flush_tcp(ring: TcpSocketRing) -> None:
    if ring.backlog == 0:
        return
    ring.counters.wakeups += 1
    start = address_of(ring.unsent)
    result = call_send(ring.descriptor, start, ring.backlog, MSG_DONTWAIT | MSG_NOSIGNAL)
    if result > 0:
        # A piece no longer than the gap before it: source and target of one copy must not overlap.
        rest = ring.backlog - result
        moved = 0
        while moved < rest:
            piece = min(result, rest - moved)
            copy_bytes(start + moved, start + moved + result, piece)
            moved += piece
        ring.backlog = rest
    elif result != -errno.EAGAIN and result != -errno.EINTR:
        ring.send_error = -result
        ring.backlog = 0


@next_time_ns.register(TcpSocketRing)
def next_tcp_ns(_ring: TcpSocketRing) -> int:
    return 0


@connection_of.register(TcpSocketRing)
def connection_of_tcp(ring: TcpSocketRing, stream: int) -> int:
    return ring.number if stream == 0 and ring.descriptor != _CLOSED and ring.closed == 0 else 0


@select_stream.register(TcpSocketRing)
def select_tcp_stream(_ring: TcpSocketRing, _stream: int) -> None:
    pass


@reconnect.register(TcpSocketRing)
def reconnect_tcp(ring: TcpSocketRing, stream: int, _now_ns: int) -> None:
    if stream != 0 or ring.descriptor == _CLOSED or ring.has_peer == 0:
        return
    call_connect(ring.descriptor, address_of(ring.nobody), SOCKADDR_BYTES)
    ring.closed = ring.connecting = 1
    ring.send_error = ring.received_bytes = ring.sent_bytes = ring.backlog = 0
    go_on_connecting(ring)


@compiled
def go_on_connecting(ring: TcpSocketRing) -> None:
    """Begin to connect, or see what has become of that; a refused connection is no connection."""
    result = call_connect(ring.descriptor, address_of(ring.peer), SOCKADDR_BYTES)
    if result == 0 or result == -errno.EISCONN:
        ring.closed = ring.connecting = 0
        ring.number += 1
    elif result != -errno.EINPROGRESS and result != -errno.EALREADY and result != -errno.EINTR:
        ring.connecting = 0


class TcpSocket(Owner):
    """Owner of a connection. `flow` goes from the engine to the exchange; it is on no wire."""

    def __init__(self, flow: Flow, is_client: bool, ring: TcpSocketRing | None = None) -> None:
        self.socket: socket.socket | None = None
        self.ring = TcpSocketRing() if ring is None else ring
        self.ring.descriptor = _CLOSED
        pairs = ("mac", "ip", "port")
        for part in pairs:
            near, far = ("source", "destination") if is_client else ("destination", "source")
            setattr(self.ring.flow, f"source_{part}", getattr(flow, f"{far}_{part}"))
            setattr(self.ring.flow, f"destination_{part}", getattr(flow, f"{near}_{part}"))

    @classmethod
    def connect(cls, endpoint: tuple[int, int], flow: Flow) -> Self:
        """Make the client's end, connected to (ip, port). HostError if nobody listens."""
        ip, port = endpoint
        address = ip_text(ip)
        try:
            connection = socket.create_connection((address, port), CONNECT_PATIENCE_S)
        except OSError as error:
            reason = error.strerror or os.strerror(error.errno or errno.ETIMEDOUT)
            raise HostError(f"gateway {address}:{port}: {reason}; is it running, and reachable from here?") from None
        owner = cls(flow, is_client=True)
        owner.attach(connection)
        peer = struct.pack("=H", socket.AF_INET) + struct.pack("!HI", port, ip)
        for place, byte in enumerate(peer):
            owner.ring.peer[place] = byte
        owner.ring.has_peer = 1
        return owner

    @classmethod
    def unconnected(cls, flow: Flow, ring: TcpSocketRing | None = None) -> Self:
        """Make the exchange's end, before a client has come: see `attach`. `ring` is used if it is given."""
        return cls(flow, is_client=False, ring=ring)

    def attach(self, connection: socket.socket) -> None:
        """Carry on with this connection, from byte 0; an earlier one is closed."""
        self.close()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        ring = self.ring
        ring.closed = ring.send_error = ring.received_bytes = ring.sent_bytes = ring.backlog = 0
        ring.number += 1
        ring.descriptor = connection.fileno()

    def hang_up(self) -> None:
        """End both directions; the ring delivers what came before, then a frame with FIN."""
        if self.socket is not None:
            with contextlib.suppress(OSError):  # the peer was faster
                self.socket.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """End it with RST, as a dying process does: what was not sent is lost."""
        if self.socket is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        self.ring.descriptor = _CLOSED
        if self.socket is not None:
            self.socket.close()
            self.socket = None
