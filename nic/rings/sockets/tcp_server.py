"""An exchange's order gateways on the kernel's TCP: several connections as one ring of frames.

Each connection has a flow of its own, as `nic.rings.sockets.tcp` makes its frames; a frame with SYN and no payload
comes before what a new client sends, one with FIN or RST after it. A frame to be sent goes to the connection whose
flow it has; one with FIN or RST is the exchange's last.
"""

import socket
from typing import Annotated

from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, u8, view
from crosswire.nic.packet import (
    ETHERNET_HEADER_BYTES,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    IPV4_HEADER_BYTES,
    Flow,
    TcpHeader,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.rings.sockets.tcp import SLOT_BYTES, TcpSocket, TcpSocketRing
from crosswire.nic.unit.compile import compiled

SERVED_MAX = 4  # connections at once, all gateways together: another one waits in its gateway's backlog
_NONE = -1


class TcpServerRing(Struct):
    """One listening end. `greeted`, `ended` and `overrun` are bits by connection."""

    turn: i64  # connection that is looked at first
    greeted: i64  # its SYN frame was delivered
    ended: i64  # the exchange has said its last word
    overrun: i64  # the client did not read, and missed something
    counters: RingCounters  # `drops`: frames of a connection that is gone or takes no more
    slot: Annotated[Array, u8, SLOT_BYTES]
    connections: Annotated[Array, TcpSocketRing, SERVED_MAX]


@compiled
def greet(connection: TcpSocketRing, frame: Frame, now_ns: int) -> None:
    """Make the frame that says that a client has come."""
    address = address_of(connection.received)
    write_tcp_frame_header(address, connection.flow, 0xFFFF)
    frame.address = address
    frame.length = seal_tcp_frame(address, 0, 0, 0, FLAG_SYN)
    frame.time_ns = now_ns


@poll.register(TcpServerRing)
def poll_server(ring: TcpServerRing, frame: Frame, now_ns: int) -> bool:
    for _ in range(SERVED_MAX):
        turn = ring.turn
        ring.turn = turn + 1 if turn + 1 < SERVED_MAX else 0
        connection = ring.connections[turn]
        if connection.descriptor < 0:
            continue
        found = True
        if ring.greeted >> turn & 1 == 0:
            ring.greeted |= 1 << turn
            greet(connection, frame, now_ns)
        else:
            found = poll(connection, frame, now_ns)
        if found:
            ring.counters.frames += 1
            ring.counters.bytes += frame.length
            return True
    ring.counters.empty_polls += 1
    return False


@release.register(TcpServerRing)
def release_server(_ring: TcpServerRing) -> None:
    pass


@reserve.register(TcpServerRing)
def reserve_server(ring: TcpServerRing, length: int) -> int:
    return address_of(ring.slot) if length <= SLOT_BYTES else 0


@commit.register(TcpServerRing)
def commit_server(ring: TcpServerRing, length: int, now_ns: int) -> None:
    address = address_of(ring.slot)
    header = view(TcpHeader, address + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES)
    place = _NONE
    for candidate in range(SERVED_MAX):
        flow = ring.connections[candidate].flow
        if flow.source_port == header.destination_port and flow.destination_port == header.source_port:
            place = candidate
    if place == _NONE:
        ring.counters.drops += 1
        return
    connection = ring.connections[place]
    slot = reserve(connection, length)
    if slot == 0:
        # A stream with a hole is none: whoever does not read is cut off.
        ring.counters.drops += 1
        ring.overrun |= 1 << place
        return
    copy_bytes(slot, address, length)
    commit(connection, length, now_ns)
    if header.flags & (FLAG_FIN | FLAG_RST) != 0:
        ring.ended |= 1 << place


@flush.register(TcpServerRing)
def flush_server(ring: TcpServerRing) -> None:
    for place in range(SERVED_MAX):
        if ring.connections[place].descriptor >= 0:
            flush(ring.connections[place])


@next_time_ns.register(TcpServerRing)
def next_server_ns(_ring: TcpServerRing) -> int:
    return 0


class TcpServer(Owner):
    """Listens at every gateway's (ip, port) and serves up to SERVED_MAX clients of all of them.

    `flows[g]` is the flow of gateway g's first connection, from the client; the others' differ in the source port,
    by `PORT_STEP` each. HostError if an endpoint can't be had.
    """

    PORT_STEP = 1_000

    def __init__(self, endpoints: list[tuple[int, int]], flows: list[Flow]) -> None:
        self.ring = TcpServerRing()
        self.flows = flows
        self.served: list[TcpSocket | None] = [None] * SERVED_MAX
        self.place = SERVED_MAX - 1  # that was given last
        self.listeners: list[socket.socket] = []
        for place in range(SERVED_MAX):
            self.ring.connections[place].descriptor = _NONE
        try:
            for ip, port in endpoints:
                self.listeners.append(self._listen(ip, port))
        except HostError:
            self.close()
            raise

    def _listen(self, ip: int, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ip_text(ip), port))
        except OSError as error:
            listener.close()
            raise HostError(f"gateway {ip_text(ip)}:{port}: {error.strerror}; is another simulation running?") from None
        listener.listen(SERVED_MAX)
        listener.setblocking(False)
        return listener

    def _flow(self, gateway: int, place: int) -> Flow:
        flow = Flow()
        for name in Flow.fields:
            setattr(flow, name, getattr(self.flows[gateway], name))
        flow.source_port += self.PORT_STEP * place
        return flow

    def _next_place(self) -> int:
        """Find a free place, in turn: answers to who had one before may still be under way to it."""
        self.place = (self.place + 1) % SERVED_MAX
        while self.served[self.place] is not None:
            self.place = (self.place + 1) % SERVED_MAX
        return self.place

    def accept(self) -> None:
        """Take up who knocks while there is a place; let go who has gone."""
        for place, each in enumerate(self.served):
            if each is None:
                continue
            if self.ring.overrun >> place & 1:
                each.abort()
            elif each.ring.closed or (self.ring.ended >> place & 1 and each.ring.backlog == 0):
                each.close()
            else:
                continue
            self.served[place] = None
        for gateway, listener in enumerate(self.listeners):
            while None in self.served:
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    break
                place = self._next_place()
                for name in ("greeted", "ended", "overrun"):
                    setattr(self.ring, name, getattr(self.ring, name) & ~(1 << place))
                owner = TcpSocket.unconnected(self._flow(gateway, place), self.ring.connections[place])
                owner.attach(connection)
                self.served[place] = owner

    def clients(self) -> int:
        """How many clients are connected."""
        return sum(each is not None and not each.ring.closed for each in self.served)

    def cut(self, gateway: int) -> None:
        """Kill a gateway's connections with RST, as when its process dies; it accepts again."""
        for place, each in enumerate(self.served):
            if each is not None and each.ring.flow.destination_port == self.flows[gateway].destination_port:
                each.abort()
                self.served[place] = None

    def close(self) -> None:
        """Close all connections and the listeners."""
        for each in self.served:
            if each is not None:
                each.close()
        for listener in self.listeners:
            listener.close()
        self.listeners = []
