"""DPDK: a whole network card, or a virtual device, polled and fed by its user-space driver. Optional.

The port gives every frame that the device receives, but for datagrams that no rule names, which are let go when they
are polled: nothing steers, and nothing answers ARP in the engine's place. What the driver took from the kernel is out
of reach of sockets. Frames are received in bursts, which the ring keeps; they
are sent from buffers of its own that never go back to the pool: a second reference keeps a driver from freeing them.
"""

import contextlib
import ctypes
import itertools
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError, libc
from crosswire.nic.memory.raw import load_i64, load_u32_acquire
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, u8, u64, view
from crosswire.nic.packet import (
    ETHERNET_HEADER_BYTES,
    PROTOCOL_UDP,
    VLAN_TAG_BYTES,
    Packet,
    PacketCounters,
    parse_packet,
)
from crosswire.nic.rings.dpdk.abi import (
    HEADROOM_BYTES,
    REFERENCES_WORD,
    Libraries,
    PacketBuffer,
    call_burst,
    call_free,
    check_table,
)
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve, set_frame
from crosswire.nic.rings.sockets.packet_socket import (
    JUMP_EQUAL,
    LOAD_WORD,
    REJECT_ALL,
    RETURN,
    WHOLE_FRAME,
    attach_filter,
    instruction,
    take_statistics,
)
from crosswire.nic.rings.xdp.program import UdpRule
from crosswire.nic.unit.compile import compiled

FRAMES_MIN, FRAMES_MAX = 64, 1 << 14  # received frames that wait, and frames to be sent
BURST_FRAMES = 32  # received or sent at once; vector drivers give nothing if asked for less than 4
RULES_MAX = 64  # of wanted datagrams, compared one after another
ROOM_BYTES = 2048  # of a frame's buffer behind the headroom
MEMORY_WITHOUT_HUGE_MB = 256  # of all ports, taken when touched
_CACHE_FRAMES = 256  # of the pool, of each thread that is known to DPDK
_BUFFER_BYTES = 2560  # of the pool's memory a frame: head, headroom, room and the pool's own
_LOG_BYTES = 8192  # of what DPDK says about one step; the rest of it is lost
_ANY_SOCKET = -1  # NUMA
_ANY_CORE = 0xFFFF_FFFF
_NOT_SUPPORTED = -95
_PCI_DEVICES = Path("/sys/bus/pci/devices")
_NO_DEVICE = "ffff:ff:1f.7"
_KERNEL_FREE_DRIVERS = ("vfio-pci", "igb_uio", "uio_pci_generic", "mlx4_core", "mlx5_core")
# None of what the host itself sends. PACKET_IGNORE_OUTGOING can't be set once a socket is in a fanout group, where
# net_af_packet's are.
_PACKET_TYPE, _PACKET_OUTGOING = 0xFFFF_F004, 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_INCOMING_ONLY = (
    instruction(LOAD_WORD, _PACKET_TYPE)
    + instruction(JUMP_EQUAL, _PACKET_OUTGOING, 0, 1)
    + REJECT_ALL
    + instruction(RETURN, WHOLE_FRAME)
)

HugePages = Literal["auto", "on", "off"]


class WantedUdp(Struct):
    """Where a wanted datagram is sent to, and by whom; source 0: by anybody."""

    ip: i64
    port: i64
    source_ip: i64


class DpdkRing(Struct):
    """One port's queue pair as the loop sees it. `counters.wakeups` are transmit bursts."""

    # Addresses of words of DPDK's port table. They are read at each burst, as C programs do: a stopped port's words
    # name functions that do nothing.
    receive_function: i64
    receive_queues: i64
    transmit_function: i64
    transmit_queues: i64
    free_function: i64
    held: i64  # frames of the last burst received, which go back to the pool together
    taken: i64  # of them, released
    segmented: i64  # frames in more than one buffer; among `counters.drops`
    counters: RingCounters  # `drops`: the device's are added by `DpdkPort.statistics`
    frame_bytes_max: i64
    transmit_mask: i64
    committed: i64
    sent: i64  # of the committed, taken by the driver
    wanted_count: i64  # 0: all datagrams are wanted
    unwanted: i64  # datagrams that were not; lost to nobody
    wanted: Annotated[Array, WantedUdp, RULES_MAX]
    packet: Packet
    parsed: PacketCounters
    received: Annotated[Array, u64, BURST_FRAMES]  # addresses of `PacketBuffer`s
    transmit: Annotated[Pointer, u64]


@poll.register(DpdkRing)
def poll_dpdk(ring: DpdkRing, frame: Frame, now_ns: int) -> bool:
    while True:
        if ring.taken == ring.held:
            receive_burst(ring)
            if ring.held == 0:
                ring.counters.empty_polls += 1
                return False
        packet = view(PacketBuffer, ring.received[ring.taken])
        if packet.segments != 1:
            ring.segmented += 1
            ring.counters.drops += 1
        elif ring.wanted_count != 0 and is_unwanted(ring, frame, packet):
            ring.unwanted += 1
        else:
            set_frame(ring.counters, frame, packet.buffer + packet.data_offset, packet.data_length, now_ns)
            return True
        ring.taken += 1


@compiled
def is_unwanted(ring: DpdkRing, frame: Frame, packet: PacketBuffer) -> bool:
    """Tell whether a frame is a datagram that no rule names: a device that steers nothing takes all of the wire."""
    frame.address = packet.buffer + packet.data_offset
    frame.length = packet.data_length
    found = ring.packet
    if not parse_packet(frame, found, ring.parsed) or found.protocol != PROTOCOL_UDP:
        return False
    for number in range(ring.wanted_count):
        rule = ring.wanted[number]
        if rule.ip == found.destination_ip and rule.port == found.destination_port:
            if rule.source_ip == 0 or rule.source_ip == found.source_ip:
                return False
    return True


@compiled
def receive_burst(ring: DpdkRing) -> None:
    """Give back the last burst, whole, and get the next. Freeing thus costs no time between a frame and its answer."""
    if ring.held != 0:
        call_free(ring.free_function, address_of(ring.received), ring.held)
    ring.taken = 0
    queue = load_i64(load_i64(ring.receive_queues))
    ring.held = call_burst(load_i64(ring.receive_function), queue, address_of(ring.received), BURST_FRAMES)


@release.register(DpdkRing)
def release_dpdk(ring: DpdkRing) -> None:
    ring.taken += 1


@compiled
def is_free(buffer: int) -> bool:
    """Tell whether a buffer waits neither in the ring nor in the driver, which drops its reference when it is sent."""
    return load_u32_acquire(buffer + REFERENCES_WORD) >> 16 == 1


@reserve.register(DpdkRing)
def reserve_dpdk(ring: DpdkRing, length: int) -> int:
    if length > ring.frame_bytes_max:
        return 0
    buffer = ring.transmit[ring.committed & ring.transmit_mask]
    if not is_free(buffer):
        send_bursts(ring)
        if not is_free(buffer):
            return 0
    return view(PacketBuffer, buffer).buffer + HEADROOM_BYTES


@commit.register(DpdkRing)
def commit_dpdk(ring: DpdkRing, length: int, _now_ns: int) -> None:
    packet = view(PacketBuffer, ring.transmit[ring.committed & ring.transmit_mask])
    packet.data_offset = HEADROOM_BYTES
    packet.references = 2
    packet.segments = 1
    packet.next = 0
    packet.flags = 0
    packet.packet_length = length
    packet.data_length = length
    ring.committed += 1


@flush.register(DpdkRing)
def flush_dpdk(ring: DpdkRing) -> None:
    if ring.committed != ring.sent:
        send_bursts(ring)


@compiled
def send_bursts(ring: DpdkRing) -> None:
    """Hand over what is committed. What the driver has no room for stays, for the next flush."""
    while ring.sent != ring.committed:
        first = ring.sent & ring.transmit_mask
        count = min(ring.committed - ring.sent, BURST_FRAMES, ring.transmit_mask + 1 - first)
        queue = load_i64(load_i64(ring.transmit_queues))
        buffers = address_of(ring.transmit) + 8 * first
        taken = call_burst(load_i64(ring.transmit_function), queue, buffers, count)
        ring.counters.wakeups += 1
        ring.sent += taken
        if taken != count:
            return


@next_time_ns.register(DpdkRing)
def next_dpdk_ns(_ring: DpdkRing) -> int:
    return 0


class _Log:
    """What DPDK says, kept in memory instead of written to stderr and the system's log."""

    def __init__(self, libraries: Libraries) -> None:
        self._text = ctypes.create_string_buffer(_LOG_BYTES)
        libc.fmemopen.restype = ctypes.c_void_p
        stream = libc.fmemopen(self._text, ctypes.c_size_t(_LOG_BYTES), b"w")
        if not stream:
            raise HostError("DPDK: no memory for its log")
        self._stream = ctypes.c_void_p(stream)
        libc.setvbuf(self._stream, None, 2, ctypes.c_size_t(0))  # _IONBF
        libraries.call("rte_openlog_stream", self._stream)

    def clear(self) -> None:
        """Forget what was said."""
        ctypes.memset(self._text, 0, _LOG_BYTES)
        libc.rewind(self._stream)

    def said(self) -> str:
        """What was said since `clear`, in one line with a separator before it; empty if nothing was."""
        lines = [line.strip() for line in self._text.value.decode(errors="replace").splitlines() if line.strip()]
        return f" ({'; '.join(lines)})" if lines else ""


class Environment:
    """DPDK's environment abstraction layer (EAL). There is one a process, from its first port to its end.

    It can't be tried twice: after a refusal the process must be started anew. Don't fork once it runs.
    """

    lock: ClassVar[threading.Lock] = threading.Lock()
    running: ClassVar["Environment | None"] = None
    failure: ClassVar[str] = ""

    def __init__(self, libraries: Libraries, huge: bool) -> None:
        self.libraries = libraries
        self.huge = huge
        self.devices: set[str] = set()  # names of those that are open
        self.log = _Log(libraries)
        cores = os.sched_getaffinity(0)
        arguments = ["crosswire", "--no-telemetry", "--log-level=4", "--lcores", f"0@({','.join(map(str, cores))})"]
        if huge:
            arguments.append("--in-memory")
            # Virtual addresses where there is an IOMMU: a pool takes 11 ms for 405 (measured).
            # Without, devices need physical ones, which DPDK finds out by itself.
            if any(Path("/sys/kernel/iommu_groups").glob("*")):
                arguments += ["--iova-mode", "va"]
        else:
            arguments += ["--no-huge", "--no-shconf", "-m", str(MEMORY_WITHOUT_HUGE_MB)]
        with contextlib.suppress(OSError):
            ctypes.CDLL(f"librte_bus_pci.so.{libraries.abi}")
            # No card is taken but those that a port names.
            arguments += ["-a", _NO_DEVICE]
        # DPDK keeps pointers to them.
        self._texts = [ctypes.create_string_buffer(argument.encode()) for argument in arguments]
        self._vector = (ctypes.c_void_p * (len(arguments) + 1))(*map(ctypes.addressof, self._texts), None)
        try:
            result = libraries.call("rte_eal_init", len(arguments), self._vector)
        finally:
            os.sched_setaffinity(0, cores)  # it pins the thread that calls it
        if result < 0:
            raise HostError(f"DPDK could not start: {libraries.errno()}{self.log.said()}")

    @classmethod
    def get(cls, pool_bytes: int, huge: HugePages) -> "Environment":
        """Return the environment, started if it is not there yet; `huge` and the least memory matter only then."""
        with cls.lock:
            if cls.running is not None:
                if huge != "auto" and cls.running.huge != (huge == "on"):
                    raise HostError(f"huge pages {huge}: DPDK runs {'with' if cls.running.huge else 'without'} them")
                return cls.running
            if cls.failure:
                raise HostError(f"{cls.failure}; start the process anew")
            libraries = Libraries()
            free_bytes = free_huge_bytes()
            if huge == "on" and free_bytes < pool_bytes:
                need = -(-pool_bytes // (2 << 20))
                raise HostError(f"DPDK: {free_bytes >> 20} MB of huge pages free; `sysctl vm.nr_hugepages={need}`")
            try:
                cls.running = cls(libraries, huge == "on" or (huge == "auto" and free_bytes >= pool_bytes))
            except HostError as error:
                cls.failure = str(error)
                raise
            return cls.running

    def step(self, what: str, result: int) -> int:
        """Return the result of a DPDK function that reports failure as -errno; HostError with DPDK's words for it."""
        if result < 0:
            raise HostError(f"{what}: {os.strerror(-result)}{self.log.said()}")
        return result


def free_huge_bytes() -> int:
    """Memory in free huge pages of all sizes."""
    total = 0
    for folder in Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB"):
        total += int(folder.name[10:-2]) * 1024 * int((folder / "free_hugepages").read_text())
    return total


@contextlib.contextmanager
def known_to_dpdk() -> Iterator[None]:
    """Give the calling thread a cache of the pools: without, a burst of one costs 42 ns, not 17 (measured)."""
    environment = Environment.running
    core = (
        None
        if environment is None
        else ctypes.c_uint.in_dll(environment.libraries.loaded["eal"], "per_lcore__lcore_id")
    )
    if environment is None or core is None or core.value != _ANY_CORE:
        yield
        return
    if environment.libraries.call("rte_thread_register") != 0:
        raise HostError(f"DPDK: thread not registered: {environment.libraries.errno()}")
    try:
        yield
    finally:
        environment.libraries.call("rte_thread_unregister")


def _parse_device(device: str) -> tuple[str, str, str]:
    """Split a device into bus, name and arguments; HostError if it is none."""
    name, _, arguments = device.partition(",")
    if not device.isascii() or not device.isprintable() or " " in device:
        raise HostError(f"DPDK device {device!r}: must be one word of ASCII")
    if re.fullmatch(r"net_[a-z0-9_]*[0-9]", name):
        return "vdev", name, arguments
    if not re.fullmatch(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", name):
        raise HostError(
            f"DPDK device {name}: must be a PCI address as 0000:3b:00.0, or a virtual device as net_af_packet0"
        )
    folder = _PCI_DEVICES / name
    if not folder.exists():
        raise HostError(f"DPDK device {name}: there is no such PCI device")
    driver = (folder / "driver").resolve().name if (folder / "driver").exists() else "none"
    if driver not in _KERNEL_FREE_DRIVERS:
        raise HostError(
            f"DPDK device {name}: its driver is {driver}; bind it to vfio-pci, `dpdk-devbind.py -b vfio-pci`"
        )
    return "pci", name, arguments


class DpdkPort(Owner):
    """Owns one DPDK port with a queue pair: a PCI device by its address, or a virtual device, each with arguments.

    Of UDP only what `udp` names is received, as AfPacketSocket's; everything, if it names nothing. Devices are
    e.g. `0000:3b:00.0` or `net_af_packet0,iface=eth1,framecnt=8192`. `frames` are descriptors for each direction, which
    the driver may adjust. The loop's thread runs inside `known_to_dpdk()`; it must not touch `ring` after `close`.
    HostError if something is refused.
    """

    _numbers: ClassVar[Iterator[int]] = itertools.count()

    def __init__(
        self,
        device: str,
        *,
        udp: Sequence[UdpRule] = (),
        frames: int = 1024,
        transmit_frames: int = 512,
        huge: HugePages = "auto",
    ) -> None:
        self.device = device
        if len(udp) > RULES_MAX:
            raise HostError(f"{device}: {len(udp)} UDP rules; at most {RULES_MAX}")
        self._undo: list[Callable[[], object]] = []
        self._packet_sockets: list[socket.socket] = []
        self._unfiltered_frames = 0
        self._kernel_drops = 0
        bus, self._name, arguments = _parse_device(device)
        for count in (frames, transmit_frames):
            if count & (count - 1) or not FRAMES_MIN <= count <= FRAMES_MAX:
                raise HostError(f"{device}: {count} frames; must be a power of two, {FRAMES_MIN} to {FRAMES_MAX}")
        self._environment = Environment.get(self._pool_frames(frames, transmit_frames) * _BUFFER_BYTES, huge)
        self._libraries = self._environment.libraries
        try:
            with Environment.lock:
                self._environment.log.clear()
                self._plug(bus, arguments)
                self._start(frames, transmit_frames, udp)
        except HostError:
            self.close()
            raise
        driver = self._name.rstrip("0123456789") if bus == "vdev" else "PCI device"
        self.obtained = f"{self._libraries.version}, {driver}, {'' if self._environment.huge else 'no '}huge pages"

    @staticmethod
    def _pool_frames(frames: int, transmit_frames: int) -> int:
        # Each of two threads may keep half as much again as a cache's size to itself.
        return frames + 2 * transmit_frames + BURST_FRAMES + 3 * _CACHE_FRAMES

    def _call(self, name: str, *arguments: object) -> int:
        return self._environment.step(f"{self._name}: {name}", self._libraries.call(name, *arguments))

    def _plug(self, bus: str, arguments: str) -> None:
        """Make the device known to DPDK; find its port."""
        environment, name = self._environment, self._name.encode()
        # DPDK itself hands out the port that is there, and closing the second would close the first.
        if self._name in environment.devices:
            raise HostError(f"{self.device}: {self._name} is open in this process already")
        before = set(os.listdir("/proc/self/fd"))
        result = self._libraries.call("rte_eal_hotplug_add", bus.encode(), name, arguments.encode())
        if result < 0:
            said = environment.log.said()
            if bus == "vdev" and "failed to parse" in said:  # drivers of virtual devices are asked for their names
                kind = self._name.rstrip("0123456789").replace("_", "-")
                raise HostError(
                    f"{self.device}: no driver has that name; is librte-{kind}{self._libraries.abi} installed?"
                )
            raise HostError(f"{self.device}: refused{said}" if said else f"{self.device}: {os.strerror(-result)}")
        environment.devices.add(self._name)
        self._undo.append(lambda: environment.devices.discard(self._name))
        self._undo.append(lambda: self._libraries.call("rte_eal_hotplug_remove", bus.encode(), name))
        number = ctypes.c_uint16()
        self._call("rte_eth_dev_get_port_by_name", name, ctypes.byref(number))
        self.port = number.value
        self._undo.append(lambda: self._libraries.call("rte_eth_dev_close", self.port))
        self._find_packet_sockets(set(os.listdir("/proc/self/fd")) - before)

    def _find_packet_sockets(self, descriptors: set[str]) -> None:
        """Copy the device's AF_PACKET sockets, whose drops DPDK doesn't count; keep the host's own frames out.

        They are bound already. What came before the filter is counted, to be dropped before anybody sees it.
        """
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                copy = socket.socket(fileno=os.dup(int(descriptor)))
                if copy.family == socket.AF_PACKET:
                    self._packet_sockets.append(copy)
                    attach_filter(copy, _INCOMING_ONLY)
                    self._unfiltered_frames += take_statistics(copy)[0]
                else:
                    copy.close()

    def _start(self, frames: int, transmit_frames: int, udp: Sequence[UdpRule]) -> None:
        call, port = self._call, self.port
        call("rte_eth_dev_configure", port, 1, 1, self._libraries.configuration())
        receive, transmit = ctypes.c_uint16(frames), ctypes.c_uint16(transmit_frames)
        call("rte_eth_dev_adjust_nb_rx_tx_desc", port, ctypes.byref(receive), ctypes.byref(transmit))
        # A driver may keep every descriptor's frame until it needs the descriptor: there must be more frames than that.
        buffers = 2 << (transmit.value - 1).bit_length()
        pool = self._make_pool(self._pool_frames(receive.value, buffers // 2))
        call("rte_eth_rx_queue_setup", port, 0, receive.value, _ANY_SOCKET & 0xFFFF_FFFF, None, pool)
        call("rte_eth_tx_queue_setup", port, 0, transmit.value, _ANY_SOCKET & 0xFFFF_FFFF, None)
        call("rte_eth_dev_start", port)
        self._undo.append(lambda: self._libraries.call("rte_eth_dev_stop", port))
        self._receive_groups()
        check_table(self._libraries, port)
        mac, mtu = (ctypes.c_uint8 * 6)(), ctypes.c_uint16()
        call("rte_eth_macaddr_get", port, mac)
        call("rte_eth_dev_get_mtu", port, ctypes.byref(mtu))
        self.mac = int.from_bytes(bytes(mac), "big")
        words = self._libraries.words(port)
        self.ring = DpdkRing(
            receive_function=words[0],
            receive_queues=words[1],
            transmit_function=words[2],
            transmit_queues=words[3],
            free_function=self._libraries.address("rte_pktmbuf_free_bulk"),
            frame_bytes_max=min(ROOM_BYTES, mtu.value + ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES),
            transmit_mask=buffers - 1,
        )
        self.ring.transmit = self._make_buffers(pool, buffers)
        # Emptied at the end as well: net_ring's queue outlives its device, and ours in it would outlive their pool.
        self._undo.append(lambda: self._drain(buffers))
        self._drain(self._unfiltered_frames)
        for wanted, rule in zip(self.ring.wanted, udp, strict=False):
            wanted.ip, wanted.port, wanted.source_ip = (*rule, 0)[:3]
        self.ring.wanted_count = len(udp)

    def _make_pool(self, count: int) -> int:
        name = f"crosswire{next(self._numbers)}".encode()
        room = HEADROOM_BYTES + ROOM_BYTES
        pool = self._libraries.call("rte_pktmbuf_pool_create", name, count, _CACHE_FRAMES, 0, room, _ANY_SOCKET)
        if not pool:
            reason = f"{self._libraries.errno()}{self._environment.log.said()}"
            raise HostError(f"{self.device}: no pool of {count} frames: {reason}; use fewer frames or huge pages")
        # Undone last but for the device: its driver may hold frames until then.
        self._undo.insert(2, lambda: self._libraries.call("rte_mempool_free", pool))
        return int(pool)

    def _make_buffers(self, pool: int, count: int) -> Array:
        """Make buffers to send from: DPDK's function to get one is inline, but not the one that copies a frame."""
        data = array(u8, 64)
        model = PacketBuffer(
            buffer=data.address, references=1, segments=1, packet_length=64, data_length=64, buffer_length=64
        )
        buffers = array(u64, count)
        for index in range(count):
            address = self._libraries.call("rte_pktmbuf_copy", address_of(model), pool, 0, 64)
            if not address:
                raise HostError(f"{self.device}: its pool has less than {count} frames to send")
            buffers[index] = address
            made = view(PacketBuffer, address)
            if (made.data_offset, made.references, made.data_length, made.pool) != (HEADROOM_BYTES, 1, 64, pool):
                raise HostError(f"{self._libraries.version}: struct rte_mbuf is not laid out as expected; refused")
        return buffers

    def _drain(self, frames: int) -> None:
        """Give back what is held, and drop at least this many frames of the receive queue, or all that it has."""
        ring = self.ring
        queue = load_i64(load_i64(ring.receive_queues))
        for _ in range(-(-frames // BURST_FRAMES)):
            call_free(ring.free_function, address_of(ring.received), ring.held)
            ring.held = call_burst(load_i64(ring.receive_function), queue, address_of(ring.received), BURST_FRAMES)
        call_free(ring.free_function, address_of(ring.received), ring.held)
        ring.held = ring.taken = 0

    def _receive_groups(self) -> None:
        """Accept frames to multicast groups, whichever way the driver can."""
        call = self._libraries.call
        if call("rte_eth_allmulticast_enable", self.port) == 0:
            return
        result = call("rte_eth_promiscuous_enable", self.port)
        if result == 0:
            # A virtual device leaves the kernel's interface as it set it.
            self._undo.append(lambda: call("rte_eth_promiscuous_disable", self.port))
        elif result != _NOT_SUPPORTED:
            self._environment.step(f"{self._name}: promiscuous mode", result)

    def statistics(self) -> dict[str, int]:
        """Count what went wrong; bring `ring.counters.drops`, the receiver's, up to date.

        `missed`: no descriptor was free. `no_buffer` is no loss by itself: a driver tried in vain to get a buffer.
        Nor are `unwanted` datagrams. `kernel_drops`: of net_af_packet's socket, whose `missed` is always 0.
        """
        words = self._libraries.statistics(self.port)
        for packet_socket in self._packet_sockets:
            self._kernel_drops += take_statistics(packet_socket)[1]
        result = {
            "missed": words["imissed"],
            "receive_errors": words["ierrors"],
            "kernel_drops": self._kernel_drops,
            "segmented": self.ring.segmented,
        }
        self.ring.counters.drops = sum(result.values())
        return result | {
            "unwanted": self.ring.unwanted,
            "transmit_errors": words["oerrors"],
            "no_buffer": words["rx_nombuf"],
        }

    def close(self) -> None:
        """Stop the port and give up the device; the environment stays."""
        while self._packet_sockets:
            self._packet_sockets.pop().close()
        with Environment.lock:
            while self._undo:
                self._undo.pop()()
