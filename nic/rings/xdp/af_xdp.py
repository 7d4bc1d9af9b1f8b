"""AF_XDP: frames straight from a receive queue into memory of ours, and back, past the kernel's stack.

One shared memory (UMEM) of equal frames; its lower half receives, its upper half transmits. Four rings of indices are
mapped into the process (kernel documentation, networking/af_xdp.rst):

    fill        ours -> kernel   frames to receive into          receive   kernel -> ours   frames received
    transmit    ours -> kernel   frames to send                  completion kernel -> ours  frames sent
"""

import ctypes
import errno
import fcntl
import socket
import struct
import time
from typing import Annotated, Literal

from crosswire.nic.host.interface import interface_index
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError, libc, map_large_pages, map_memory, unmap_memory
from crosswire.nic.host.system_call import MSG_DONTWAIT, call_recv, call_send
from crosswire.nic.memory.raw import load_i64, load_u32_acquire, prefetch, store_i64, store_u32_release
from crosswire.nic.memory.struct import Pointer, Struct, array, i64, size_of, u32, u64, view
from crosswire.nic.rings.ring import (
    Frame,
    RingCounters,
    Watch,
    commit,
    describe_watch,
    flush,
    next_time_ns,
    poll,
    release,
    reserve,
    set_frame,
)
from crosswire.nic.rings.xdp.bpf import XDP_FLAGS_GENERIC, XDP_FLAGS_NATIVE
from crosswire.nic.rings.xdp.program import QUEUES_MAX, SteerRules, XdpProgram
from crosswire.nic.unit.compile import compiled

Mode = Literal["generic", "native", "zerocopy"]

FRAMES_MIN, FRAMES_MAX = 64, 1 << 17  # of one socket; 128 Ki of 2 KB are 256 MB
FRAME_BYTES = (2048, 4096)  # what aligned mode takes on pages of 4 KB
HEADROOM_BYTES = 256  # XDP_PACKET_HEADROOM, before each received frame
HUGE_PAGE_BYTES = 1 << 21
PREFETCH_FRAMES = 8  # ahead of the one that poll gives
PUBLISH_MASK = 63  # frames are given back at least every 64: one shared cache line written less often
BIND_PATIENCE_S = 3.0  # the kernel frees a closed socket's queue 4 to 24 ms later (measured); until then EBUSY
BUSY_POLL_BUDGET = 64  # frames a poll: NAPI's own weight

_AF_XDP, _SOL_XDP = 44, 283
_XDP_MMAP_OFFSETS, _XDP_RX_RING, _XDP_TX_RING, _XDP_UMEM_REG, _XDP_FILL_RING, _XDP_COMPLETION_RING = range(1, 7)
_XDP_STATISTICS, _XDP_OPTIONS = 7, 8
_XDP_OPTIONS_ZEROCOPY = 1
_XDP_COPY, _XDP_ZEROCOPY, _XDP_USE_NEED_WAKEUP = 1 << 1, 1 << 2, 1 << 3
_PAGE_RECEIVE, _PAGE_TRANSMIT, _PAGE_FILL, _PAGE_COMPLETION = 0, 0x80000000, 0x100000000, 0x180000000
_NEED_WAKEUP = 1  # XDP_RING_NEED_WAKEUP
_SO_BUSY_POLL, _SO_INCOMING_NAPI_ID, _SO_PREFER_BUSY_POLL, _SO_BUSY_POLL_BUDGET = 46, 56, 69, 70
_SIOCETHTOOL, _ETHTOOL_GDRVINFO, _SIOCGIFMTU = 0x8946, 3, 0x8921
_LINK_OVERHEAD_BYTES = 22  # Ethernet header and two VLAN tags
_STATISTICS = (
    "rx_dropped",
    "rx_invalid_descs",
    "tx_invalid_descs",
    "rx_ring_full",
    "rx_fill_ring_empty_descs",
    "tx_ring_empty_descs",
)
_INDEX_MASK = 0xFFFFFFFF  # shared indices are 32-bit and wrap; ours are 64-bit and do not
_RX_WAKE_NEVER, _RX_WAKE_ASKED, _RX_WAKE_ALWAYS = 0, 1, 2


class XdpDescriptor(Struct):
    """struct xdp_desc."""

    address: u64  # in the UMEM
    length: u32
    options: u32


class AfXdpRing(Struct):
    """One AF_XDP socket as the loop sees it. `..._at` are addresses shared with the kernel."""

    # Receive.
    received: i64  # frames released so far: the receive ring's consumer
    received_end: i64  # of the receive ring's producer, as last read
    receive_descriptors: i64
    receive_producer_at: i64
    receive_consumer_at: i64
    polled: i64  # UMEM address of the frame that the last poll gave
    fill_addresses: i64
    fill_producer_at: i64
    umem: i64
    mask: i64  # all four rings have as many slots: half of the frames
    frame_mask: i64  # of a UMEM address: the frame it lies in
    wake_receive: i64  # empty polls: 0 do nothing, 1 wake the driver when it asks for it, 2 drive it (busy polling)
    fill_flags_at: i64
    counters: RingCounters
    # Transmit.
    transmitted: i64  # the transmit ring's producer
    unsent: i64  # committed frames that no wake-up has taken yet
    transmit_descriptors: i64
    transmit_producer_at: i64
    transmit_consumer_at: i64
    transmit_flags_at: i64
    completed: i64  # the completion ring's consumer
    completion_addresses: i64
    completion_producer_at: i64
    completion_consumer_at: i64
    free_count: i64
    free_frames: Annotated[Pointer, i64]  # a stack: the frame used last is the one still in the cache
    frame_bytes: i64
    need_wakeup: i64
    descriptor: i64  # of the socket
    send_error: i64  # errno of the last wake-up that failed for good; 0: none


@poll.register(AfXdpRing)
def poll_af_xdp(ring: AfXdpRing, frame: Frame, now_ns: int) -> bool:
    received = ring.received
    if received == ring.received_end:
        behind = (load_u32_acquire(ring.receive_producer_at) - received) & _INDEX_MASK
        if behind == 0:
            ring.counters.empty_polls += 1
            if ring.wake_receive != _RX_WAKE_NEVER:
                wake_receive(ring)
            return False
        ring.received_end = received + behind
    # Local copies: a field is loaded anew after every store, which might have changed it for all the compiler knows.
    descriptor = view(XdpDescriptor, ring.receive_descriptors + (received & ring.mask) * size_of(XdpDescriptor))
    # In a burst the next frames are there, but not in this core's cache: 17 ns a frame without this, 10 with it.
    # Past the burst a descriptor is an old one, which does no harm.
    ahead = view(
        XdpDescriptor, ring.receive_descriptors + ((received + PREFETCH_FRAMES) & ring.mask) * size_of(XdpDescriptor)
    )
    prefetch(ring.umem + ahead.address)
    address = descriptor.address
    length = descriptor.length
    ring.polled = address
    set_frame(ring.counters, frame, ring.umem + address, length, now_ns)
    return True


@release.register(AfXdpRing)
def release_af_xdp(ring: AfXdpRing) -> None:
    # The fill ring has a slot for every frame that receives: it is never full, and runs in step with the receive ring.
    received = ring.received
    store_i64(ring.fill_addresses + ((received & ring.mask) << 3), ring.polled & ring.frame_mask)
    received += 1
    ring.received = received
    if received == ring.received_end or received & PUBLISH_MASK == 0:
        store_u32_release(ring.fill_producer_at, received + ring.mask + 1)
        store_u32_release(ring.receive_consumer_at, received)


@compiled
def wake_receive(ring: AfXdpRing) -> None:
    """Wake a driver that ran out of frames, with zero copy; with busy polling this is the poll."""
    if ring.wake_receive == _RX_WAKE_ALWAYS or load_u32_acquire(ring.fill_flags_at) & _NEED_WAKEUP != 0:
        ring.counters.wakeups += 1
        call_recv(ring.descriptor, 0, 0, MSG_DONTWAIT)


@compiled
def reap_completions(ring: AfXdpRing) -> None:
    """Take back the frames that have been sent."""
    count = (load_u32_acquire(ring.completion_producer_at) - ring.completed) & _INDEX_MASK
    if count == 0:
        return
    for _ in range(count):
        ring.free_frames[ring.free_count] = load_i64(ring.completion_addresses + ((ring.completed & ring.mask) << 3))
        ring.free_count += 1
        ring.completed += 1
    store_u32_release(ring.completion_consumer_at, ring.completed)


@reserve.register(AfXdpRing)
def reserve_af_xdp(ring: AfXdpRing, length: int) -> int:
    if ring.free_count == 0:
        reap_completions(ring)
    if ring.free_count == 0 or length > ring.frame_bytes:
        return 0
    return ring.umem + ring.free_frames[ring.free_count - 1]


@commit.register(AfXdpRing)
def commit_af_xdp(ring: AfXdpRing, length: int, now_ns: int) -> None:
    ring.free_count -= 1
    slot = ring.transmitted & ring.mask
    # There is a slot: a free frame was completed, so its descriptor was read, and there are no more frames than slots.
    descriptor = view(XdpDescriptor, ring.transmit_descriptors + slot * size_of(XdpDescriptor))
    descriptor.address = ring.free_frames[ring.free_count]
    descriptor.length = length
    descriptor.options = 0
    ring.transmitted += 1
    ring.unsent += 1
    store_u32_release(ring.transmit_producer_at, ring.transmitted)


@flush.register(AfXdpRing)
def flush_af_xdp(ring: AfXdpRing) -> None:
    if ring.unsent == 0:
        return
    if ring.need_wakeup != 0 and load_u32_acquire(ring.transmit_flags_at) & _NEED_WAKEUP == 0:
        ring.unsent = 0  # the driver is at it already
    else:
        wake_transmit(ring)
    reap_completions(ring)


@compiled
def wake_transmit(ring: AfXdpRing) -> None:
    """Have the kernel send. What it could not take now stays `unsent`, for the next flush."""
    while True:
        before = load_u32_acquire(ring.transmit_consumer_at)
        ring.counters.wakeups += 1
        result = call_send(ring.descriptor, 0, 0, MSG_DONTWAIT)
        after = load_u32_acquire(ring.transmit_consumer_at)
        if result >= 0:
            ring.unsent = 0
            return
        if result not in (-errno.EAGAIN, -errno.EBUSY, -errno.ENOBUFS, -errno.ENETDOWN):
            ring.send_error = -result
            ring.unsent = 0
            return
        # Copy mode sends 32 frames a call and says EAGAIN when there are more; without progress it would not end.
        if after == before:
            return


@next_time_ns.register(AfXdpRing)
def next_af_xdp_ns(_ring: AfXdpRing) -> int:
    return 0


@describe_watch.register(AfXdpRing)
def describe_af_xdp_watch(ring: AfXdpRing, watch: Watch) -> None:
    watch.address = ring.receive_producer_at
    watch.value = ring.received & _INDEX_MASK
    if ring.wake_receive == _RX_WAKE_ALWAYS:
        watch.until_ns = 0  # busy polling: no frame comes unless the ring is polled


class AfXdpSocket(Owner):
    """Owns one queue of an interface: socket, UMEM, rings, and the program that steers frames to them.

    `require` is the mode to get at least: "generic" (any driver; the kernel makes an skb and copies it), "native" (the
    driver runs the program; it copies unless it can do without), "zerocopy". HostError if it is not to be had: there is
    no silent step down. Generic is a choice of its own, not a failed native: on veth it is the faster of the two.

    Made in the network namespace of the calling thread. The loop must not touch `ring` after `close`.
    """

    def __init__(
        self,
        interface: str,
        queue: int,
        rules: SteerRules,
        *,
        require: Mode = "generic",
        need_wakeup: bool = True,
        busy_poll_us: int = 0,
        frames: int = 4096,
        frame_bytes: int = 2048,
        program: XdpProgram | None = None,
    ) -> None:
        """`program`: one attached already, shared by the queues of an interface; `rules` are then those it has."""
        self.where = f"{interface} queue {queue}"
        self.interface = interface
        self.queue = queue
        self.require = require
        self.obtained: Mode = "generic"
        self.huge = False
        self._mapped: list[tuple[int, int]] = []
        self._socket: socket.socket | None = None
        self._program: XdpProgram | None = None
        self._check_sizes(frames, frame_bytes)
        self._interface_index = interface_index(interface)
        self._check_mtu(frame_bytes)
        try:
            joined = self._join(program or self._attached_program(rules))
            self._open(frames, frame_bytes, need_wakeup)
            if busy_poll_us > 0:
                self._set_busy_poll(busy_poll_us)
            self._bind(need_wakeup)
            self._learn_mode(busy_poll_us, need_wakeup)
            joined.add_socket(queue, self.ring.descriptor)
        except HostError:
            self.close()
            raise

    def _check_sizes(self, frames: int, frame_bytes: int) -> None:
        if frames & (frames - 1) or not FRAMES_MIN <= frames <= FRAMES_MAX:
            raise HostError(f"{self.where}: {frames} frames; must be a power of two, {FRAMES_MIN} to {FRAMES_MAX}")
        if frame_bytes not in FRAME_BYTES:
            raise HostError(f"{self.where}: frames of {frame_bytes} bytes; must be 2048 or 4096")
        if not 0 <= self.queue < QUEUES_MAX:
            raise HostError(f"{self.where}: queues are 0 to {QUEUES_MAX - 1}")

    def _check_mtu(self, frame_bytes: int) -> None:
        # The kernel would drop a frame that does not fit, and only count it.
        mtu = _interface_mtu(self.interface)
        room = frame_bytes - HEADROOM_BYTES - _LINK_OVERHEAD_BYTES
        if mtu > room and self.interface != "lo":
            raise HostError(f"{self.where}: MTU {mtu} does not fit frames of {frame_bytes} bytes; set it to 1500")

    def _attached_program(self, rules: SteerRules) -> XdpProgram:
        program = XdpProgram(rules)
        native = self.require != "generic"
        where = f"{self.interface}: {'native' if native else 'generic'} XDP: driver {driver_name(self.interface)}"
        try:
            program.attach(self._interface_index, XDP_FLAGS_NATIVE if native else XDP_FLAGS_GENERIC, where)
        except HostError:
            program.close()
            raise
        return program

    def _join(self, program: XdpProgram) -> XdpProgram:
        self._program = program
        program.users += 1
        return program

    def _open(self, frames: int, frame_bytes: int, need_wakeup: bool) -> None:
        """Open the socket, its UMEM and its rings; the lower half of the frames is in the fill ring."""
        try:
            self._socket = socket.socket(_AF_XDP, socket.SOCK_RAW, 0)
        except OSError as error:
            advice = "; needs CAP_NET_RAW" if error.errno == errno.EPERM else "; needs a kernel with CONFIG_XDP_SOCKETS"
            raise HostError(f"{self.where}: AF_XDP socket: {error.strerror}{advice}") from None
        length = frames * frame_bytes
        umem = self._map_umem(length)
        self._set_option(_XDP_UMEM_REG, struct.pack("<QQIIII", umem, length, frame_bytes, 0, 0, 0), "UMEM")
        slots = frames // 2
        for option in (_XDP_FILL_RING, _XDP_COMPLETION_RING, _XDP_RX_RING, _XDP_TX_RING):
            self._set_option(option, struct.pack("<I", slots), f"ring of {slots} slots")
        self.ring = ring = AfXdpRing(
            umem=umem,
            mask=slots - 1,
            frame_mask=-frame_bytes,
            frame_bytes=frame_bytes,
            need_wakeup=int(need_wakeup),
            descriptor=self._socket.fileno(),
            free_frames=array(i64, slots),
            free_count=slots,
        )
        offsets = struct.unpack("<16Q", self._socket.getsockopt(_SOL_XDP, _XDP_MMAP_OFFSETS, 128))
        receive, transmit, fill, completion = (offsets[start : start + 4] for start in range(0, 16, 4))
        base = self._map_ring(receive[2] + slots * size_of(XdpDescriptor), _PAGE_RECEIVE)
        ring.receive_producer_at, ring.receive_consumer_at, ring.receive_descriptors = (base + o for o in receive[:3])
        base = self._map_ring(transmit[2] + slots * size_of(XdpDescriptor), _PAGE_TRANSMIT)
        ring.transmit_producer_at, ring.transmit_consumer_at = base + transmit[0], base + transmit[1]
        ring.transmit_descriptors, ring.transmit_flags_at = base + transmit[2], base + transmit[3]
        base = self._map_ring(fill[2] + slots * 8, _PAGE_FILL)
        ring.fill_producer_at, ring.fill_addresses, ring.fill_flags_at = base + fill[0], base + fill[2], base + fill[3]
        base = self._map_ring(completion[2] + slots * 8, _PAGE_COMPLETION)
        ring.completion_producer_at, ring.completion_consumer_at = base + completion[0], base + completion[1]
        ring.completion_addresses = base + completion[2]
        for number in range(slots):
            store_i64(ring.fill_addresses + 8 * number, number * frame_bytes)
            ring.free_frames[number] = (frames - 1 - number) * frame_bytes
        store_u32_release(ring.fill_producer_at, slots)

    def _map_umem(self, length: int) -> int:
        rounded = -(-length // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        address, self.huge = map_large_pages(rounded)
        self._mapped.append((address, rounded))
        return address

    def _map_ring(self, length: int, offset: int) -> int:
        assert self._socket is not None
        address = map_memory(length, fd=self._socket.fileno(), offset=offset)
        self._mapped.append((address, length))
        return address

    def _set_option(self, option: int, value: bytes, what: str) -> None:
        assert self._socket is not None
        try:
            self._socket.setsockopt(_SOL_XDP, option, value)
        except OSError as error:
            advice = "; raise the memlock limit" if error.errno in (errno.ENOBUFS, errno.ENOMEM) else ""
            raise HostError(f"{self.where}: AF_XDP {what}: {error.strerror}{advice}") from None

    def _set_busy_poll(self, busy_poll_us: int) -> None:
        """Prefer busy polling: the loop drives the driver, interrupts stay masked. No effect without a NAPI."""
        assert self._socket is not None
        options = (_SO_PREFER_BUSY_POLL, 1), (_SO_BUSY_POLL, busy_poll_us), (_SO_BUSY_POLL_BUDGET, BUSY_POLL_BUDGET)
        for option, value in options:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, value)
            except OSError as error:
                raise HostError(f"{self.where}: busy polling: {error.strerror}; needs Linux 5.11") from None

    def _bind(self, need_wakeup: bool) -> None:
        # Native takes zero copy when the driver can: no flag asks for "either".
        flags = {"generic": _XDP_COPY, "native": 0, "zerocopy": _XDP_ZEROCOPY}[self.require]
        flags |= _XDP_USE_NEED_WAKEUP if need_wakeup else 0
        address = struct.pack("<HHIII", _AF_XDP, flags, self._interface_index, self.queue, 0)
        give_up = time.monotonic() + BIND_PATIENCE_S
        while libc.bind(self.ring.descriptor, address, len(address)) != 0:
            number = ctypes.get_errno()
            if number == errno.EBUSY and time.monotonic() < give_up:
                time.sleep(0.001)
                continue
            advice = {
                errno.EBUSY: "another AF_XDP socket has the queue",
                errno.EINVAL: "the interface has no such queue (`ethtool -l`), or the driver lacks a feature asked for",
                errno.EOPNOTSUPP: 'set require = "native" or "generic", or use another NIC',
                errno.EPROTONOSUPPORT: 'set require = "native" or "generic", or use another NIC',
            }.get(number, "see `dmesg`")
            driver = driver_name(self.interface)
            raise HostError(
                f"{self.where}: {self.require} AF_XDP: driver {driver} refused ({errno.errorcode[number]}); {advice}"
            )

    def _learn_mode(self, busy_poll_us: int, need_wakeup: bool) -> None:
        assert self._socket is not None
        options = struct.unpack("<I", self._socket.getsockopt(_SOL_XDP, _XDP_OPTIONS, 4))[0]
        if options & _XDP_OPTIONS_ZEROCOPY:
            self.obtained = "zerocopy"
        elif self.require != "generic":
            self.obtained = "native"
        if busy_poll_us > 0:
            self.ring.wake_receive = _RX_WAKE_ALWAYS
        elif need_wakeup and self.obtained == "zerocopy":
            # In copy mode the kernel never asks: the test would only cost.
            self.ring.wake_receive = _RX_WAKE_ASKED

    def statistics(self) -> dict[str, int]:
        """The kernel's counts (struct xdp_statistics), and `filtered`, on all queues of the program.

        `napi_id` is 0 as long as busy polling can have no effect: no frame yet, or a driver such as veth. Brings
        `ring.counters.drops` up to date.
        """
        assert self._socket is not None
        assert self._program is not None
        raw = self._socket.getsockopt(_SOL_XDP, _XDP_STATISTICS, 48)
        counts = dict(zip(_STATISTICS, struct.unpack(f"<{len(_STATISTICS)}Q", raw), strict=True))
        counts["filtered"] = self._program.filtered
        counts["napi_id"] = self._socket.getsockopt(socket.SOL_SOCKET, _SO_INCOMING_NAPI_ID)
        counts["send_error"] = self.ring.send_error
        # An empty fill ring is counted in rx_dropped as well, per frame.
        self.ring.counters.drops = counts["rx_dropped"] + counts["rx_ring_full"]
        return counts

    def close(self) -> None:
        """Detach the program (the last of its sockets does), close the socket, unmap its memory."""
        program, self._program = self._program, None
        if program is not None:
            program.users -= 1
            if program.users == 0:
                program.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        while self._mapped:
            unmap_memory(*self._mapped.pop())


def open_queues(
    interface: str,
    queues: tuple[int, ...],
    rules: SteerRules,
    *,
    require: Mode = "generic",
    need_wakeup: bool = True,
    busy_poll_us: int = 0,
    frames: int = 4096,
    frame_bytes: int = 2048,
) -> list[AfXdpSocket]:
    """Open a socket for each queue, under one program; all of them or a HostError."""
    opened: list[AfXdpSocket] = []
    try:
        for queue in queues:
            opened.append(
                AfXdpSocket(
                    interface,
                    queue,
                    rules,
                    require=require,
                    need_wakeup=need_wakeup,
                    busy_poll_us=busy_poll_us,
                    frames=frames,
                    frame_bytes=frame_bytes,
                    program=opened[0]._program if opened else None,
                )
            )
    except HostError:
        for each in opened:
            each.close()
        raise
    return opened


def driver_name(interface: str) -> str:
    """The kernel driver behind an interface, as `ethtool -i` tells; "unknown" if it does not."""
    information = ctypes.create_string_buffer(struct.pack("<I", _ETHTOOL_GDRVINFO) + bytes(192), 196)
    request = struct.pack("<16sQ16x", interface.encode(), ctypes.addressof(information))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            _ioctl(any_socket, _SIOCETHTOOL, request)
        except OSError:
            return "unknown"
    return information.raw[4:36].split(b"\0")[0].decode()


def _interface_mtu(interface: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = _ioctl(any_socket, _SIOCGIFMTU, struct.pack("<16s24x", interface.encode()))
    return struct.unpack_from("<i", answer, 16)[0]


def _ioctl(any_socket: socket.socket, request: int, argument: bytes) -> bytes:
    return fcntl.ioctl(any_socket, request, argument)
