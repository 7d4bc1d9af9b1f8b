"""What an outside observer of `crosswire bench wire-to-wire` sees: one packet socket, and the engine's thread in /proc.

The kernel stamps each frame on the socket by itself: a market data frame as it leaves, an order as it arrives, both by
the same clock. Nobody reads the socket until the run is over, so the observer takes no time of either core.
"""

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.process import HostError
from crosswire.nic.packet import ETHER_TYPE_IPV4, PROTOCOL_TCP, PROTOCOL_UDP
from crosswire.nic.rings.sockets.packet_socket import (
    JUMP,
    JUMP_EQUAL,
    LOAD_BYTE,
    LOAD_HALF,
    REJECT_ALL,
    RETURN,
    attach_filter,
    instruction,
    take_statistics,
)
from tests.bench.order_entry_peer import ORDER_FRAME_BYTES
from tests.bench.wire_to_wire_far import TRIGGER_ID

HEADER_BYTES = 64  # of a frame that are kept: enough to tell them apart
BUFFER_BYTES = 256 << 20
_ETH_P_ALL = 3
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_SCM_TIMESTAMPNS = _SO_TIMESTAMPNS
TIMES = struct.Struct("qq")
MISSED = -1  # in place of a latency


def observed_filter() -> bytes:
    """Let in triggers, and segments that carry one order."""
    ip_bytes = ORDER_FRAME_BYTES - 14
    keep = instruction(RETURN, HEADER_BYTES)
    return b"".join(
        (
            instruction(LOAD_HALF, 12),
            instruction(JUMP_EQUAL, ETHER_TYPE_IPV4, 1, 0),
            instruction(JUMP, 9),
            instruction(LOAD_BYTE, 23),
            instruction(JUMP_EQUAL, PROTOCOL_UDP, 0, 3),
            instruction(LOAD_HALF, 18),
            instruction(JUMP_EQUAL, TRIGGER_ID, 4, 0),
            instruction(JUMP, 4),
            instruction(JUMP_EQUAL, PROTOCOL_TCP, 0, 3),
            instruction(LOAD_HALF, 16),
            instruction(JUMP_EQUAL, ip_bytes, 0, 1),
            keep,
            REJECT_ALL,
        )
    )


@dataclass(frozen=True)
class Sighting:
    """One frame: when the kernel stamped it, and whether it left the far end (a trigger) or came to it (an order)."""

    time_ns: int
    is_trigger: bool
    name: bytes  # of an order's segment: addresses, ports and sequence number, which a segment sent twice has again


class Observer:
    """The packet socket, of all interfaces of the calling thread's namespace. HostError: frames were lost."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        attach_filter(self.socket, observed_filter())
        self.socket.setblocking(False)
        with suppress(BlockingIOError):  # what came before the filter was there
            while True:
                self.socket.recv(1)

    def sightings(self) -> list[Sighting]:
        """All frames seen since the last call, in the order of the socket."""
        seen = []
        while True:
            try:
                head, notes, _, (_, _, kind, *_) = self.socket.recvmsg(HEADER_BYTES, 64)
            except BlockingIOError:
                break
            ((_, _, stamp),) = [note for note in notes if note[1] == _SCM_TIMESTAMPNS]
            seconds, nanoseconds = TIMES.unpack(stamp[: TIMES.size])
            seen.append(Sighting(seconds * NS_PER_S + nanoseconds, kind == socket.PACKET_OUTGOING, head[26:42]))
        _, lost = take_statistics(self.socket)
        if lost:
            raise HostError(f"the observer lost {lost} frames: fewer triggers")
        return seen

    def close(self) -> None:
        self.socket.close()


def latencies_ns(seen: list[Sighting], orders: int) -> list[int]:
    """Of each trigger, from it to its first order; MISSED where `orders` of them did not follow it."""
    found: list[int] = []
    legs: list[int] = []
    names: set[bytes] = set()
    trigger_ns = 0

    def end_trigger() -> None:
        found.append(min(legs) - trigger_ns if len(legs) == orders else MISSED)

    for each in seen:
        if each.is_trigger:
            if trigger_ns:
                end_trigger()
            trigger_ns = each.time_ns
            legs.clear()
        elif each.name not in names:  # our TCP sends again what is not acknowledged for 10 ms
            names.add(each.name)
            legs.append(each.time_ns)
    if trigger_ns:
        end_trigger()
    return found


@dataclass(frozen=True)
class ThreadCounts:
    """Of one thread, so far."""

    voluntary_switches: int
    involuntary_switches: int
    minor_faults: int
    major_faults: int

    def since(self, before: "ThreadCounts") -> "ThreadCounts":
        """What was added."""
        return ThreadCounts(*(now - then for now, then in zip(vars(self).values(), vars(before).values(), strict=True)))


def thread_counts(process: int, thread: int) -> ThreadCounts:
    """Read them without stopping the thread: proc(5), `status`, and `stat`'s fields 10 and 12."""
    folder = Path(f"/proc/{process}/task/{thread}")
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
    numbers = (folder / "stat").read_text().rpartition(")")[2].split()
    return ThreadCounts(
        int(status["voluntary_ctxt_switches"]),
        int(status["nonvoluntary_ctxt_switches"]),
        int(numbers[7]),
        int(numbers[9]),
    )


def pinned_thread(process: int, core: int) -> int:
    """The thread of a process that may run on `core` only, and has used most of it. HostError: there is none."""
    found = []
    for name in os.listdir(f"/proc/{process}/task"):
        folder = Path(f"/proc/{process}/task/{name}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
        if status["Cpus_allowed_list"] == str(core):
            used = (folder / "stat").read_text().rpartition(")")[2].split()
            found.append((int(used[11]) + int(used[12]), int(name)))
    if not found:
        raise HostError(f"process {process}: no thread of its own on core {core}")
    return max(found)[1]
