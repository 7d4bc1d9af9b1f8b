"""Ten times the recorded rate through the bridge's market side: what is lost, and how long each message takes.

The venue plays a recording at ten times its own times, its bursts among them. Each message's packets are known before,
from the same code that is given the same messages at leisure: what does not come, or comes otherwise, is lost. A
message's delay is from before it is sent until the kernel has its last packet, by the kernel's own time stamp.
"""

import asyncio
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from picows import WSCloseCode, WSMsgType, WSTransport

from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.market.channel import Channel
from crosswire.venues.bridge.binance.gateway.market.sender import CAPTURED_LENGTH, LENGTH_AT, RECORD_BYTES
from crosswire.venues.bridge.wire.layout import PacketHeader

SPEED = 10
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the answer is a struct timespec
TIMESPEC = struct.Struct("@qq")
SEND_TIME = PacketHeader.fields["send_time_ns"].offset  # the one field that differs between two runs
SEQUENCE = struct.Struct("<Q")
DATAGRAM_BYTES_MAX = 2048
QUIET_S = 0.5  # behind the last message, for packets that are on their way
NAP_S = 0.001  # a longer wait than this sleeps, a shorter one spins
PEAK_WINDOW_NS = 10_000_000
US = 1e3  # of nanoseconds


def packet_of(payload: bytes) -> tuple[int, int]:
    """Name a packet: its number, and a check of all in it but the time that it was sent."""
    body = payload[:SEND_TIME] + payload[SEND_TIME + 8 :]
    return SEQUENCE.unpack_from(payload)[0], zlib.crc32(body)


# The venue's end.


def receive_all(reader: socket.socket, packets: list[tuple[int, int, int]]) -> None:
    """Take what has come: number, check and the kernel's time of each."""
    while True:
        try:
            payload, told, _, _ = reader.recvmsg(DATAGRAM_BYTES_MAX, socket.CMSG_SPACE(TIMESPEC.size))
        except BlockingIOError:
            return
        seconds, nanoseconds = TIMESPEC.unpack(told[0][2])
        packets.append((*packet_of(payload), seconds * 1_000_000_000 + nanoseconds))


async def play(
    transport: WSTransport, reader: socket.socket, times_ns: Sequence[int], messages: Sequence[bytes]
) -> None:
    """Send the messages at SPEED times their own times; a line of what was sent and received."""
    reader.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    packets: list[tuple[int, int, int]] = []
    sent_ns = []
    begun = time.perf_counter_ns()
    for time_ns, message in zip(times_ns, messages, strict=True):
        due = begun + (time_ns - times_ns[0]) // SPEED
        while (left := due - time.perf_counter_ns()) > 0:
            receive_all(reader, packets)
            await asyncio.sleep(NAP_S / 2 if left > NAP_S * 1e9 else 0)
        sent_ns.append(time.time_ns())
        transport.send(WSMsgType.TEXT, message)
    quiet_from = time.monotonic()
    while time.monotonic() - quiet_from < QUIET_S:
        count = len(packets)
        receive_all(reader, packets)
        if len(packets) != count:
            quiet_from = time.monotonic()
        await asyncio.sleep(NAP_S)
    transport.send_close(WSCloseCode.OK)
    transport.disconnect()
    print(json.dumps({"sent_ns": sent_ns, "packets": packets}), flush=True)


# The bridge's end.


@dataclass
class Expected:
    """A `Sender` that keeps what it is given: by number, each packet's check and the message that it is of."""

    packets: dict[int, tuple[int, int]] = field(default_factory=dict)
    message: int = -1

    def send_records(self, records: memoryview) -> bool:
        """Take packets as `Sender` does."""
        position = 0
        while position < len(records):
            after = position + RECORD_BYTES + CAPTURED_LENGTH.unpack_from(records, position + LENGTH_AT)[0]
            number, check = packet_of(bytes(records[position + RECORD_BYTES + UDP_FRAME_HEADER_BYTES : after]))
            self.packets[number] = (check, self.message)
            position = after
        return True


def expect(channel: Callable[[Any, Log], Channel], snapshot: bytes, messages: Sequence[bytes]) -> Expected:
    """Find out what a channel makes of the messages."""
    expected = Expected()
    quiet = channel(expected, Log(lambda _line: None))
    quiet.take_snapshot(snapshot)
    for place, message in enumerate(messages):
        expected.message = place
        quiet.take(memoryview(message), False)
    return expected


def judge(expected: Expected, told: dict[str, Any]) -> dict[str, float]:
    """Compare what came with what was expected. Delays are of messages all of whose packets came."""
    received = {number: (check, time_ns) for number, check, time_ns in told["packets"]}
    done_ns: dict[int, int] = {}
    lost, spoilt = 0, set()
    for number, (check, message) in expected.packets.items():
        if message < 0:
            continue  # of the snapshot, before the venue's first message
        found = received.get(number)
        if found is None or found[0] != check:
            lost += 1
            spoilt.add(message)
        else:
            done_ns[message] = max(done_ns.get(message, 0), found[1])
    sent_ns = told["sent_ns"]
    delays = sorted((at - sent_ns[message]) / US for message, at in done_ns.items() if message not in spoilt)
    return {
        "burst_lost": lost,
        "burst_packets": sum(message >= 0 for _check, message in expected.packets.values()),
        "burst_p50_us": delays[len(delays) // 2],
        "burst_p99_us": delays[len(delays) * 99 // 100],
        "burst_longest_us": delays[-1],
        "burst_messages_per_s": len(sent_ns) * 1e9 / (sent_ns[-1] - sent_ns[0]),
        "burst_peak_per_s": peak_per_s(sent_ns),
    }


def peak_per_s(sent_ns: Sequence[int]) -> float:
    """Find the highest rate over PEAK_WINDOW_NS."""
    first, most = 0, 0
    for place, at in enumerate(sent_ns):
        while at - sent_ns[first] >= PEAK_WINDOW_NS:
            first += 1
        most = max(most, place - first + 1)
    return most * 1e9 / PEAK_WINDOW_NS
