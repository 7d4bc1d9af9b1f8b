"""AF_PACKET: frames from a ring of slots that the kernel fills and the process reads (TPACKET_V2), on any driver.

The kernel's stack sees the frames as well and takes its time for that: this is a fallback where AF_XDP is refused. V3
hands over blocks on a timer and is never right for latency: 1,000 us for V2's 7.5 (measured). Frames are sent by
send(2) past the queueing discipline, which a transmit ring only slows down (8.9 us for 7.5).
"""

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Annotated

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.interface import interface_index
from crosswire.nic.host.multicast import ip_text, is_multicast
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError, map_memory, unmap_memory
from crosswire.nic.host.system_call import MSG_DONTWAIT, call_send
from crosswire.nic.memory.raw import load_i64, load_u32_acquire, store_i64, store_u32_release
from crosswire.nic.memory.struct import Array, Struct, address_of, array, i64, u8, u16, u32, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHER_TYPE_QINQ,
    ETHER_TYPE_QINQ_OLD,
    ETHER_TYPE_VLAN,
    ETHERNET_HEADER_BYTES,
    IP_FRAGMENT_OFFSET,
    IP_MORE_FRAGMENTS,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    VLAN_TAG_BYTES,
    HalfWord,
    Word,
)
from crosswire.nic.rings.receive_times import (
    HARDWARE,
    POLL,
    SOURCES,
    ReceiveTimes,
    Source,
    receive_time_counters,
    received_by_card_ns,
    received_ns,
)
from crosswire.nic.rings.ring import (
    Frame,
    RingCounters,
    Watch,
    commit,
    describe_watch,
    next_time_ns,
    poll,
    release,
    set_frame,
)
from crosswire.nic.rings.sockets.packet_socket import (
    INSTRUCTION_BYTES,
    JUMP,
    JUMP_BITS_SET,
    JUMP_EQUAL,
    LOAD_BYTE,
    LOAD_HALF,
    LOAD_HALF_INDEXED,
    LOAD_IP_HEADER_LENGTH,
    LOAD_WORD,
    REJECT_ALL,
    RETURN,
    SOL_PACKET,
    WHOLE_FRAME,
    attach_filter,
    instruction,
    take_statistics,
)
from crosswire.nic.rings.sockets.send_slots import (
    SLOT_BYTES,
    TRANSMIT_MASK,
    TRANSMIT_SLOTS,
    SendSlots,
    is_out_of_room,
    send_committed,
)
from crosswire.nic.rings.xdp.program import UdpRule
from crosswire.nic.unit.compile import compiled

FRAMES_MIN, FRAMES_MAX = 32, 1 << 16  # received frames that wait; 64 Ki are 128 MB
RULES_MAX = 64  # of each kind; at most 9 filter instructions a rule, twice, of the kernel's 4,096
_BLOCK_BYTES = 1 << 16  # of contiguous kernel memory

_ETH_P_ALL = 3
_PACKET_RX_RING, _PACKET_VERSION, _PACKET_RESERVE, _PACKET_TIMESTAMP = 5, 10, 12, 17
_PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 20, 23
_TPACKET_V2 = 1
_STATUS_KERNEL, _STATUS_USER, _STATUS_VLAN_VALID, _STATUS_TPID_VALID = 0, 1, 1 << 4, 1 << 6
_STATUS_CARD_STAMP = 1 << 31  # TP_STATUS_TS_RAW_HARDWARE; without it the stamp is the kernel's
_CARD_STAMPS = 1 << 6  # SOF_TIMESTAMPING_RAW_HARDWARE

Connection = tuple[int, int, int, int]  # (local_ip, local_port, remote_ip, remote_port)


class PacketSlot(Struct):
    """struct tpacket2_hdr."""

    status: u32
    length: u32  # on the wire
    captured: u32
    frame_offset: u16  # of the Ethernet header, from here
    network_offset: u16
    seconds: u32
    nanoseconds: u32
    vlan_tag: u16
    vlan_type: u16


class AfPacketRing(SendSlots):
    """One AF_PACKET socket as the loop sees it. `counters.wakeups` are sends."""

    slots: i64  # address, shared with the kernel
    mask: i64
    received: i64  # frames released so far
    truncated: i64  # frames longer than a slot; among `counters.drops`
    descriptor: i64
    times: ReceiveTimes
    counters: RingCounters  # `drops`: the kernel's are added by `AfPacketSocket.statistics`
    send_lengths: Annotated[Array, i64, TRANSMIT_SLOTS]


@poll.register(AfPacketRing)
def poll_af_packet(ring: AfPacketRing, frame: Frame, now_ns: int) -> bool:
    while True:
        address = ring.slots + (ring.received & ring.mask) * SLOT_BYTES
        status = load_u32_acquire(address)
        if status & _STATUS_USER == 0:
            ring.counters.empty_polls += 1
            return False
        slot = view(PacketSlot, address)
        if slot.captured == slot.length:
            if status & _STATUS_VLAN_VALID != 0:
                put_tag_back(slot)
            time_ns = now_ns
            if ring.times.source != Source.POLL:
                time_ns = take_stamp_ns(ring, slot, status & _STATUS_CARD_STAMP, now_ns)
            set_frame(ring.counters, frame, address + slot.frame_offset, slot.length, time_ns)
            return True
        ring.truncated += 1
        ring.counters.drops += 1
        give_slot_back(ring)


@compiled
def take_stamp_ns(ring: AfPacketRing, slot: PacketSlot, by_card: int, now_ns: int) -> int:
    """Return a frame's receive time, ns since the epoch, by its slot's one stamp: the card's or the kernel's."""
    stamp_ns = slot.seconds * NS_PER_S + slot.nanoseconds
    if by_card == 0:
        return received_ns(ring.times, stamp_ns, now_ns)
    return received_by_card_ns(ring.times, stamp_ns, 0, now_ns)


@compiled
def put_tag_back(slot: PacketSlot) -> None:
    """Undo what the kernel did to a tagged frame: it took the outer tag out. PACKET_RESERVE keeps room for it."""
    bare = address_of(slot) + slot.frame_offset
    tagged = bare - VLAN_TAG_BYTES
    first, last = load_i64(bare), view(Word, bare + 8).value  # the two MAC addresses: 12 bytes
    store_i64(tagged, first)
    view(Word, tagged + 8).value = last
    # From its type on, a tag lies over the end of the MAC addresses as they were.
    view(HalfWord, bare + 8).value = slot.vlan_type if slot.status & _STATUS_TPID_VALID != 0 else ETHER_TYPE_VLAN
    view(HalfWord, bare + 10).value = slot.vlan_tag
    slot.status = _STATUS_USER | slot.status & _STATUS_CARD_STAMP  # it may be polled again
    slot.frame_offset -= VLAN_TAG_BYTES
    slot.length += VLAN_TAG_BYTES
    slot.captured += VLAN_TAG_BYTES


@compiled
def give_slot_back(ring: AfPacketRing) -> None:
    """Give the oldest slot back to the kernel, to be filled again."""
    store_u32_release(ring.slots + (ring.received & ring.mask) * SLOT_BYTES, _STATUS_KERNEL)
    ring.received += 1


@release.register(AfPacketRing)
def release_af_packet(ring: AfPacketRing) -> None:
    give_slot_back(ring)


@commit.register(AfPacketRing)
def commit_af_packet(ring: AfPacketRing, length: int, _now_ns: int) -> None:
    ring.send_lengths[ring.committed & TRANSMIT_MASK] = length
    ring.committed += 1


@send_committed.register(AfPacketRing)
def send_frames(ring: AfPacketRing) -> None:
    while ring.sent != ring.committed:
        slot = ring.sent & TRANSMIT_MASK
        address = address_of(ring.send_slots) + slot * SLOT_BYTES
        result = call_send(ring.descriptor, address, ring.send_lengths[slot], MSG_DONTWAIT)
        if is_out_of_room(result):
            return
        ring.counters.wakeups += 1
        if result < 0:  # longer than the MTU, or the interface is down
            ring.send_error = -result
            ring.refused += 1
        ring.sent += 1


@next_time_ns.register(AfPacketRing)
def next_af_packet_ns(_ring: AfPacketRing) -> int:
    return 0


@describe_watch.register(AfPacketRing)
def describe_af_packet_watch(ring: AfPacketRing, watch: Watch) -> None:
    watch.address = ring.slots + (ring.received & ring.mask) * SLOT_BYTES
    watch.value = _STATUS_KERNEL


class AfPacketSocket(Owner):
    """Owns a socket that gets an interface's frames to `udp` endpoints and of `tcp` connections, and sends frames.

    An endpoint is listed once for each source that its frames are wanted from, or without one: then any's are. Made in
    the network namespace of the calling thread; HostError if something is refused. Frames come with all tags and
    headers that they had on the wire. IP fragments are not steered. The kernel's stack sees the frames too: UDP
    ports of ours are held by silent sockets, so that it answers no "port unreachable"; against its resets to `tcp`
    connections that it does not know, only a rule of its firewall helps. `stamped`: whose stamp a frame's time is, of
    `receive_times.KINDS`; "hardware" leaves it to the caller that the card is told to stamp (`card_clock`). The loop
    must not touch `ring` after `close`.
    """

    def __init__(
        self,
        interface: str,
        *,
        udp: Sequence[UdpRule] = (),
        tcp: Sequence[Connection] = (),
        frames: int = 4096,
        stamped: str = POLL,
    ) -> None:
        self.interface = interface
        self._sockets: list[socket.socket] = []
        self._mapped: tuple[int, int] | None = None
        self.kernel_frames = 0  # that the filter let in, the dropped ones included; as of the last `statistics`
        self._kernel_drops = 0
        if frames & (frames - 1) or not FRAMES_MIN <= frames <= FRAMES_MAX:
            raise HostError(f"{interface}: {frames} frames; must be a power of two, {FRAMES_MIN} to {FRAMES_MAX}")
        if len(udp) > RULES_MAX or len(tcp) > RULES_MAX:
            raise HostError(f"{interface}: {len(udp)} UDP, {len(tcp)} TCP rules; at most {RULES_MAX} of each")
        interface_index(interface)
        try:
            self._packets = self._open(make_filter(udp, tcp), frames, _CARD_STAMPS * (stamped == HARDWARE))
            self.ring.times.source = SOURCES[stamped]
            for ip, port in dict.fromkeys(rule[:2] for rule in udp):
                self._hold_port(ip, port)
        except HostError:
            self.close()
            raise

    def _open(self, program: bytes, frames: int, stamps: int) -> socket.socket:
        try:
            # Protocol 0 receives nothing before `bind`: no frame passes by the filter.
            packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            advice = "; needs CAP_NET_RAW" if error.errno == errno.EPERM else "; needs a kernel with CONFIG_PACKET"
            raise HostError(f"{self.interface}: AF_PACKET socket: {error.strerror}{advice}") from None
        self._sockets.append(packets)
        length = max(frames * SLOT_BYTES, _BLOCK_BYTES)
        blocks = length // _BLOCK_BYTES
        ring = struct.pack("<IIII", _BLOCK_BYTES, blocks, SLOT_BYTES, length // SLOT_BYTES)
        try:
            attach_filter(packets, program)
            packets.setsockopt(SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
            packets.setsockopt(SOL_PACKET, _PACKET_RESERVE, VLAN_TAG_BYTES)
            packets.setsockopt(SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            packets.setsockopt(SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
            packets.setsockopt(SOL_PACKET, _PACKET_TIMESTAMP, stamps)
            packets.setsockopt(SOL_PACKET, _PACKET_RX_RING, ring)
            self._mapped = map_memory(length, fd=packets.fileno()), length
            packets.bind((self.interface, _ETH_P_ALL))
        except OSError as error:
            raise HostError(f"{self.interface}: AF_PACKET ring of {frames} frames: {error.strerror}") from None
        self.ring = AfPacketRing(slots=self._mapped[0], mask=length // SLOT_BYTES - 1, descriptor=packets.fileno())
        self.ring.send_slots = array(u8, TRANSMIT_SLOTS * SLOT_BYTES)
        return packets

    def _hold_port(self, ip: int, port: int) -> None:
        """Bind the port to a socket that takes nothing. Nobody answers for a group, nor for another host's address."""
        if is_multicast(ip):
            return
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sockets.append(holder)
        attach_filter(holder, REJECT_ALL)
        try:
            holder.bind((ip_text(ip), port))
        except OSError as error:
            # In use: whoever has it keeps the kernel silent just as well.
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise HostError(f"{self.interface}: UDP {ip_text(ip)}:{port}: bind: {error.strerror}") from None

    def statistics(self) -> dict[str, int]:
        """Count the frames lost, by where. Brings `ring.counters.drops`, the receiver's, up to date."""
        frames, drops = take_statistics(self._packets)
        self.kernel_frames += frames
        self._kernel_drops += drops
        ring = self.ring
        ring.counters.drops = self._kernel_drops + ring.truncated
        counted = {"kernel_drops": self._kernel_drops, "truncated": ring.truncated, "refused": ring.refused}
        return counted | receive_time_counters(ring.times)

    def stop_receiving(self) -> None:
        """Let no frame in from here on; those in the ring are still to be polled."""
        attach_filter(self._packets, REJECT_ALL)
        # Binding elsewhere waits for whatever frame had passed the old filter already.
        self._packets.bind(("lo", _ETH_P_ALL))

    def close(self) -> None:
        """Unmap the ring, close the sockets."""
        if self._mapped is not None:
            unmap_memory(*self._mapped)
            self._mapped = None
        while self._sockets:
            self._sockets.pop().close()


def _match(checks: Sequence[tuple[int, int, int]]) -> bytes:
    """Accept the frame if every (load, offset, value) holds; go on behind this otherwise."""
    program = b""
    for number, (code, offset, value) in enumerate(checks):
        behind = 2 * (len(checks) - number - 1) + 1  # instructions from the jump to the end, the return included
        program += instruction(code, offset) + instruction(JUMP_EQUAL, value, 0, behind)
    return program + instruction(RETURN, WHOLE_FRAME)


def _match_packet(ip_at: int, udp: Sequence[UdpRule], tcp: Sequence[Connection]) -> bytes:
    """Accept or reject an IPv4 packet whose header begins at `ip_at`."""
    reject = REJECT_ALL
    udp_rules = b"".join(
        _match(
            (
                (LOAD_WORD, ip_at + 16, rule[0]),
                (LOAD_HALF_INDEXED, ip_at + 2, rule[1]),
                *([(LOAD_WORD, ip_at + 12, rule[2])] if len(rule) == 3 and rule[2] else []),
            )
        )
        for rule in udp
    )
    tcp_rules = b"".join(
        _match(
            (
                (LOAD_WORD, ip_at + 16, local_ip),
                (LOAD_WORD, ip_at + 12, remote_ip),
                (LOAD_HALF_INDEXED, ip_at, remote_port),
                (LOAD_HALF_INDEXED, ip_at + 2, local_port),
            )
        )
        for local_ip, local_port, remote_ip, remote_port in tcp
    )
    udp_rules += reject
    return b"".join(
        (
            instruction(LOAD_HALF, ip_at + 6),
            instruction(JUMP_BITS_SET, IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET, 0, 1),
            reject,
            instruction(LOAD_IP_HEADER_LENGTH, ip_at),
            instruction(LOAD_BYTE, ip_at + 9),
            instruction(JUMP_EQUAL, PROTOCOL_UDP, 2, 0),
            instruction(JUMP_EQUAL, PROTOCOL_TCP, 2, 0),
            reject,
            instruction(JUMP, 1),
            instruction(JUMP, len(udp_rules) // INSTRUCTION_BYTES),
            udp_rules,
            tcp_rules,
            reject,
        )
    )


def make_filter(udp: Sequence[UdpRule], tcp: Sequence[Connection]) -> bytes:
    """Make a classic BPF program that accepts what goes to `udp` and what belongs to `tcp`, tagged or not.

    The kernel has taken a frame's outer tag out before a filter sees it; one more may be there (QinQ).
    """
    tagged = _match_packet(ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES, udp, tcp)
    return b"".join(
        (
            instruction(LOAD_HALF, 12),
            instruction(JUMP_EQUAL, ETHER_TYPE_IPV4, 7, 0),
            instruction(JUMP_EQUAL, ETHER_TYPE_VLAN, 3, 0),
            instruction(JUMP_EQUAL, ETHER_TYPE_QINQ, 2, 0),
            instruction(JUMP_EQUAL, ETHER_TYPE_QINQ_OLD, 1, 0),
            instruction(RETURN, 0),
            instruction(LOAD_HALF, 16),
            instruction(JUMP_EQUAL, ETHER_TYPE_IPV4, 2, 0),
            instruction(RETURN, 0),
            instruction(JUMP, len(tagged) // INSTRUCTION_BYTES),
            tagged,
            _match_packet(ETHERNET_HEADER_BYTES, udp, tcp),
        )
    )
