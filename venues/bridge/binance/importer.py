"""`crosswire import binance`: recorded Binance streams become captures of the `bridge` feed.

Input: one symbol a file, a line each `<local receive time, ns> <JSON as received>`, plain, gzip or zstd; depth diffs,
bookTicker, trades, and REST depth snapshots, of spot, USD-M or COIN-M. Output: nanosecond pcap. A file is streamed
through a fixed window; inflating runs ahead in a thread of its own.

A packet's time is the line's local time plus `clock_offset_ns`. Recording hosts' clocks are off (by 1.27 s in one
public data set), and only their owner knows by how much; one offset for all files keeps the markets in step.
"""

import ctypes
import json
import re
import time
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from crosswire.nic.capture.stream import GZIP_MAGIC, open_stream
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import Flow
from crosswire.nic.unit.call import machine_code
from crosswire.venues.bridge.binance.json import FAULT_TEXTS, Fault, prepare_line
from crosswire.venues.bridge.binance.stream import (
    LINE_BYTES_MAX,
    OUTPUT_BYTES_PER_LINE_MAX,
    Chain,
    Market,
    Stop,
    Stream,
    import_lines,
    make_held_text,
)
from crosswire.venues.bridge.wire.encoder import FeedWriter, make_writer
from crosswire.venues.errors import VenueError
from crosswire.venues.instrument import E9, SYMBOL_BYTES, Kind, Payoff, set_text

CHUNK_BYTES = 1 << 20  # inflated at a time
READ_BYTES = 1 << 16
OUTPUT_BYTES = 2 * OUTPUT_BYTES_PER_LINE_MAX
HEAD_LINES_MAX = 1000  # lines looked at to tell market and symbol
EXCERPT_BYTES = 80
SIZES_PER_ROUNDED_MIN = 1000  # fewer sizes than this for each one off the lot: the lot is wrong
CLOCK_OFFSET_NS_MAX = 86_400 * E9
EXPIRY_HOUR_UTC = 8  # delivery of Binance's dated futures

SOURCE_MAC = 0x020000000001  # locally administered
SOURCE_IP = 10 << 24 | 66 << 8 | 1  # 10.0.66.1
MULTICAST_MAC = 0x01005E000000  # RFC 1112 6.4: the low 23 bits are the group's
GROUPS = {market: 239 << 24 | 66 << 16 | market + 1 for market in Market}  # 239.66.0.1 spot, .2 USD-M, .3 COIN-M
PORT = 6200


class RecordingError(VenueError):
    """One line: which file, which line, why."""


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one instrument's numbers mean: decimal texts. `contract` is the size of what the venue calls 1."""

    base: str
    quote: str
    settlement: str
    tick: str
    lot: str
    maker_fee: str
    taker_fee: str
    contract: str = "1"


_SPOT_FEES = {"maker_fee": "0.001", "taker_fee": "0.001"}
_USDM_FEES = {"maker_fee": "0.0002", "taker_fee": "0.0005"}
_COINM_FEES = {"maker_fee": "0.0002", "taker_fee": "0.0005"}

# By market and pair. Ticks and lots: exchangeInfo's PRICE_FILTER and LOT_SIZE, and every price and size of a file is
# checked against them. Fees: the venue's lowest tier; they are published in the definition, and an engine's own
# configuration decides. Anything else, or other values: a TOML file (`load_terms`) or the `terms` argument.
DEFAULT_TERMS: dict[tuple[Market, str], Terms] = {
    (Market.SPOT, "BTCUSDT"): Terms("BTC", "USDT", "USDT", tick="0.01", lot="0.00001", **_SPOT_FEES),
    (Market.SPOT, "ETHUSDT"): Terms("ETH", "USDT", "USDT", tick="0.01", lot="0.0001", **_SPOT_FEES),
    (Market.USDM, "BTCUSDT"): Terms("BTC", "USDT", "USDT", tick="0.1", lot="0.001", **_USDM_FEES),
    (Market.USDM, "ETHUSDT"): Terms("ETH", "USDT", "USDT", tick="0.01", lot="0.001", **_USDM_FEES),
    (Market.COINM, "BTCUSD"): Terms("BTC", "USD", "BTC", tick="0.1", lot="100", contract="100", **_COINM_FEES),
    (Market.COINM, "ETHUSD"): Terms("ETH", "USD", "ETH", tick="0.01", lot="10", contract="10", **_COINM_FEES),
}


@dataclass(frozen=True)
class ImportSummary:
    """What became of one file. Counts are of the file's lines but for `levels` and `packets`."""

    source: Path
    output: Path
    market: str
    symbol: str
    channel_id: int
    lines: int
    deltas: int  # published
    levels: int  # of the deltas and snapshots published
    quotes: int
    trades: int
    snapshots: int
    held: int  # deltas that waited for a snapshot
    dropped: int  # deltas and snapshots that the book was past already, or that no snapshot came for
    breaks: int  # deltas that do not follow the one before; a reader loses its book there
    sizes_rounded: int  # sizes that were no whole number of lots, rounded down
    other_streams: int  # lines of kinds that are not imported
    clock_steps_back: int  # lines earlier than the one before
    packets: int
    seconds: float


SUMMED = tuple(
    field.name
    for field in fields(ImportSummary)
    if field.name in Stream.fields and field.name not in ("market", "symbol")
)


def load_terms(path: Path) -> dict[tuple[Market, str], Terms]:
    """Read terms from TOML: a table `[spot.BTCUSDT]` (`usdm`, `coinm`; the symbol or the pair before its `_`) each."""
    try:
        tables = msgspec.toml.decode(path.read_bytes(), type=dict[str, dict[str, Terms]])
        return {(market_of(name), symbol): terms for name, table in tables.items() for symbol, terms in table.items()}
    except (msgspec.DecodeError, ValueError, OSError) as error:
        raise RecordingError(f"{path}: {error}") from error


def market_of(name: str) -> Market:
    """The market of that name: `spot`, `usdm` or `coinm`."""
    try:
        return Market[name.upper()]
    except KeyError:
        raise ValueError(f"market {name!r} is none of {', '.join(m.name.lower() for m in Market)}") from None


def import_binance(
    paths: Iterable[Path],
    output_folder: Path,
    market: Market | None = None,
    clock_offset_ns: int = 0,
    terms: dict[tuple[Market, str], Terms] | None = None,
) -> list[ImportSummary]:
    """Import files into `output_folder`, each as `<market>_<name>.pcap`; see `import_file` for the rest."""
    sources: dict[Path, Path] = {}
    for path in paths:
        found, _ = recognise(path, next(read_chunks(path), b""), market)
        output = output_folder / output_name(path, found)
        if output in sources:
            raise RecordingError(f"{path}: {output.name} is the capture of {sources[output]} already; rename one")
        sources[output] = path
    output_folder.mkdir(parents=True, exist_ok=True)
    return [import_file(path, output, market, clock_offset_ns, terms) for output, path in sources.items()]


def output_name(path: Path, market: Market) -> str:
    """The name of the capture that is made of a recording."""
    return f"{market.name.lower()}_{path.name.removesuffix(path.suffix)}.pcap"


def import_file(
    path: Path,
    output: Path,
    market: Market | None = None,
    clock_offset_ns: int = 0,
    terms: dict[tuple[Market, str], Terms] | None = None,
) -> ImportSummary:
    """Import one file as `output`, or into it if it is a folder. Nothing is left there after an error.

    `market` is told from the lines when it is not given; `terms` go before `DEFAULT_TERMS`.
    Raises `RecordingError`.
    """
    started = time.perf_counter()
    if abs(clock_offset_ns) > CLOCK_OFFSET_NS_MAX:
        raise RecordingError(f"clock_offset_ns={clock_offset_ns}: more than a day")
    chunks = read_chunks(path)
    head = next(chunks, b"")
    found_market, symbol = recognise(path, head, market)
    if output.is_dir():
        output = output / output_name(path, found_market)
    stream, publisher = make_stream(found_market, symbol, find_terms(path, found_market, symbol, terms or {}))
    stream.clock_offset_ns = clock_offset_ns
    with CaptureWriter(output) as capture:
        _run(path, stream, publisher, head, chunks, capture)
    if stream.chain == Chain.UNPROVEN:
        stream.dropped += stream.held_count
    counted = {name: getattr(stream, name) for name in SUMMED}
    return ImportSummary(
        **counted,
        market=found_market.name.lower(),
        symbol=symbol,
        source=path,
        output=output,
        channel_id=publisher.channel_id,
        packets=publisher.sequence,
        seconds=time.perf_counter() - started,
    )


SCAN = machine_code(import_lines)


def _run(
    path: Path,
    stream: Stream,
    publisher: FeedWriter,
    head: bytes,
    chunks: Iterator[bytes],
    capture: CaptureWriter,
) -> None:
    """Slide the window over the file's text and scan it. One chunk is inflated ahead; zlib lets go of the GIL."""
    window = array(u8, LINE_BYTES_MAX + CHUNK_BYTES + 1)
    stream.text = window
    filled = 0
    chunk = head
    with ThreadPoolExecutor(1) as pool:
        while chunk:
            following = pool.submit(next, chunks, b"")
            ctypes.memmove(window.address + filled, chunk, len(chunk))
            stream.position = 0
            stream.end = filled + chunk.rfind(b"\n") + 1 if b"\n" in chunk else 0
            filled += len(chunk)
            _scan_window(path, stream, publisher, capture)
            filled -= stream.position
            ctypes.memmove(window.address, window.address + stream.position, filled)
            if filled > LINE_BYTES_MAX:
                raise RecordingError(f"{path}, line {stream.lines + 1}: longer than {LINE_BYTES_MAX} bytes")
            chunk = following.result()
    if filled:
        window[filled] = ord("\n")
        stream.position = 0
        stream.end = filled + 1
        _scan_window(path, stream, publisher, capture)
    sizes = stream.levels + 2 * stream.quotes + stream.trades
    rounded = stream.sizes_rounded
    if rounded * SIZES_PER_ROUNDED_MIN > sizes:
        where = f"line {stream.first_rounded_line}"
        raise RecordingError(f"{path}, {where}: {rounded} of {sizes} sizes are no multiple of the lot; is it right?")


def _scan_window(path: Path, stream: Stream, publisher: FeedWriter, capture: CaptureWriter) -> None:
    stop = Stop.FULL
    while stop == Stop.FULL:
        stop = Stop(SCAN(stream, publisher))
        capture.write_memory(publisher.buffer.address, publisher.used)
        publisher.used = 0
    if stop == Stop.FAULT:
        line = stream.line
        text = ctypes.string_at(stream.text.address + stream.position, stream.end - stream.position).partition(b"\n")[0]
        column = max(line.fault_position - stream.position, 0)
        excerpt = text[max(column - EXCERPT_BYTES // 2, 0) :][:EXCERPT_BYTES].decode(errors="replace")
        reason = FAULT_TEXTS[Fault(line.fault)]
        raise RecordingError(f"{path}, line {stream.lines + 1}: {reason}: byte {column}, near {excerpt!r}")


def read_chunks(path: Path) -> Iterator[bytes]:
    """Read the file's text in pieces of at most CHUNK_BYTES, decompressed. Raises `RecordingError`.

    gzip goes through zlib: 310 MB/s of text on the recordings, where pyarrow's reader gives 180.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
                file.seek(0)
                yield from _inflate(path, file)
                return
        stream, _ = open_stream(path)
        try:
            while chunk := stream.read(CHUNK_BYTES):
                yield bytes(chunk)
        finally:
            stream.close()
    except OSError as error:
        raise RecordingError(f"{path}: can't be read ({error.strerror or error})") from error


def _inflate(path: Path, file: Any) -> Iterator[bytes]:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    compressed = file.read(READ_BYTES)
    try:
        while compressed:
            chunk = inflater.decompress(compressed, CHUNK_BYTES)
            if chunk:
                yield chunk
            if inflater.eof:  # another member may follow
                compressed = inflater.unused_data or file.read(READ_BYTES)
                if compressed:
                    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            else:
                compressed = inflater.unconsumed_tail or file.read(READ_BYTES)
    except zlib.error as error:
        raise RecordingError(f"{path}: damaged before its byte {file.tell()} ({error}); take an intact copy") from error
    if not inflater.eof:
        raise RecordingError(f"{path}: ends in the middle of its compressed data; take a whole copy")


def recognise(path: Path, head: bytes, market: Market | None) -> tuple[Market, str]:
    """Find out market and symbol of a recording, from the first line that tells."""
    for number, text in enumerate(head.split(b"\n", HEAD_LINES_MAX)[:HEAD_LINES_MAX], 1):
        try:
            message = json.loads(text.partition(b" ")[2])
            message = message.get("data", message)
            symbol = message.get("s") or message.get("symbol")
        except (ValueError, AttributeError, RecursionError):
            if not text or text == head.rpartition(b"\n")[2]:
                continue  # cut off by the end of the head
            raise RecordingError(f"{path}, line {number}: {FAULT_TEXTS[Fault.SYNTAX]}") from None
        found = _market_of_message(message) if market is None else market
        if symbol and found is not None:
            if not isinstance(symbol, str) or not re.fullmatch(rf"[A-Z0-9_]{{1,{SYMBOL_BYTES}}}", symbol):
                raise RecordingError(f"{path}, line {number}: {symbol!r} is no symbol of this venue")
            return found, symbol
    raise RecordingError(f"{path}: its first {HEAD_LINES_MAX} lines do not tell its market and symbol")


def _market_of_message(message: dict[str, Any]) -> Market | None:
    """Tell the market: only COIN-M names the pair; USD-M has `pu` in deltas, `e` in bookTicker, no `M` in trades."""
    if "ps" in message or "pair" in message:
        return Market.COINM
    event = message.get("e")
    if event == "depthUpdate":
        return Market.USDM if "pu" in message else Market.SPOT
    if event == "trade":
        return Market.SPOT if "M" in message else Market.USDM
    if event == "bookTicker":
        return Market.USDM
    return Market.SPOT if event is None and {"u", "b", "B", "a", "A"} <= message.keys() else None


def find_terms(path: Path, market: Market, symbol: str, terms: dict[tuple[Market, str], Terms]) -> Terms:
    """Find the terms of a symbol, or of its pair; given ones before the defaults."""
    for table in (terms, DEFAULT_TERMS):
        for name in (symbol, symbol.partition("_")[0]):
            if (market, name) in table:
                return table[market, name]
    raise RecordingError(f"{path}: no terms for {market.name.lower()}.{symbol}; give its tick and lot")


def override_terms(terms: Terms, **values: str | None) -> Terms:
    """Return `terms` with the values that are not None, e.g. from command line options."""
    return msgspec.structs.replace(terms, **{name: value for name, value in values.items() if value is not None})


def to_e9(text: str, name: str) -> int:
    """Convert a decimal text to units of 1e-9, exactly."""
    try:
        value = Decimal(text) * E9
    except InvalidOperation:
        raise RecordingError(f"{name}={text!r} is no decimal number") from None
    if value != int(value):
        raise RecordingError(f"{name}={text!r} has more than nine decimals")
    return int(value)


def expiry_ns(symbol: str) -> int:
    """When a dated future is delivered, whose symbol ends in `_YYMMDD`; 0 for all others."""
    match = re.search(r"_(\d{6})$", symbol)
    if match is None:
        return 0
    day = datetime.strptime(match[1], "%y%m%d").replace(hour=EXPIRY_HOUR_UTC, tzinfo=UTC)
    return int(day.timestamp()) * E9


def make_stream(market: Market, symbol: str, terms: Terms) -> tuple[Stream, FeedWriter]:
    """Make the state of one file's import, and its channel's publisher.

    Ids come from the symbol, so that a recording has the same ones whichever files are imported with it: instrument
    id = CRC-32 of `<market>.<symbol>`, channel id = its low 16 bits.
    """
    instrument_id = zlib.crc32(f"{market.name.lower()}.{symbol}".encode())
    stream = Stream(market=market, symbol_length=len(symbol))
    definition = stream.definition
    definition.instrument_id = instrument_id
    definition.expiry_ns = expiry_ns(symbol)
    perpetual = Kind.FUTURE if definition.expiry_ns else Kind.PERPETUAL
    definition.kind = Kind.SPOT if market == Market.SPOT else perpetual
    definition.payoff = Payoff.INVERSE if market == Market.COINM else Payoff.LINEAR
    for name in ("tick", "lot", "contract"):
        value = to_e9(getattr(terms, name), name)
        if value <= 0:
            raise RecordingError(f"{name}={getattr(terms, name)!r} must be above 0")
        setattr(definition, f"{name}_e9", value)
    definition.maker_fee_e9 = to_e9(terms.maker_fee, "maker_fee")
    definition.taker_fee_e9 = to_e9(terms.taker_fee, "taker_fee")
    texts = ((stream.symbol, symbol), (definition.symbol, symbol))
    currencies = (
        (definition.base, terms.base),
        (definition.quote, terms.quote),
        (definition.settlement, terms.settlement),
    )
    for field, text in texts + currencies:
        try:
            set_text(field, text)
        except ValueError as error:
            raise RecordingError(str(error)) from None
    prepare_line(stream.line, definition.tick_e9, definition.lot_e9, definition.contract_e9)
    stream.held_text = make_held_text()
    group = GROUPS[market]
    flow = Flow(
        source_mac=SOURCE_MAC,
        destination_mac=MULTICAST_MAC | group & 0x7FFFFF,
        source_ip=SOURCE_IP,
        destination_ip=group,
        source_port=PORT,
        destination_port=PORT,
    )
    return stream, make_writer(flow, instrument_id & 0xFFFF, OUTPUT_BYTES)
