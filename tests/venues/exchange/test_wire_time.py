"""When a packet was made, by what is on the wire: each venue's messages, and nothing past a packet's end."""

import random
import struct

import pytest

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import Struct
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.bridge.wire import time as _bridge_time  # noqa: F401  registers what is tested
from crosswire.venues.deribit.feed.feed import DeribitFeed
from crosswire.venues.deribit.wire import time as _deribit_time  # noqa: F401  registers what is tested
from crosswire.venues.exchange.wire_time import WireTime, read_wire_time
from crosswire.venues.feed import Feed
from crosswire.venues.side import BUY
from crosswire.venues.starbase.feed.state import StarbaseFeed
from crosswire.venues.starbase.wire import time as _starbase_time  # noqa: F401  registers what is tested
from tests.support.deribit_setup import PlainMessage, reference
from tests.support.guard import GuardedBytes
from tests.venues.bridge.test_bridge_feed import (
    T0,
    definition,
    delta,
    heartbeat,
    made_up_packets,
    mutated,
    packed,
    quote,
    snapshot,
    trade,
)

FUZZ_FRAMES = 5_000


@compiled
def read(feed: Struct, packet: Packet, told: WireTime) -> None:
    read_wire_time(feed, packet, told)


def time_of(payload: bytes, guarded: GuardedBytes, feed: Feed) -> tuple[int, int]:
    """(time, whether a book changes) of a payload that ends before an unreadable page."""
    told = WireTime(time_ns=77, is_book=1)
    read(feed, Packet(payload_address=guarded.place(payload), payload_length=len(payload)), told)
    return told.time_ns, told.is_book


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([delta(1, 2, [(1, 1)], [(2, 2)], time=T0 + 5)], (T0 + 5, 1)),
        ([quote(1, (1, 1), (2, 2), time=T0 + 6)], (T0 + 6, 1)),
        ([trade(1, 1, BUY, time=T0 + 7)], (T0 + 7, 0)),
        ([quote(1, (1, 1), (2, 2), time=0)], (0, 0)),
        ([snapshot(5, [(1, 1)], [(2, 2)], time=T0)], (0, 0)),
        ([definition(), heartbeat()], (0, 0)),
        ([delta(1, 2, [(1, 1)], [(2, 2)], time=T0 + 5), trade(1, 1, BUY, time=T0 + 9)], (T0 + 9, 0)),
        ([trade(1, 1, BUY, time=T0 + 5), quote(1, (1, 1), (2, 2), time=T0 + 5)], (T0 + 5, 1)),
        ([snapshot(5, [(1, 1)], [(2, 2)]), heartbeat(), delta(1, 2, [(1, 1)], time=T0 + 3)], (T0 + 3, 1)),
    ],
)
def test_a_bridge_packet_is_as_old_as_its_last_message(messages: list[bytes], expected: tuple[int, int]) -> None:
    with GuardedBytes() as guarded:
        assert time_of(packed(1, *messages), guarded, BridgeFeed()) == expected


def test_nothing_past_a_damaged_bridge_packet_is_read() -> None:
    chance = random.Random(1)
    packets = made_up_packets(2, 200)
    timed = 0
    with GuardedBytes() as guarded:
        for number in range(FUZZ_FRAMES):
            timed += time_of(mutated(packets[number % 200], chance), guarded, BridgeFeed())[0] != 0
    assert timed > FUZZ_FRAMES // 3


def expected_deribit_ms(messages: list[PlainMessage]) -> int:
    """The latest time up to the first message with entries or texts, snapshots left out."""
    latest_ms = 0
    for message in messages:
        if message.name in ("Ticker", "Book"):
            latest_ms = max(latest_ms, message.root["timestamp_ms"])
        if message.name == "Trades":
            latest_ms = max(latest_ms, message.entries[0]["timestamp_ms"])
        if message.name in ("Book", "Trades", "Snapshot", "ComboLegs", "Instrument", "InstrumentV2"):
            break
    return latest_ms


def test_deribits_packets_tell_their_time() -> None:
    """On the venue's own capture, read by a decoder that follows the published layouts."""
    packets = reference()
    timed = 0
    with GuardedBytes() as guarded:
        for payload, messages in zip(packets.packets.payloads, packets.messages, strict=True):
            expected_ms = expected_deribit_ms(messages)
            assert time_of(payload, guarded, DeribitFeed())[0] == expected_ms * NS_PER_MS
            timed += expected_ms != 0
    assert timed > 3_000


def test_nothing_past_a_damaged_deribit_packet_is_read() -> None:
    chance = random.Random(1)
    payloads = reference().packets.payloads
    with GuardedBytes() as guarded:
        for _ in range(FUZZ_FRAMES):
            payload = bytearray(chance.choice(payloads))
            for _ in range(chance.randrange(4)):
                payload[chance.randrange(len(payload))] = chance.choice((0, 1, 0x7F, 0xFF))
            del payload[chance.randrange(1, len(payload) + 1) :]
            time_of(bytes(payload), guarded, DeribitFeed())


def test_starbases_packets_tell_when_they_were_sent() -> None:
    header = struct.pack("<qqiHH", T0, 1, 7, 0, 0)
    with GuardedBytes() as guarded:
        assert time_of(header, guarded, StarbaseFeed()) == (T0, 1)
        assert time_of(header[:-1], guarded, StarbaseFeed()) == (0, 0)
