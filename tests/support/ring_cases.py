"""What the ring conformance suite runs on: a bed per backend, and how frames get in and out of a ring under test.

A new backend needs a `Bed` with `ring`, `peer_send` and `peer_receive`, entered with `add_bed`; one on the network a
`NetworkBed`, which has the peer already, entered with `add_network_bed`.
"""

import contextlib
import ctypes
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, u8, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHERNET_HEADER_BYTES,
    FLAG_ACK,
    FLAG_PSH,
    IPV4_HEADER_BYTES,
    PROTOCOL_UDP,
    TCP_FRAME_HEADER_BYTES,
    UDP_FRAME_HEADER_BYTES,
    Flow,
    UdpHeader,
    reverse_flow,
    seal_tcp_frame,
    seal_udp_frame,
    write_tcp_frame_header,
    write_udp_frame_header,
)
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX, DelayRing, set_delay_ring
from crosswire.nic.rings.fault import make_fault_ring
from crosswire.nic.rings.joined import make_joined_ring
from crosswire.nic.rings.replay import STARVED, Replay
from crosswire.nic.rings.ring import (
    NEVER_NS,
    Frame,
    Watch,
    commit,
    describe_watch,
    flush,
    is_quiet,
    next_time_ns,
    poll,
    release,
    reserve,
)
from crosswire.nic.rings.shared import SharedMemory
from crosswire.nic.rings.sockets.af_packet import AfPacketSocket
from crosswire.nic.rings.sockets.tcp import TcpSocket
from crosswire.nic.rings.sockets.udp import UdpSocket
from crosswire.nic.rings.xdp.af_xdp import AfXdpSocket, Mode
from crosswire.nic.rings.xdp.program import SteerRules
from crosswire.nic.unit.call import interpreted
from crosswire.nic.unit.compile import compiled
from tests.support.net import own_testbed

BATCH_FRAMES_MAX = 8192
BATCH_BYTES_MAX = 4 << 20
FRAME_BYTES_MIN = 60  # Ethernet's least, without the check sequence
FRAME_BYTES_MAX = 1514
PAYLOAD_BYTES_MIN = FRAME_BYTES_MIN - UDP_FRAME_HEADER_BYTES
LOOPBACK_IP = 0x7F000001
WAIT_S = 5.0  # for frames that cross a kernel


class Batch(Struct):
    """Frames copied out of a ring, or to be sent on it."""

    count: i64
    bytes: i64
    last_time_ns: i64
    backward: i64  # frames whose time was before the one's before
    lengths: Annotated[Array, i64, BATCH_FRAMES_MAX]
    data: Annotated[Pointer, u8]

    def frames(self) -> list[bytes]:
        """All of them."""
        start = address_of(self.data)
        result = []
        for index in range(self.count):
            result.append(ctypes.string_at(start, self.lengths[index]))
            start += self.lengths[index]
        return result


def make_batch(frames: list[bytes] | None = None) -> Batch:
    """A batch of these frames."""
    batch = Batch()
    batch.data = array(u8, BATCH_BYTES_MAX)
    for frame in frames or []:
        ctypes.memmove(address_of(batch.data) + batch.bytes, frame, len(frame))
        batch.lengths[batch.count] = len(frame)
        batch.bytes += len(frame)
        batch.count += 1
    return batch


@compiled
def take(ring: Any, frame: Frame, now_ns: int, batch: Batch, most: int) -> int:
    """Poll, copy and release until there is nothing, or `most` frames were taken; returns how many."""
    taken = 0
    while taken < most and poll(ring, frame, now_ns):
        copy_bytes(address_of(batch.data) + batch.bytes, frame.address, frame.length)
        batch.lengths[batch.count] = frame.length
        batch.bytes += frame.length
        batch.count += 1
        if frame.time_ns < batch.last_time_ns:
            batch.backward += 1
        batch.last_time_ns = frame.time_ns
        release(ring)
        taken += 1
    return taken


@compiled
def give(ring: Any, batch: Batch, first: int, now_ns: int, flush_each: int) -> int:
    """Reserve, write and commit the batch's frames from `first` on, until the ring is full; returns how many."""
    position = address_of(batch.data)
    given = 0
    for index in range(batch.count):
        length = batch.lengths[index]
        if index >= first:
            address = reserve(ring, length)
            if address == 0:
                break
            copy_bytes(address, position, length)
            commit(ring, length, now_ns)
            given += 1
            if flush_each != 0:
                flush(ring)
        position += length
    if given != 0:
        flush(ring)
    return given


@compiled
def look_ahead(ring: Any, watch: Watch, now_ns: int) -> int:
    """Describe where the ring's next frame shows; 1 if it need not be polled at `now_ns`, 0 if it must be."""
    watch.until_ns = now_ns + 1
    describe_watch(ring, watch)
    return 1 if is_quiet(watch, now_ns) else 0


def uncompiled(function: Callable[..., int]) -> Callable[..., int]:
    """The function as plain Python, and all that it calls."""
    return interpreted(function)


class Bed:
    """One backend under test, and a peer at the other end of its wire. Closed by `close`."""

    receive_only: ClassVar[bool] = False
    bounded_frames: ClassVar[bool] = True  # False: a byte stream, whose segments may be cut differently
    preserves: ClassVar[str] = "frame"  # or "payload": the headers are the ring's own
    half_duplex: ClassVar[bool] = False  # what is sent comes back: receive and transmit are one wire
    live: ClassVar[bool] = True
    in_process: ClassVar[bool] = False  # a frame sent is there at once
    receive_capacity: int = 64  # frames that surely fit between two polls
    transmit_capacity: int = 0  # frames after which `reserve` must give 0; 0: has no such limit
    overflow_frames: int = 0  # sent in one go, more than fit; 0: can't overflow
    counts_refusals: ClassVar[bool] = True  # a `reserve` that gives 0 is one of the ring's drops
    shows_frames: ClassVar[bool] = False  # it has a word to be watched, and need not be polled until that changes
    payload_bytes_max: int = FRAME_BYTES_MAX - UDP_FRAME_HEADER_BYTES
    ring: Any

    def __init__(self) -> None:
        self.now_ns = 1_000_000
        self.inward = Flow(
            source_mac=0x02_00_0A_62_00_02,
            destination_mac=0x02_00_0A_62_00_01,
            source_ip=0x0A620002,
            destination_ip=0x0A620001,
            source_port=40_000,
            destination_port=50_000,
        )
        self.outward = reverse_flow(self.inward)

    def peer_send(self, _frames: list[bytes]) -> int:
        """The peer sends; returns how many it could send: none where there is no peer."""
        return 0

    def peer_receive(self) -> list[bytes]:
        """What has come to the peer since the last call."""
        return []

    def lost(self) -> int:
        """Frames known to be lost on their way to the ring."""
        return int(self.ring.counters.drops)

    def advance(self) -> None:
        """Time passes; whatever needs Python is done."""
        self.now_ns += 1000

    def close(self) -> None:
        """Give everything back."""

    def framed(self, payload: bytes, inward: bool = True) -> bytes:
        """A whole UDP frame, to the ring or from it."""
        room = array(u8, UDP_FRAME_HEADER_BYTES + len(payload))
        address = write_udp_frame_header(address_of(room), self.inward if inward else self.outward, len(payload))
        ctypes.memmove(address, payload, len(payload))
        seal_udp_frame(address_of(room), len(payload))
        return bytes(room)

    def seen(self, frames: list[bytes]) -> list[bytes]:
        """The part of frames that this backend must preserve."""
        if self.preserves == "frame":
            return frames
        payloads = [payload_of(frame) for frame in frames]
        return payloads if self.bounded_frames else [b"".join(payloads)]


def payload_of(frame: bytes) -> bytes:
    """What a UDP or TCP frame over IPv4 without options carries."""
    end = 14 + int.from_bytes(frame[16:18], "big")
    transport = 34
    header_bytes = 8 if frame[23] == 17 else (frame[transport + 12] >> 4) * 4
    return frame[transport + header_bytes : end]


class ReplayBed(Bed):
    """A capture file per `peer_send`; what was not read from the last one goes into the next."""

    receive_only = True
    live = False
    in_process = True
    receive_capacity = 512

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.replays: list[Replay] = []
        self._open([])

    def _open(self, frames: list[bytes]) -> None:
        path = self.folder / f"{len(self.replays)}.pcap"
        with CaptureWriter(path) as writer:
            for number, frame in enumerate(frames):
                writer.write(self.now_ns + number, frame)
        self.replays.append(Replay([path], window_bytes=1 << 16))
        self.ring = self.replays[-1].ring

    def peer_send(self, frames: list[bytes]) -> int:
        old = self.ring.counters
        kept = bytes(old)
        rest = make_batch()
        self.now_ns += BATCH_FRAMES_MAX
        while next_time_ns(self.ring) != NEVER_NS:
            uncompiled(take)(self.ring, Frame(), self.now_ns, rest, BATCH_FRAMES_MAX)
            self.advance()
        self._open(rest.frames() + frames)
        ctypes.memmove(self.ring.counters.address, kept, len(kept))
        self.now_ns += BATCH_FRAMES_MAX
        return len(frames)

    def advance(self) -> None:
        super().advance()
        if next_time_ns(self.ring) == STARVED:
            self.replays[-1].refill()

    def close(self) -> None:
        for replay in self.replays:
            replay.close()


class DelayBed(Bed):
    """A simulated wire, whose far end is its near end."""

    half_duplex = True
    live = False
    in_process = True
    receive_capacity = DELAY_FRAMES_MAX
    transmit_capacity = DELAY_FRAMES_MAX
    overflow_frames = 2 * DELAY_FRAMES_MAX

    def __init__(self, _folder: Path) -> None:
        super().__init__()
        self.ring = DelayRing()
        set_delay_ring(self.ring, 500)

    def peer_send(self, frames: list[bytes]) -> int:
        return send_all(self.ring, frames, self.now_ns)

    def peer_receive(self) -> list[bytes]:
        self.advance()
        return receive_all(self.ring, self.now_ns)


def send_all(ring: Any, frames: list[bytes], now_ns: int) -> int:
    """Frames sent from Python; those that find no slot are lost. Returns how many were sent."""
    sent = 0
    for frame in frames:
        address = reserve(ring, len(frame))
        if address:
            ctypes.memmove(address, frame, len(frame))
            commit(ring, len(frame), now_ns)
            sent += 1
    flush(ring)
    return sent


def receive_all(ring: Any, now_ns: int) -> list[bytes]:
    """All that is there, from Python."""
    batch = make_batch()
    uncompiled(take)(ring, Frame(), now_ns, batch, BATCH_FRAMES_MAX)
    return batch.frames()


class SharedBed(Bed):
    """Both ends of a shared wire; the peer has end 1."""

    in_process = True
    shows_frames = True
    receive_capacity = 64
    transmit_capacity = 64
    overflow_frames = 100
    numbers = iter(range(1 << 30))

    def __init__(self, _folder: Path) -> None:
        super().__init__()
        self.memories: list[SharedMemory] = []
        self.ring, self.peer = self.wire()

    def wire(self) -> tuple[Any, Any]:
        """The two ends of a new wire."""
        name = f"crosswire-test-{os.getpid()}-{next(self.numbers)}"
        self.memories.append(SharedMemory(name, create=True, frames=64))
        return self.memories[-1].end(0), self.memories[-1].end(1)

    def peer_send(self, frames: list[bytes]) -> int:
        return send_all(self.peer, frames, self.now_ns)

    def peer_receive(self) -> list[bytes]:
        return receive_all(self.peer, self.now_ns)

    def lost(self) -> int:
        return int(self.peer.counters.drops)

    def close(self) -> None:
        for memory in self.memories:
            memory.close()


class FaultBed(SharedBed):
    """Faults with all rates 0 over a shared wire: must be transparent."""

    shows_frames = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.inner = self.ring
        self.ring = make_fault_ring(self.inner, seed=1)


class LineBed(SharedBed):
    """An orders' wire and two lines, of which the second carries the peer's frames."""

    shows_frames = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.orders = self.ring
        self.orders_peer = self.peer
        self.first, self.first_peer = self.wire()
        self.second, self.peer = self.wire()
        self.ring = make_joined_ring(self.orders, (self.first, self.second))

    def peer_receive(self) -> list[bytes]:
        return receive_all(self.orders_peer, self.now_ns)


BEDS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Bed]]] = {}
KERNEL_BEDS: set[str] = set()  # names of those whose frames come from the kernel, when it has them
NETNS_BEDS: set[str] = set()  # names of those that need root and network namespaces


def add_bed(name: str, make: Callable[[Path], Bed]) -> None:
    """Enter a backend whose bed is closed by `close`."""

    @contextlib.contextmanager
    def opened(folder: Path) -> Iterator[Bed]:
        bed = make(folder)
        try:
            yield bed
        finally:
            bed.close()

    BEDS[name] = opened


for _name, _make in {
    "replay": ReplayBed,
    "delay": DelayBed,
    "shared": SharedBed,
    "fault over shared": FaultBed,
    "line over shared": LineBed,
}.items():
    add_bed(_name, _make)


class Network:
    """The namespaces of the beds that need them, made for the first and kept for all."""

    testbed: ClassVar[Testbed | None] = None

    @classmethod
    def up(cls) -> Testbed:
        """The network, made if it is not there yet."""
        if cls.testbed is None:
            testbed = own_testbed("rc")
            testbed.up()
            cls.testbed = testbed
        return cls.testbed

    @classmethod
    def down(cls) -> None:
        """Remove it, if it was made."""
        if cls.testbed is not None:
            cls.testbed.down()
            cls.testbed = None


class NetworkBed(Bed):
    """Base of the beds on a veth pair: the peer sends and receives raw frames at the exchange's interface."""

    def __init__(self) -> None:
        super().__init__()
        testbed = Network.up()
        self.link = testbed.links[0]
        self.engine_namespace = testbed.engine
        with in_namespace(testbed.exchange):
            self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHER_TYPE_IPV4))
            self.raw.bind((self.link.exchange_interface, ETHER_TYPE_IPV4))
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.raw.setblocking(False)

    def peer_send(self, frames: list[bytes]) -> int:
        for frame in frames:
            self.raw.send(frame)
        return len(frames)

    def peer_receive(self) -> list[bytes]:
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self.raw.recv(1 << 16)
                if self.is_ours(frame):
                    frames.append(frame)
        return frames

    def is_ours(self, frame: bytes) -> bool:
        """Whether the ring sent it, and not the kernel beside it."""
        return frame[23] == PROTOCOL_UDP and frame[34:36] == self.outward.source_port.to_bytes(2, "big")

    def close(self) -> None:
        self.raw.close()


class UdpSocketBed(Bed):
    """The kernel's UDP on the loopback, both ends; the ring's receive buffer is small enough to overflow."""

    preserves = "payload"
    overflow_frames = 2000

    def __init__(self, _folder: Path) -> None:
        super().__init__()
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.setblocking(False)
        self.socket = UdpSocket("lo", local=[(LOOPBACK_IP, 0)], receive_buffer_bytes=1 << 17)
        self.ring = self.socket.ring
        header = view(UdpHeader, self.ring.ends[0].header.address + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES)
        set_loopback(self, header.destination_port, self.peer.getsockname()[1])

    def peer_send(self, frames: list[bytes]) -> int:
        for frame in frames:
            self.peer.sendto(payload_of(frame), ("127.0.0.1", self.inward.destination_port))
        return len(frames)

    def peer_receive(self) -> list[bytes]:
        return [self.framed(payload, inward=False) for payload in received_by(self.peer)]

    def lost(self) -> int:
        self.socket.statistics()
        return super().lost()

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


class TcpSocketBed(Bed):
    """The kernel's TCP on the loopback, both ends."""

    preserves = "payload"
    bounded_frames = False
    payload_bytes_max = FRAME_BYTES_MAX - TCP_FRAME_HEADER_BYTES

    def __init__(self, _folder: Path) -> None:
        super().__init__()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.socket = TcpSocket.connect((LOOPBACK_IP, port), self.outward)
            self.peer, address = server.accept()
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_loopback(self, address[1], port)
        self.ring = self.socket.ring

    def peer_send(self, frames: list[bytes]) -> int:
        self.peer.settimeout(WAIT_S)
        for frame in frames:
            self.peer.sendall(payload_of(frame))
        return len(frames)

    def peer_receive(self) -> list[bytes]:
        self.peer.settimeout(0)
        return [self.framed(payload, inward=False) for payload in received_by(self.peer)]

    def advance(self) -> None:
        super().advance()
        flush(self.ring)  # as the loop does each turn: what the kernel had no room for

    def framed(self, payload: bytes, inward: bool = True) -> bytes:
        room = array(u8, TCP_FRAME_HEADER_BYTES + len(payload))
        address = write_tcp_frame_header(address_of(room), self.inward if inward else self.outward, 0xFFFF)
        ctypes.memmove(address, payload, len(payload))
        seal_tcp_frame(address_of(room), len(payload), 0, 0, FLAG_ACK | FLAG_PSH)
        return bytes(room)

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


def set_loopback(bed: Bed, port: int, peer_port: int) -> None:
    """The flows of a ring and a peer that are both on the loopback."""
    bed.inward.source_ip = bed.inward.destination_ip = LOOPBACK_IP
    bed.outward.source_ip = bed.outward.destination_ip = LOOPBACK_IP
    bed.inward.destination_port = bed.outward.source_port = port
    bed.inward.source_port = bed.outward.destination_port = peer_port


def received_by(peer: socket.socket) -> list[bytes]:
    """All that a non-blocking socket has, in pieces that fit a frame."""
    payloads = []
    with contextlib.suppress(BlockingIOError):
        while payload := peer.recv(FRAME_BYTES_MAX - TCP_FRAME_HEADER_BYTES + 12 * (peer.type == socket.SOCK_DGRAM)):
            payloads.append(payload)
    return payloads


def add_kernel_bed(name: str, make: Callable[[Path], Bed]) -> None:
    """Enter a backend whose frames cross the kernel of this host, which needs no privilege for it."""
    add_bed(name, make)
    KERNEL_BEDS.add(name)


add_kernel_bed("udp sockets", UdpSocketBed)
add_kernel_bed("tcp sockets", TcpSocketBed)


class SocketBed(NetworkBed):
    """A socket of ours that the kernel counts losses for."""

    socket: AfPacketSocket | AfXdpSocket

    def lost(self) -> int:
        self.socket.statistics()
        return super().lost()

    def close(self) -> None:
        self.socket.close()
        super().close()


class AfPacketBed(SocketBed):
    """AF_PACKET with the fewest frames, 32 received."""

    shows_frames = True
    receive_capacity = 32
    overflow_frames = 100

    def __init__(self, _folder: Path) -> None:
        super().__init__()
        steered = [(self.inward.destination_ip, self.inward.destination_port)]
        with in_namespace(self.engine_namespace):
            self.socket = AfPacketSocket(self.link.engine_interface, udp=steered, frames=32)
        self.ring = self.socket.ring


class AfXdpBed(SocketBed):
    """AF_XDP with the fewest frames, 32 for each direction."""

    mode: ClassVar[Mode] = "generic"
    shows_frames = True
    receive_capacity = 32
    transmit_capacity = 32
    overflow_frames = 100
    counts_refusals = False

    def __init__(self, _folder: Path) -> None:
        super().__init__()
        rules = SteerRules(udp=((self.inward.destination_ip, self.inward.destination_port),))
        with in_namespace(self.engine_namespace):
            self.socket = AfXdpSocket(self.link.engine_interface, 0, rules, require=self.mode, frames=64)
        self.ring = self.socket.ring


class AfXdpNativeBed(AfXdpBed):
    mode = "native"


def add_network_bed(name: str, make: Callable[[Path], Bed]) -> None:
    """Enter a backend that needs root and namespaces."""
    add_bed(name, make)
    NETNS_BEDS.add(name)


add_network_bed("af_packet", AfPacketBed)
add_network_bed("af_xdp generic", AfXdpBed)
add_network_bed("af_xdp native", AfXdpNativeBed)


class Driver:
    """A bed's ring, driven by compiled code or by plain Python."""

    def __init__(self, bed: Bed, jit: bool) -> None:
        self.bed = bed
        self.take = take if jit else uncompiled(take)
        self.give = give if jit else uncompiled(give)
        self.look_ahead = look_ahead if jit else uncompiled(look_ahead)
        self.frame = Frame()
        self.watch = Watch()
        self.received = make_batch()

    def receive(self, count: int) -> list[bytes]:
        """The next `count` frames (fewer after WAIT_S without one), or all the bytes of a stream for so many."""
        return self._receive(lambda batch: batch.count >= count)

    def receive_bytes(self, count: int) -> list[bytes]:
        """As `receive`, until `count` bytes of payload are there."""
        return self._receive(lambda batch: sum(map(len, map(payload_of, batch.frames()))) >= count)

    def receive_all(self, patience_s: float = 0.05) -> list[bytes]:
        """What comes until nothing has come for `patience_s` (in one process: at once)."""
        return self._receive(lambda _batch: False, 0.0 if self.bed.in_process else patience_s)

    def _receive(self, enough: Callable[[Batch], bool], patience_s: float = WAIT_S) -> list[bytes]:
        batch = self.received = make_batch()
        deadline_s = time.monotonic() + (0.0 if self.bed.in_process else patience_s)
        quiet = 0
        while not enough(batch):
            if self.take(self.bed.ring, self.frame, self.bed.now_ns, batch, 1 if patience_s == WAIT_S else 64):
                deadline_s = time.monotonic() + (0.0 if self.bed.in_process else patience_s)
                quiet = 0
            elif quiet >= 3 and time.monotonic() > deadline_s:
                break
            else:
                quiet += 1
                self.bed.advance()
        return batch.frames()

    def is_quiet(self) -> bool:
        """Whether the ring says, and its word still shows, that it need not be polled."""
        return self.look_ahead(self.bed.ring, self.watch, self.bed.now_ns) != 0

    def send(self, frames: list[bytes], flush_each: bool = True) -> int:
        """Send what there is room for; returns how many frames that were."""
        return self.give(self.bed.ring, make_batch(frames), 0, self.bed.now_ns, int(flush_each))

    def peer_receive(self, payload_bytes: int) -> list[bytes]:
        """What the peer has got once that many bytes of payload are there, or WAIT_S have passed."""
        frames = self.bed.peer_receive()
        deadline_s = time.monotonic() + WAIT_S
        while sum(len(payload_of(frame)) for frame in frames) < payload_bytes and time.monotonic() < deadline_s:
            self.bed.advance()
            frames += self.bed.peer_receive()
        return frames


def driver_of(ring: Any, jit: bool) -> Driver:
    """A driver of a ring that has no bed."""
    bed = Bed()
    bed.ring = ring
    return Driver(bed, jit)
