"""Frames that no exchange sends cost what they may have said, and no reader has another book than the bridge."""

import os
import random
from binascii import b2a_base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.venues.bridge.binance.exchange import sbe as exchange_sbe
from crosswire.venues.bridge.binance.sbe_layout import Template
from tests.support.bridge_channel import Lone

pytestmark = [pytest.mark.binance, pytest.mark.fuzz]

FRAMES = int(os.environ.get("CROSSWIRE_FUZZ_FRAMES", "20000"))
LOOK_EVERY = 10  # frames: books are compared
PROVE_EVERY = 25
BID, ASK = 6_000_000, 6_000_100


def sbe_frames(first: int) -> list[bytes]:
    """Binary messages as the stand-in's own encoder writes them; `struct` and no code of the reader's."""
    levels = [(f"{(BID - 3) / 100:.2f}", "0.5"), (f"{(BID - 4) / 100:.2f}", "0")]
    listed: Any = type("Named", (), {"symbol": "BTCUSDT"})
    quote: Any = type("Quote", (), {"u": first, "b": "60000.00", "B": "1.5", "a": "60001.00", "A": "2.5"})
    trade: Any = type("Trade", (), {"t": first, "p": "60000.50", "q": "0.25", "m": True})
    times: Any = type("Times", (), {"event_ms": 1_770_000_000_000, "transaction_ms": 1_770_000_000_000})
    return [
        exchange_sbe.depth_diff(listed, first, first + 1, levels, levels[:0], 1_770_000_000_000),
        exchange_sbe.best_bid_ask(listed, quote, 1_770_000_000_000),
        exchange_sbe.trades(listed, trade, times),
    ]


def text_frames(lone: Lone, first: int) -> list[bytes]:
    import json

    messages = [
        lone.delta(first, first + 1, first - 1, {BID - 3: 50_000, BID - 4: 0}, {ASK + 7: 3}),
        lone.quote(first, (BID, 150), (ASK, 250)),
        lone.trade(first, BID + 50, 25),
    ]
    return [json.dumps(message, separators=(",", ":")).encode() for message in messages]


def damage(source: random.Random, frame: bytes) -> bytes:
    """Flip, drop, double or put in bytes."""
    data = bytearray(frame)
    for _ in range(source.randint(1, 3)):
        place = source.randrange(len(data) + 1)
        kind = source.randrange(5)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << source.randrange(8)
        elif kind == 1:
            del data[place : place + source.randint(1, 30)]
        elif kind == 2:
            data[place:place] = source.randbytes(source.randint(1, 8))
        elif kind == 3:
            data[place:place] = data[place : place + source.randint(1, 40)]
        elif kind == 4:
            data[place:place] = source.choice([b'"', b"{", b"]", b"9" * 20, b"\\", b"-", b"\n", b"\x00"])
        if not data:
            return b"{"
    return bytes(data)


def assert_reader_agrees(lone: Lone) -> None:
    """A valid book of the reader's is the one that the channel has published, and not crossed."""
    assert lone.reader.is_valid(0) <= lone.channel.is_proven
    if lone.reader.is_valid(0):
        assert lone.book.update_id == lone.channel.stream.last_id
        own = lone.channel.stream.book[0]
        assert (lone.book.bid_levels, lone.book.ask_levels) == (own.bid_levels, own.ask_levels)
        assert (lone.book.level_bid_ticks, lone.book.level_ask_ticks) == (own.level_bid_ticks, own.level_ask_ticks)
        assert lone.book.level_bid_ticks <= lone.book.level_ask_ticks


def test_damaged_frames_make_no_wrong_book() -> None:
    """CROSSWIRE_FUZZ_FRAMES=1000000 for a million. Every few the book is proven anew, whatever stood there."""
    source = random.Random(14)
    lone = Lone()
    update_id = 100
    for number in range(FRAMES):
        if number % PROVE_EVERY == 0:
            lone.channel.lose("a test")
            assert lone.channel.take_snapshot(lone.snapshot(update_id, {BID: 5}, {ASK: 6}))
            assert lone.reader.sides(0) == ({BID: 5}, {ASK: 6})
        update_id += 2
        is_binary = source.random() < 0.5
        frames = sbe_frames(update_id) if is_binary else text_frames(lone, update_id)
        frame = source.choice(frames)
        lone.channel.take(memoryview(damage(source, frame) if source.random() < 0.8 else frame), is_binary)
        if number % LOOK_EVERY == 0:
            assert_reader_agrees(lone)
    stream = lone.channel.stream
    assert stream.deltas > FRAMES // 100
    assert stream.remarks.counts[5] > FRAMES // 20  # much of it could not be read
    lone.close()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_change_nothing(data: bytes, is_binary: bool) -> None:
    lone = KEPT
    if not lone.channel.is_proven:
        assert lone.channel.take_snapshot(lone.snapshot(10, {BID: 5}, {ASK: 6}))
    lone.channel.take(memoryview(data), is_binary)
    assert lone.reader.sides(0) == ({BID: 5}, {ASK: 6})


KEPT = Lone()


@pytest.mark.parametrize("cut", range(0, 90, 7))
def test_a_cut_sbe_message_is_left_out(cut: int) -> None:
    lone = KEPT
    if not lone.channel.is_proven:
        assert lone.channel.take_snapshot(lone.snapshot(10, {BID: 5}, {ASK: 6}))
    before = lone.reader.feed.packets
    for frame in sbe_frames(11):
        if cut < len(frame) - 1:
            lone.channel.take(memoryview(frame[:cut]), True)
    assert lone.reader.feed.packets == before
    assert lone.reader.sides(0) == ({BID: 5}, {ASK: 6})


def test_an_sbe_message_says_what_the_same_json_says() -> None:
    """Both into channels of their own: the same packets but for the times of sending."""
    text, binary = Lone(), Lone()
    for lone, frames in ((text, text_frames(text, 11)), (binary, sbe_frames(11))):
        lone.reader.keeps_packets = True
        assert lone.channel.take_snapshot(lone.snapshot(10, {BID: 5}, {ASK: 6}))
        for frame in frames[1:]:
            lone.channel.take(memoryview(frame), lone is binary)
    quotes = [lone.reader.packets[-2][24 + 8 :] for lone in (text, binary)]
    trades = [lone.reader.packets[-1][24 + 8 :] for lone in (text, binary)]
    assert quotes[0][12:28] == quotes[1][12:28]  # update id, bid price
    assert trades[0][12:20] == trades[1][12:20]  # trade id
    assert trades[0][36] == trades[1][36]  # side
    text.close()
    binary.close()


def test_an_unknown_template_is_counted_and_a_longer_block_is_stepped_over() -> None:
    lone = Lone()
    assert lone.channel.take_snapshot(lone.snapshot(10, {BID: 5}, {ASK: 6}))
    depth = sbe_frames(11)[0]
    unknown = depth[:2] + (10_009).to_bytes(2, "little") + depth[4:]
    lone.channel.take(memoryview(unknown), True)
    assert lone.reader.sides(0) == ({BID: 5}, {ASK: 6})
    root = int.from_bytes(depth[:2], "little")
    longer = (root + 4).to_bytes(2, "little") + depth[2 : 8 + root] + b"\xff" * 4 + depth[8 + root :]
    lone.channel.take(memoryview(longer), True)
    assert lone.book.update_id == 12
    assert lone.reader.sides(0)[0] == {BID: 5, BID - 3: 50_000}
    assert int.from_bytes(depth[2:4], "little") == Template.DEPTH_DIFF
    assert b2a_base64(depth, newline=False).isascii()
    lone.close()
