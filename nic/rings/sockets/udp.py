"""Market data over the kernel's own UDP sockets: no privilege, no special NIC; and the way LD_PRELOAD stacks see it.

OpenOnload and VMA replace the C library's socket calls, so a run under `onload` bypasses the kernel with this ring.
A ring carries frames: each datagram is given the Ethernet, IPv4 and UDP headers that it had on the wire, as far as a
socket tells. The source's MAC address, time to live and UDP checksum are not known; they are made up.
"""

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Annotated

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.interface import interface_index
from crosswire.nic.host.multicast import Group, ip_text, is_multicast, join_group, multicast_mac
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.host.system_call import MSG_DONTWAIT, call_recvmmsg, call_sendmmsg
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, size_of, u8, u16, u32, u64, view
from crosswire.nic.packet import (
    UDP_FRAME_HEADER_BYTES,
    EthernetHeader,
    Flow,
    Ipv4Header,
    UdpHeader,
    fold_checksum,
    patch_udp_length,
    write_udp_frame_header,
)
from crosswire.nic.rings.receive_times import (
    POLL,
    SOURCES,
    ReceiveTimes,
    Source,
    receive_time_counters,
    received_by_card_ns,
)
from crosswire.nic.rings.ring import Frame, RingCounters, commit, next_time_ns, poll, release, set_frame
from crosswire.nic.rings.sockets.send_slots import (
    SLOT_BYTES,
    TRANSMIT_MASK,
    TRANSMIT_SLOTS,
    SendSlots,
    is_out_of_room,
    send_committed,
)
from crosswire.nic.unit.compile import compiled

SOCKETS_MAX = 16  # in one ring
BATCH_DATAGRAMS = 32  # taken by one recvmmsg
RECEIVE_BUFFER_BYTES = 4 << 20  # asked of the kernel, of each socket
_PAYLOAD_BYTES_MAX = SLOT_BYTES - UDP_FRAME_HEADER_BYTES

_MSG_TRUNC = 0x20
_SO_RCVBUFFORCE, _SO_BUSY_POLL, _SO_MEMINFO = 33, 46, 55
_MEMINFO_DROPS = 8  # SK_MEMINFO_DROPS
_SO_TIMESTAMPING = 37  # also the type of the control message
# SOF_TIMESTAMPING_: RX_SOFTWARE and SOFTWARE have the kernel stamp and say so, RX_HARDWARE and RAW_HARDWARE the card.
_KERNEL_STAMPS, _CARD_STAMPS = 1 << 3 | 1 << 4, 1 << 2 | 1 << 6
_MADE_UP_MAC = 0x02_00_00_00_00_00  # locally administered: a socket doesn't tell the sender's


class SocketPlace(Struct, packed=True, byte_order="big"):
    """The part of struct sockaddr_in that is in network order."""

    port: u16
    ip: u32


class SocketAddress(Struct, packed=True):
    """struct sockaddr_in."""

    family: u16
    place: SocketPlace
    padding: u64


class MessageVector(Struct):
    """struct mmsghdr on 64-bit machines."""

    name: u64  # address of a SocketAddress
    name_length: u64  # 32 bits and padding
    parts: u64  # address of a MessagePart
    part_count: u64
    control: u64
    control_length: u64
    flags: u64  # 32 bits and padding
    length: u64  # 32 bits and padding: of a received datagram


class MessagePart(Struct):
    """struct iovec."""

    address: u64
    length: u64


class StampTime(Struct):
    """struct timespec."""

    seconds: i64
    nanoseconds: i64


class StampMessage(Struct):
    """struct cmsghdr with a struct scm_timestamping: the one control message that is asked for."""

    length: u64
    level_and_type: u64  # 32 bits each, the level in the lower ones
    kernel: StampTime
    unused: StampTime  # the card's in the host's time, which the kernel no longer makes
    card: StampTime


STAMP_KIND = socket.SOL_SOCKET | _SO_TIMESTAMPING << 32


class UdpEnd(Struct):
    """One socket that receives: its descriptor, and the headers of its frames without length and source."""

    descriptor: i64
    header: Annotated[Array, u8, UDP_FRAME_HEADER_BYTES]


class UdpSocketRing(SendSlots):
    """Datagrams of up to SOCKETS_MAX sockets, polled in turn, a batch of each; and one socket that sends.

    `counters.wakeups` are the system calls that moved a datagram.
    """

    end_count: i64
    turn: i64  # socket that is asked next
    batch_end: i64  # socket that the batch came from
    batch_count: i64
    batch_position: i64
    truncated: i64  # datagrams longer than a slot; among `counters.drops`
    receive_error: i64  # errno of the last call that failed for another reason than "nothing there"; 0: none
    counters: RingCounters  # `drops`: the kernel's are added by `UdpSocket.statistics`
    times: ReceiveTimes
    ends: Annotated[Pointer, UdpEnd]
    receive_messages: Annotated[Pointer, MessageVector]
    receive_sources: Annotated[Pointer, SocketAddress]
    receive_parts: Annotated[Pointer, MessagePart]
    receive_slots: Annotated[Pointer, u8]
    receive_stamps: Annotated[Pointer, StampMessage]
    send_descriptor: i64
    send_messages: Annotated[Pointer, MessageVector]
    send_parts: Annotated[Pointer, MessagePart]
    send_destinations: Annotated[Pointer, SocketAddress]


@poll.register(UdpSocketRing)
def poll_udp(ring: UdpSocketRing, frame: Frame, now_ns: int) -> bool:
    while True:
        while ring.batch_position < ring.batch_count:
            message = ring.receive_messages[ring.batch_position]
            time_ns = now_ns
            if ring.times.source != Source.POLL:
                time_ns = take_stamp_ns(ring, message, now_ns)
            if message.flags & _MSG_TRUNC == 0:
                address = address_of(ring.receive_slots) + ring.batch_position * SLOT_BYTES
                length = write_headers(ring, address, message.length & 0xFFFFFFFF)
                set_frame(ring.counters, frame, address, length, time_ns)
                return True
            ring.truncated += 1
            ring.counters.drops += 1
            ring.batch_position += 1
        if not receive_batch(ring):
            ring.counters.empty_polls += 1
            return False


@compiled
def take_stamp_ns(ring: UdpSocketRing, message: MessageVector, now_ns: int) -> int:
    """Return the receive time of the batch's current datagram, ns since the epoch, by the stamps that came with it."""
    stamp = ring.receive_stamps[ring.batch_position]
    card_ns = kernel_ns = 0
    if message.control_length >= size_of(StampMessage) and stamp.level_and_type == STAMP_KIND:
        card_ns = stamp.card.seconds * NS_PER_S + stamp.card.nanoseconds
        kernel_ns = stamp.kernel.seconds * NS_PER_S + stamp.kernel.nanoseconds
    return received_by_card_ns(ring.times, card_ns, kernel_ns, now_ns)


@compiled
def write_headers(ring: UdpSocketRing, address: int, payload_length: int) -> int:
    """Put the headers of the batch's current datagram before its payload; returns the frame's length."""
    copy_bytes(address, address_of(ring.ends[ring.batch_end].header), UDP_FRAME_HEADER_BYTES)
    source = ring.receive_sources[ring.batch_position].place
    ip = view(Ipv4Header, address + size_of(EthernetHeader))
    udp = view(UdpHeader, address + size_of(EthernetHeader) + size_of(Ipv4Header))
    source_ip = source.ip
    ip.source_ip = source_ip
    # It was 0 when the checksum was made, so the new words are just added (RFC 1624, equation 3).
    ip.checksum = fold_checksum((ip.checksum ^ 0xFFFF) + (source_ip >> 16) + (source_ip & 0xFFFF))
    udp.source_port = source.port
    return patch_udp_length(address, payload_length)


@compiled
def receive_batch(ring: UdpSocketRing) -> bool:
    """Ask each socket once, from `turn` on, until one has datagrams; False if none has."""
    ring.batch_position = 0
    ring.batch_count = 0
    for _ in range(ring.end_count):
        asked = ring.turn
        ring.turn = asked + 1 if asked + 1 < ring.end_count else 0
        messages = address_of(ring.receive_messages)
        if ring.times.source != Source.POLL:
            make_room_for_stamps(ring)
        count = call_recvmmsg(ring.ends[asked].descriptor, messages, BATCH_DATAGRAMS, MSG_DONTWAIT)
        if count > 0:
            ring.batch_end = asked
            ring.batch_count = count
            ring.counters.wakeups += 1
            return True
        if count != -errno.EAGAIN and count != -errno.EINTR:
            ring.receive_error = -count
    return False


@compiled
def make_room_for_stamps(ring: UdpSocketRing) -> None:
    """Say again how much room there is for the control messages: the kernel wrote how much it took."""
    for number in range(BATCH_DATAGRAMS):
        ring.receive_messages[number].control_length = size_of(StampMessage)


@release.register(UdpSocketRing)
def release_udp(ring: UdpSocketRing) -> None:
    ring.batch_position += 1


@commit.register(UdpSocketRing)
def commit_udp(ring: UdpSocketRing, length: int, _now_ns: int) -> None:
    """Commit a frame with a 42-byte header: no VLAN tag, no IP options. Only destination and payload are used."""
    assert length >= UDP_FRAME_HEADER_BYTES
    slot = ring.committed & TRANSMIT_MASK
    address = address_of(ring.send_slots) + slot * SLOT_BYTES + size_of(EthernetHeader)
    destination = ring.send_destinations[slot].place
    destination.ip = view(Ipv4Header, address).destination_ip
    destination.port = view(UdpHeader, address + size_of(Ipv4Header)).destination_port
    ring.send_parts[slot].length = length - UDP_FRAME_HEADER_BYTES
    ring.committed += 1


@send_committed.register(UdpSocketRing)
def send_datagrams(ring: UdpSocketRing) -> None:
    while ring.sent != ring.committed:
        slot = ring.sent & TRANSMIT_MASK
        count = min(ring.committed - ring.sent, TRANSMIT_SLOTS - slot)
        messages = address_of(ring.send_messages) + slot * size_of(MessageVector)
        taken = call_sendmmsg(ring.send_descriptor, messages, count, MSG_DONTWAIT)
        if taken > 0:
            ring.sent += taken
            ring.counters.wakeups += 1
        elif is_out_of_room(taken):
            return
        else:  # the first one is at fault: no route, not permitted, too long
            ring.send_error = -taken
            ring.refused += 1
            ring.sent += 1


@next_time_ns.register(UdpSocketRing)
def next_udp_ns(_ring: UdpSocketRing) -> int:
    return 0


class UdpSocket(Owner):
    """Owns the sockets of a `UdpSocketRing`: one for each group and each `local` (ip, port) of this host.

    Frames are sent from the first of `local`, or from a port of the kernel's choice; multicast goes out on
    `interface`. `busy_poll_us`: how long a call may drive the NIC's queue itself (SO_BUSY_POLL; some kernels want
    CAP_NET_ADMIN, 6.18 did not; no effect with drivers such as veth). `stamped`: whose stamp
    a frame's time is, of `receive_times.KINDS`; "hardware" leaves it to the caller that the card is told to stamp
    (`card_clock`). HostError if something is refused. The loop must not touch `ring` after `close`.
    """

    def __init__(
        self,
        interface: str,
        groups: Sequence[Group] = (),
        local: Sequence[tuple[int, int]] = (),
        *,
        busy_poll_us: int = 0,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        stamped: str = POLL,
    ) -> None:
        self.interface = interface
        self._sockets: list[socket.socket] = []  # those that receive first, as in `ring.ends`
        self._kernel_drops: list[int] = []
        self._busy_poll_us = busy_poll_us
        self._receive_buffer_bytes = receive_buffer_bytes
        if len(groups) + len(local) > SOCKETS_MAX:
            raise HostError(f"{interface}: {len(groups)} groups and {len(local)} ports; at most {SOCKETS_MAX} together")
        index = interface_index(interface)
        self.ring = _make_ring()
        self.ring.times.source = SOURCES[stamped]
        try:
            for group in groups:
                join_group(self._receiver(group.ip, group.port), interface, group)
            senders = [self._receiver(ip, port) for ip, port in local]
            sender = senders[0] if senders else self._opened()
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("<i", index))
            self.ring.send_descriptor = sender.fileno()
        except HostError:
            self.close()
            raise

    def _opened(self) -> socket.socket:
        self._sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        return self._sockets[-1]

    def _receiver(self, ip: int, port: int) -> socket.socket:
        """Open a socket bound to a group's or an own address, so that it gets no other datagrams."""
        made = self._opened()
        where = f"{self.interface}: UDP {ip_text(ip)}:{port}"
        if is_multicast(ip):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # other programs may listen as well
        self._set_receive_buffer(made)
        if self.ring.times.source != Source.POLL:
            wanted = _KERNEL_STAMPS | (_CARD_STAMPS if self.ring.times.source == Source.CARD else 0)
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, wanted)
        if self._busy_poll_us > 0:
            try:
                made.setsockopt(socket.SOL_SOCKET, _SO_BUSY_POLL, self._busy_poll_us)
            except OSError as error:
                advice = "needs CAP_NET_ADMIN, or net.core.busy_read as large"
                raise HostError(f"{where}: busy polling: {error.strerror}; {advice}") from None
        try:
            made.bind((ip_text(ip), port))
        except OSError as error:
            raise HostError(f"{where}: bind: {error.strerror}") from None
        end = self.ring.ends[self.ring.end_count]
        end.descriptor = made.fileno()
        mac = multicast_mac(ip) if is_multicast(ip) else _MADE_UP_MAC
        bound_port = made.getsockname()[1]
        flow = Flow(source_mac=_MADE_UP_MAC, destination_mac=mac, destination_ip=ip, destination_port=bound_port)
        write_udp_frame_header(end.header.address, flow, 0)
        self.ring.end_count += 1
        self._kernel_drops.append(0)
        return made

    def _set_receive_buffer(self, made: socket.socket) -> None:
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, self._receive_buffer_bytes)
        except PermissionError:  # without CAP_NET_ADMIN net.core.rmem_max is the limit: see obtained_buffer_bytes
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)

    def statistics(self) -> dict[str, int]:
        """Count the frames lost, by where. Brings `ring.counters.drops`, the receiver's, up to date."""
        for number, seen in enumerate(self._kernel_drops):
            raw = self._sockets[number].getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
            now = struct.unpack_from("<I", raw, 4 * _MEMINFO_DROPS)[0]
            self._kernel_drops[number] = seen + ((now - seen) & 0xFFFFFFFF)  # the kernel's count is 32-bit
        ring = self.ring
        kernel_drops = sum(self._kernel_drops)
        ring.counters.drops = kernel_drops + ring.truncated
        counted = {"kernel_drops": kernel_drops, "truncated": ring.truncated, "refused": ring.refused}
        return counted | receive_time_counters(ring.times)

    @property
    def obtained_buffer_bytes(self) -> int:
        """Receive buffer of the first socket; the kernel doubles what is asked for, for its own overhead."""
        return self._sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def close(self) -> None:
        """Leave the groups and close the sockets."""
        while self._sockets:
            self._sockets.pop().close()


def _make_ring() -> UdpSocketRing:
    """Make a ring without sockets, its messages pointing to their slots for good."""
    ring = UdpSocketRing(send_descriptor=-1, ends=array(UdpEnd, SOCKETS_MAX))
    ring.receive_messages, ring.receive_sources, parts, ring.receive_slots = _make_messages(BATCH_DATAGRAMS)
    for part in parts:
        part.length = _PAYLOAD_BYTES_MAX
    ring.receive_parts = parts
    ring.receive_stamps = stamps = array(StampMessage, BATCH_DATAGRAMS)
    for number in range(BATCH_DATAGRAMS):
        ring.receive_messages[number].control = stamps[number].address
    ring.send_messages, ring.send_destinations, ring.send_parts, ring.send_slots = _make_messages(TRANSMIT_SLOTS)
    return ring


def _make_messages(count: int) -> tuple[Array, Array, Array, Array]:
    """Make messages, their addresses, their one part each, and the slots whose payloads these are."""
    messages, addresses = array(MessageVector, count), array(SocketAddress, count)
    parts, slots = array(MessagePart, count), array(u8, count * SLOT_BYTES)
    for number in range(count):
        message, part = messages[number], parts[number]
        addresses[number].family = socket.AF_INET
        message.name = addresses[number].address
        message.name_length = size_of(SocketAddress)
        message.parts = address_of(part)
        message.part_count = 1
        part.address = slots.address + number * SLOT_BYTES + UDP_FRAME_HEADER_BYTES
    return messages, addresses, parts, slots
