"""What a `TcpRing` needs of the host: local ports of our own, addresses, the neighbour, opening, closing.

The kernel knows nothing of our connections. Sockets bound to their local ports, and never connected, keep it from
giving these to others; the steering rules keep it from seeing the gateway's segments, which it would answer with RST.
When the process dies, nothing closes its connections: the gateway finds out by its timeouts, or by the RST that its
next segment gets: from the kernel once the steering is gone, or from the next process with the same ports.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.neighbour import interface_ip, interface_mac, interface_mtu, resolve
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.memory.struct import Struct
from crosswire.nic.packet import Flow
from crosswire.nic.rings.connection import connection_of, reconnect
from crosswire.nic.rings.ring import Frame, flush, poll, release
from crosswire.nic.rings.xdp.program import TcpTuple
from crosswire.nic.tcp.ring import TcpEndpoints, TcpRing, abort_stream, close_stream, make_tcp_ring
from crosswire.nic.tcp.state import ETHERNET_MSS, TcpEnd, TcpState
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled

PORTS = 16  # of one stream: as many connections in 60 s, the time that a port rests
CONNECT_PATIENCE_S = 16.0  # the SYN and its retransmissions after 1, 2 and 4 s have 15 s
CLOSE_PATIENCE_S = 0.5
_HEADERS_BYTES = 40
_QUIET = (TcpState.CLOSED, TcpState.TIME_WAIT)  # of a connection that needs nothing more


@dataclass(frozen=True)
class Gateway:
    """One stream: where it goes, and the flow of the frames that the session writes. `mac` 0: the kernel is asked."""

    ip: int
    port: int
    session: Flow
    mac: int = 0


class Step(IntEnum):
    """What `drive` is to do."""

    TURN = 0
    OPEN = 1
    CLOSE = 2
    ABORT = 3


@compiled
def drive(ring: TcpRing, frame: Frame, step: int, stream: int, now_ns: int) -> None:
    """A step of a connection's life outside the loop; one function, since each takes seconds to compile.

    What a turn receives is for nobody: the session is not there.
    """
    if step == Step.OPEN:
        reconnect(ring, stream, now_ns)
    elif step == Step.CLOSE:
        close_stream(ring, stream, now_ns)
    elif step == Step.ABORT:
        abort_stream(ring, stream, now_ns)
    elif poll(ring, frame, now_ns):
        release(ring)
    flush(ring)


DRIVE = machine_code(drive)


def prepare(ring: TcpRing) -> None:
    """Compile `drive` for rings of this class, or load it: that takes seconds, while an open ring would overflow.

    `ring` has no connection, so closing does nothing; the ring inside may be connected to nothing.
    """
    DRIVE(ring, Frame(), int(Step.CLOSE), 0, 0)


def turn(ring: TcpRing, frame: Frame, now_ns: int) -> None:
    """Poll once for the connections' own sake."""
    DRIVE(ring, frame, int(Step.TURN), 0, now_ns)


def reconnect_from_python(ring: TcpRing, stream: int, now_ns: int) -> None:
    """Run `reconnect` as compiled code: called from Python it would run uncompiled."""
    DRIVE(ring, Frame(), int(Step.OPEN), stream, now_ns)


class TcpConnections(Owner):
    """A ring's connections. Made in the network namespace of the calling thread.

        owner = TcpConnections("eth0", [Gateway(ip, port, flow)])
        socket = AfXdpSocket("eth0", 0, SteerRules(tcp=owner.tuples))
        ring = owner.open_ring(socket.ring)
        owner.connect()

    The tuples must be steered before `connect`, or the kernel answers the gateway's SYN-ACK with RST. Closed before the
    ring inside.
    """

    def __init__(self, interface: str, gateways: Sequence[Gateway], ports: int = PORTS) -> None:
        """HostError if a port is not to be had, the interface has no address, or a neighbour does not answer."""
        self.interface = interface
        self.gateways = tuple(gateways)
        self.ring: TcpRing | None = None
        self._frame = Frame()
        self._held: list[socket.socket] = []
        try:
            ip = interface_ip(interface)
            mac = interface_mac(interface)
            self.mss = min(interface_mtu(interface) - _HEADERS_BYTES, ETHERNET_MSS)
            self.endpoints = tuple(self._endpoints(each, ip, mac, ports) for each in self.gateways)
        except HostError:
            self.close()
            raise

    def _endpoints(self, gateway: Gateway, ip: int, mac: int, count: int) -> TcpEndpoints:
        wire = Flow(
            source_mac=mac,
            destination_mac=gateway.mac or resolve(self.interface, gateway.ip),
            source_ip=ip,
            destination_ip=gateway.ip,
            destination_port=gateway.port,
        )
        return TcpEndpoints(wire, gateway.session, tuple(self._hold(ip) for _ in range(count)))

    def _hold(self, ip: int) -> int:
        """Hold a local port that the kernel gives to nobody else as long as we live."""
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._held.append(held)
        try:
            held.bind((ip_text(ip), 0))
        except OSError as error:
            raise HostError(f"{self.interface}: a local port of {ip_text(ip)}: {error.strerror}") from None
        return int(held.getsockname()[1])

    @property
    def tuples(self) -> tuple[TcpTuple, ...]:
        """The addresses and ports that have to be steered to the ring inside."""
        return tuple(
            TcpTuple(each.wire.source_ip, port, each.wire.destination_ip, each.wire.destination_port)
            for each in self.endpoints
            for port in each.ports
        )

    def open_ring(self, inner: Struct, seed: int | None = None, **options: int) -> TcpRing:
        """Open the ring, without a connection yet. `seed` is for tests: what it makes can be guessed."""
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little", signed=True)
        self.ring = make_tcp_ring(inner, self.endpoints, seed, mss=self.mss, **options)
        return self.ring

    def connect(self, clock: Callable[[], int] = time.time_ns, patience_s: float = CONNECT_PATIENCE_S) -> None:
        """Open every stream that has no connection. HostError, by gateway, if one can't be had.

        `clock` gives the time that the loop will give later: timers go by it.
        """
        ring = self._ring()
        for stream in range(ring.streams):
            if connection_of(ring, stream) == 0:
                self.drive(Step.OPEN, stream, clock())
        self._turn_until(lambda: all(not each.opening for each in self._connections()), clock, patience_s)
        for stream, gateway in enumerate(self.gateways):
            if connection_of(ring, stream) == 0:
                end = TcpEnd(ring.connections[stream].tcp.end)
                reason = "refused; is it running?" if end == TcpEnd.REFUSED else "no answer; is it reachable from here?"
                raise HostError(f"{self.interface}: gateway {ip_text(gateway.ip)}:{gateway.port}: {reason}")

    def disconnect(self, clock: Callable[[], int] = time.time_ns, patience_s: float = CLOSE_PATIENCE_S) -> None:
        """Close every connection: FIN, and what the peers send in `patience_s`; then RST."""
        ring = self._ring()
        for stream in range(ring.streams):
            self.drive(Step.CLOSE, stream, clock())
        self._turn_until(lambda: all(each.tcp.state in _QUIET for each in self._connections()), clock, patience_s)
        for stream in range(ring.streams):
            self.drive(Step.ABORT, stream, clock())

    def drive(self, step: Step, stream: int, now_ns: int) -> None:
        """One step; to be called before a clock runs, too, so that it is compiled by then."""
        DRIVE(self._ring(), self._frame, int(step), stream, now_ns)

    def _ring(self) -> TcpRing:
        assert self.ring is not None, "open_ring first"
        return self.ring

    def _connections(self) -> list[Any]:
        ring = self._ring()
        return [ring.connections[stream] for stream in range(ring.streams)]

    def _turn_until(self, done: Callable[[], bool], clock: Callable[[], int], patience_s: float) -> None:
        give_up = time.monotonic() + patience_s
        while not done() and time.monotonic() < give_up:
            self.drive(Step.TURN, 0, clock())

    def close(self) -> None:
        """Let the kernel have the ports again. Connections that are open stay so at the peer: see `disconnect`."""
        self.ring = None
        while self._held:
            self._held.pop().close()
