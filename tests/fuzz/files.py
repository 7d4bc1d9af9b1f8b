"""Files: captures, and recorded Binance streams."""

import gzip
import os
import struct
from contextlib import suppress
from pathlib import Path

import zstandard

from crosswire.nic.capture.order import take_head
from crosswire.nic.capture.reader import CaptureError, CaptureFile
from crosswire.nic.capture.records import find_head
from crosswire.nic.capture.state import MARGIN_BYTES, Source, SourceState, Window
from crosswire.nic.memory.struct import Array, Memory, array, u8
from crosswire.nic.rings.replay import read_frames
from crosswire.venues.bridge.binance.carry import keep_book
from crosswire.venues.bridge.binance.importer import make_stream
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.recognise import recognise
from crosswire.venues.bridge.binance.remark import BAD_LINES
from crosswire.venues.bridge.binance.state import OUTPUT_BYTES_PER_LINE_MAX
from crosswire.venues.bridge.binance.stream import Stop, import_lines
from crosswire.venues.bridge.binance.terms import DEFAULT_TERMS
from crosswire.venues.bridge.binance.text import RecordingError
from tests.fuzz.target import Target, guard

SMALL_WINDOW_BYTES = 4096  # so that a file of a few kilobytes slides
RECORDS_MAX = 10_000
KEEP_BOOK = 8  # of a stream's first byte
_BYTE = array(u8, 1).element
_FILE = os.memfd_create("crosswire-fuzz")
_PATH = Path(f"/proc/self/fd/{_FILE}")


def run_capture(data: bytes) -> None:
    """A pcap or pcapng file, plain or compressed: read through windows, and in place before the guard page."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    frames: list[int] = []
    problem = ""
    try:
        for time_ns, frame in read_frames([_PATH], SMALL_WINDOW_BYTES):
            assert time_ns >= 0
            frames.append(len(frame))
    except CaptureError as error:
        problem = str(error)
        assert "\n" not in problem
    window, source = Window(), Source()
    try:
        file = CaptureFile(_PATH, window, source, SMALL_WINDOW_BYTES)
    except CaptureError:
        assert frames == []
        return
    file.close()
    if file.decompressed:
        return
    window.base_address, window.end_offset, window.end_of_file = guard().place(data), len(data), 1
    taken, last_ns = [], 0
    while (state := find_head(window, source)) == SourceState.READY:
        waiting = take_head(source)
        assert -MARGIN_BYTES <= waiting.frame_offset <= waiting.frame_offset + waiting.frame_length <= len(data)
        assert waiting.time_ns >= last_ns
        last_ns = waiting.time_ns
        taken.append(waiting.frame_length)
        assert len(taken) <= RECORDS_MAX
    assert state == SourceState.ENDED
    assert source.position == len(data)
    assert problem or sorted(taken) == sorted(frames)
    assert all(warning.count > 0 and "\n" not in str(warning) for warning in file.tally().warnings())


def capture_seeds() -> list[bytes]:
    """pcap in either order and resolution, pcapng with its blocks, compressed ones, and cut ones."""
    frame = bytes(range(60))
    made = []
    for order, magic in (("<", 0xA1B2C3D4), (">", 0xA1B2C3D4), ("<", 0xA1B23C4D), (">", 0xA1B23C4D)):
        header = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
        record = struct.pack(order + "IIII", 1_700_000_000, 5, len(frame), len(frame)) + frame
        sliced = struct.pack(order + "IIII", 1_700_000_001, 5, 10, len(frame)) + frame[:10]
        made.append(header + record + sliced + record)
    for order in "<>":
        made.append(pcapng(order, frame))
    return [*made, gzip.compress(made[0], mtime=0), zstandard.compress(made[0]), made[0][:50], made[4][:-3], b""]


def pcapng(order: str, frame: bytes) -> bytes:
    """Make a section with two interfaces, options, and a packet of each kind of block."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(order + "I", len(body) + 12)
        return struct.pack(order + "I", kind) + length + body + length

    options = struct.pack(order + "HHB3xHHqHH", 9, 1, 9, 14, 8, 3600, 0, 0)
    interface = struct.pack(order + "HHI", 1, 0, 0)
    packet = struct.pack(order + "IIIII", 0, 0x0600_0000, 77, len(frame), len(frame)) + frame
    old = struct.pack(order + "HHIIII", 1, 0, 0x0006_0000, 77, len(frame), len(frame)) + frame
    section = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    return b"".join(
        (
            block(0x0A0D0D0A, section),
            block(1, interface + options),
            block(1, interface + struct.pack(order + "HHB3x", 9, 1, 0x8A)),
            block(6, packet),
            block(2, old),
            block(3, struct.pack(order + "I", len(frame)) + frame),
            block(5, bytes(12)),
        )
    )


def run_binance(data: bytes) -> None:
    """Lines of a recorded stream; the first byte says of which market, and the others are its text."""
    market = list(Market)[data[0] % len(Market)] if data else Market.SPOT
    text = data[1:] + b"\n"
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, text, 0)
    with suppress(RecordingError):
        recognise(_PATH, None)
    symbol = {Market.SPOT: "BTCUSDT", Market.USDM: "BTCUSDT", Market.COINM: "BTCUSD_PERP"}[market]
    pair = symbol.partition("_")[0]
    stream, publisher = make_stream(market, symbol, DEFAULT_TERMS[market, pair], OUTPUT_BYTES_PER_LINE_MAX)
    if data and data[0] & KEEP_BOOK:
        keep_book(stream)
    stream.text = Array(guard().place(text), _BYTE, len(text), Memory())
    stream.end = len(text)
    before = -1
    while True:
        stop = import_lines(stream, publisher)
        assert 0 <= publisher.used <= len(publisher.buffer)
        if stop != Stop.FULL:
            break
        assert publisher.used > 0 or stream.position > before
        before = stream.position
        publisher.used = 0
    assert stream.position == stream.end
    assert stream.lines <= text.count(b"\n")
    assert sum(stream.remarks.counts[kind] for kind in BAD_LINES) <= stream.lines + text.count(b"\0")


def binance_seeds() -> list[bytes]:
    """Each kind of line of each market."""
    depth = b'{"e":"depthUpdate","E":%d,"s":"BTCUSDT","U":11,"u":12,"b":[["100.01","1.5"]],"a":[["100.02","0"]]}'
    lines = [
        b'{"stream":"btcusdt@depth","data":' + depth % 5 + b"}",
        b'{"lastUpdateId":11,"bids":[["100.00","2"]],"asks":[["100.02","3.00001"]]}',
        b'{"u":13,"s":"BTCUSDT","b":"100.01","B":"2","a":"100.02","A":"1"}',
        b'{"e":"trade","E":6,"s":"BTCUSDT","t":7,"p":"100.01","q":"0.5","T":6,"m":true,"M":true}',
    ]
    futures = [
        b'{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":11,"u":12,"pu":10,"b":[["100.1","1.5"]],"a":[]}',
        b'{"lastUpdateId":11,"E":5,"T":4,"bids":[["100.0","2"]],"asks":[]}',
        b'{"e":"bookTicker","u":13,"s":"BTCUSDT","b":"100.1","B":"2","a":"100.2","A":"1","T":4,"E":5}',
        b'{"e":"trade","E":6,"T":6,"s":"BTCUSDT","t":7,"p":"100.1","q":"0.5","X":"MARKET","m":false}',
        b'{"e":"markPriceUpdate","E":1723161256000,"s":"BTCUSDT","p":"100.12345678","i":"100.2","P":"0","r":"-0.0001",'
        b'"T":1723161600000}',
    ]
    others = [
        b'{"stream":"btcusdt@depth5@100ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}}',
        b'{"stream":"btcusdt@rpiDepth@500ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}}',
        b'{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}',
        b'{"id":1,"result":{"lastUpdateId":12,"bids":[["100.00","2"]],"asks":[]},"rateLimits":[{}]}',
        b'{"result":null,"id":1}',
        b'[{"e":"kline"}]\n\0\0\0 1772000000.5 {"code":-1,"msg":""}',
    ]
    coin = [line.replace(b'"s":"BTCUSDT"', b'"s":"BTCUSD_PERP","ps":"BTCUSD"') for line in futures]

    def text(market: Market, *each: bytes) -> bytes:
        stamped = (b"%d %b" % (1_723_161_256_000_000_000 + number, line) for number, line in enumerate(each))
        return bytes([market]) + b"\n".join(stamped)

    markets = ((Market.SPOT, lines), (Market.USDM, futures), (Market.COINM, coin))
    return [text(market, *own) for market, own in markets] + [
        text(market, line) for market, own in markets for line in [*own, *others]
    ]


TARGETS = [Target("capture", run_capture, capture_seeds), Target("binance", run_binance, binance_seeds)]
