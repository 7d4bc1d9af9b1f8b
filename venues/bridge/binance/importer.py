"""`crosswire import binance`: recorded Binance streams become captures of the `bridge` feed.

Input: one symbol a file, a line each `<local receive time> <JSON as received>`, plain, gzip or zstd; depth diffs,
bookTicker, trades, mark prices, and REST depth snapshots, of spot, USD-M or COIN-M. Output: nanosecond pcap. A file is
streamed through a fixed window; inflating runs ahead in a thread of its own. What can't be imported is left out,
counted and told (`remark`); captures appear all together, or none does.

A packet's time is the line's local time plus the clock's offset. Recording hosts' clocks are off (by 1.27 s in one
public data set); `estimate` tells by how much, as far as the data can. One offset for all files keeps the markets in
step.

Recordings of one symbol that follow each other are imported as one: packets count on from capture to capture, and the
book is carried over when the update ids continue.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.packet import Flow
from crosswire.nic.unit.call import machine_code
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import ClockCorrection
from crosswire.venues.book.book import NO_ASK, NO_BID
from crosswire.venues.bridge.binance.carry import Carried, carry, keep_book, room_for, take_up
from crosswire.venues.bridge.binance.estimate import estimate_correction, make_envelope, measure
from crosswire.venues.bridge.binance.kinds import PARTIAL_DELTAS_MIN
from crosswire.venues.bridge.binance.line import prepare_line
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.recognise import Found, recognise
from crosswire.venues.bridge.binance.remark import (
    ABOUT,
    BAD_LINES,
    OTHER_STREAMS,
    Remark,
    describe,
    warnings_of,
)
from crosswire.venues.bridge.binance.state import NO_STREAM, OUTPUT_BYTES_PER_LINE_MAX, Stream, make_held_text
from crosswire.venues.bridge.binance.stream import Stop, give_up_held, import_lines
from crosswire.venues.bridge.binance.terms import (
    Terms,
    channel_id_of,
    expiry_ns,
    find_terms,
    instrument_id_of,
    to_e9,
)
from crosswire.venues.bridge.binance.text import RecordingError
from crosswire.venues.bridge.binance.window import slide
from crosswire.venues.bridge.wire.encoder import FeedWriter, make_writer
from crosswire.venues.bridge.wire.layout import UNIT_E9_MAX
from crosswire.venues.instrument import E9, Kind, Payoff, set_text

OFF_GRID_MIN = 10  # so many prices off the tick, or sizes off the lot, and more than one in so many of all: the terms
OFF_GRID_ONE_IN = 10  # are wrong
CLOCK_OFFSET_NS_MAX = 86_400 * E9
REASONS_MAX = 4  # told of a file that can't be imported at all
OVERLAP_NS_MAX = 60 * E9  # of a recording and the one before it; beyond they are two of the same time

SOURCE_MAC = 0x020000000001  # locally administered
SOURCE_IP = 10 << 24 | 66 << 8 | 1  # 10.0.66.1
MULTICAST_MAC = 0x01005E000000  # RFC 1112 6.4: the low 23 bits are the group's
GROUPS = {market: 239 << 24 | 66 << 16 | market + 1 for market in Market}  # 239.66.0.1 spot, .2 USD-M, .3 COIN-M
PORT = 6200

LOSSES = {*BAD_LINES, *OTHER_STREAMS, Remark.OTHER_SYMBOL, Remark.UNPROVEN, Remark.CUT_FILE}

TermsTable = dict[tuple[Market, str], Terms]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How recordings are to be imported."""

    market: Market | None = None  # None: told from the lines
    terms: TermsTable | None = None  # before `DEFAULT_TERMS`
    clock_offset_ns: int | None = 0  # None: estimated, one for all
    delay_floor_ns: int = 0  # for the estimate: the least time that a message is under way
    strict: bool = False  # anything to warn of is an error


@dataclass(frozen=True)
class ImportSummary:
    """What became of one file. Counts are of the file's lines but for `levels`, `levels_off_tick` and `packets`."""

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
    mark_prices: int
    snapshots: int
    held: int  # deltas that waited for a snapshot
    dropped: int  # deltas and snapshots that the book was past already, or that no snapshot came for
    breaks: int  # deltas that do not follow the one before; a reader loses its book there
    packets: int
    bad_lines: int  # left out
    other_streams: int  # lines of kinds that are not imported
    other_symbols: int  # lines of other symbols
    levels_off_tick: int  # left out
    levels_unreal: int  # left out: a price or size that no order has
    sizes_rounded: int  # sizes that were no whole number of lots, rounded down
    exchange_times_refused: int  # messages that go without one
    sent_later: int  # messages received before the exchange sent them
    clock_steps_back: int  # lines earlier than the one before
    clock_leaps: int  # lines far from their neighbours in time
    clock_set: int  # how often the clock was set by more than a minute, or back
    seconds: float
    clock: ClockCorrection
    warnings: list[DataWarning]


COUNTED = ("lines", "deltas", "levels", "quotes", "trades", "mark_prices", "snapshots", "held", "dropped")
REMARKED = {
    "breaks": (Remark.BREAK, Remark.ID_RESET),
    "bad_lines": tuple(BAD_LINES),
    "other_streams": tuple(OTHER_STREAMS),
    "other_symbols": (Remark.OTHER_SYMBOL,),
    "levels_off_tick": (Remark.LEVEL_OFF_TICK,),
    "levels_unreal": (Remark.LEVEL_VALUE,),
    "sizes_rounded": (Remark.SIZE_ROUNDED,),
    "exchange_times_refused": (Remark.EXCHANGE_TIME, Remark.EXCHANGE_LEAP),
    "sent_later": (Remark.SENT_LATER,),
    "clock_steps_back": (Remark.STEP_BACK,),
    "clock_leaps": (Remark.LEAP,),
    "clock_set": (Remark.CLOCK_SET,),
}


def import_binance(
    paths: Iterable[Path], output_folder: Path, options: ImportOptions | None = None
) -> list[ImportSummary]:
    """Import files into `output_folder`, each as `<market>_<name>.pcap`, of which none may exist.

    Raises `RecordingError` and FileExistsError; nothing is left there then.
    """
    options = options or ImportOptions()
    sources: dict[Path, Path] = {}
    found: list[Found] = []
    for path in paths:
        found.append(recognise(path, options.market))
        output = output_folder / output_name(path, found[-1].market)
        if output in sources:
            raise RecordingError(f"{path}: {output.name} is the capture of {sources[output]} already; rename one")
        if output.exists():
            raise FileExistsError(f"{output} exists already: remove it, or name another folder")
        sources[output] = path
    output_folder.mkdir(parents=True, exist_ok=True)
    pairs = [(path, output) for output, path in sources.items()]
    return _import_found(pairs, found, options)


def output_name(path: Path, market: Market) -> str:
    """The name of the capture that is made of a recording."""
    return f"{market.name.lower()}_{path.name.removesuffix(path.suffix)}.pcap"


def import_file(path: Path, output: Path, options: ImportOptions | None = None) -> ImportSummary:
    """Import one file as `output`, or into it if it is a folder. Nothing is left there after an error."""
    return import_as([(path, output)], options or ImportOptions())[0]


def import_as(pairs: Sequence[tuple[Path, Path]], options: ImportOptions) -> list[ImportSummary]:
    """Import recordings each as exactly that capture, in place of one that is there. Raises `RecordingError`."""
    found = [recognise(path, options.market) for path, _ in pairs]
    named = [
        (path, output / output_name(path, each.market) if output.is_dir() else output)
        for (path, output), each in zip(pairs, found, strict=True)
    ]
    return _import_found(named, found, options)


def _import_found(
    pairs: Sequence[tuple[Path, Path]], found: Sequence[Found], options: ImportOptions
) -> list[ImportSummary]:
    """Import recordings; their captures get their names when the last of them is written."""
    correction = correct(pairs, found, options)
    partial = {output: output.with_name(f".{os.getpid()}.import.{output.name}") for _, output in pairs}
    summaries: list[ImportSummary | None] = [None] * len(pairs)
    try:
        for chain in chains_of(found):
            carried = None
            for place, follows in zip(chain, [*chain[1:], None], strict=True):
                path, output = pairs[place]
                if carried is not None and found[place].first_time_ns < carried.time_ns - OVERLAP_NS_MAX:
                    carried = None
                each = FileImport(path, found[place], options, correction, carried)
                if follows is not None:
                    keep_book(each.stream)
                each.run(partial[output])
                summaries[place] = each.summary(output)
                carried = carry(each.stream, each.publisher)
        for output, file in partial.items():
            os.replace(file, output)
    except BaseException:
        for file in partial.values():
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        raise
    return [summary for summary in summaries if summary is not None]


def chains_of(found: Sequence[Found]) -> list[list[int]]:
    """Order the places of recordings in time, those of one symbol together."""
    chains: dict[tuple[Market, str], list[int]] = {}
    for place in sorted(range(len(found)), key=lambda place: found[place].first_time_ns):
        chains.setdefault((found[place].market, found[place].symbol), []).append(place)
    return list(chains.values())


def correct(pairs: Sequence[tuple[Path, Path]], found: Sequence[Found], options: ImportOptions) -> ClockCorrection:
    """What the recording host's clock is corrected by: what was given, else one estimate from all recordings."""
    given = options.clock_offset_ns
    if given is None:
        envelope = make_envelope(min(each.first_time_ns for each in found))
        for (path, _), each in zip(pairs, found, strict=True):
            terms = find_terms(path, each.market, each.symbol, options.terms or {})
            stream, _ = make_stream(each.market, each.symbol, terms, OUTPUT_BYTES_PER_LINE_MAX)
            measure(path, stream, envelope)
        return estimate_correction(envelope, options.delay_floor_ns)
    if abs(given) > CLOCK_OFFSET_NS_MAX:
        raise RecordingError(f"a clock offset of {given / NS_PER_MS:g} ms is more than a day")
    return ClockCorrection(offset_ns=given)


SCAN = machine_code(import_lines)


class FileImport:
    """One file on its way into one capture."""

    def __init__(
        self,
        path: Path,
        found: Found,
        options: ImportOptions,
        correction: ClockCorrection,
        carried: Carried | None,
    ) -> None:
        self.started = time.perf_counter()
        self.path, self.found, self.options, self.correction = path, found, options, correction
        terms = find_terms(path, found.market, found.symbol, options.terms or {})
        self.stream, self.publisher = make_stream(found.market, found.symbol, terms, room_for(carried))
        self.stream.full_bids, self.stream.full_asks = found.full_bids, found.full_asks
        clock = self.stream.clock
        clock.offset_ns = correction.offset_ns
        clock.drift_ppb = correction.drift_ppb
        clock.reference_ns = correction.reference_ns
        if carried is not None:
            take_up(self.stream, self.publisher, carried)
        self.first_sequence = self.publisher.sequence

    def run(self, output: Path) -> None:
        """Write the capture. Raises `RecordingError`, and leaves nothing then."""
        with CaptureWriter(output) as capture:
            slide(self.path, self.stream, lambda: self._scan(capture))
            give_up_held(self.stream)
            self._refuse_nothing()
            self._refuse_wrong_terms()
            self._refuse_mixtures()
            self.warnings = warnings_of(self.stream.remarks, self.path)
            if self.options.strict and self.warnings:
                more = f" (and {len(self.warnings) - 1} more kinds)" if len(self.warnings) > 1 else ""
                raise RecordingError(f"refused by --strict: {self.warnings[0]}{more}")

    def _scan(self, capture: CaptureWriter) -> None:
        stop = Stop.FULL
        while stop == Stop.FULL:
            stop = Stop(SCAN(self.stream, self.publisher))
            capture.write_memory(self.publisher.buffer.address, self.publisher.used)
            self.publisher.used = 0

    def _refuse_nothing(self) -> None:
        """Refuse a file of which nothing, or nothing but a book that never changes, would be left."""
        stream, counts = self.stream, self.stream.remarks.counts
        events = stream.quotes + stream.trades + stream.deltas
        if events + stream.snapshots + stream.mark_prices == 0:
            why = [kind for kind in ABOUT if counts[kind] and kind in LOSSES]
            told = "; ".join(describe(stream.remarks, kind) for kind in why[:REASONS_MAX]) or (
                f"the book was past its {stream.dropped:,} depth messages" if stream.dropped else "it is empty"
            )
            advice = ABOUT[max(why, key=lambda kind: counts[kind])].what_to_do if why else ""
            raise RecordingError(
                f"{self.path}: nothing in it can be imported: {told}" + (f": {advice}" if advice else "")
            )
        if events == 0 and counts[Remark.PARTIAL_DEPTH]:
            told, about = describe(stream.remarks, Remark.PARTIAL_DEPTH), ABOUT[Remark.PARTIAL_DEPTH]
            raise RecordingError(f"{self.path}: holds no changes of the book, only {told}: {about.what_to_do}")

    def _refuse_wrong_terms(self) -> None:
        """Refuse a file whose prices or sizes show that the tick or the lot is not the instrument's."""
        stream, counts = self.stream, self.stream.remarks.counts
        sizes = stream.levels + 2 * stream.quotes + stream.trades
        off_tick = counts[Remark.LEVEL_OFF_TICK] + counts[Remark.PRICE_OFF_TICK]
        for kind, count, of, what, term in (
            (Remark.SIZE_ROUNDED, counts[Remark.SIZE_ROUNDED], sizes, "sizes are no multiple of the lot", "lot"),
            (Remark.LEVEL_OFF_TICK, off_tick, sizes + off_tick, "prices are no multiple of the tick", "tick"),
        ):
            if count >= OFF_GRID_MIN and count * OFF_GRID_ONE_IN > of:
                where = f"line {stream.remarks.first_lines[kind]}"
                raise RecordingError(
                    f"{self.path}, {where}: {count} of {of} {what}: give the right {term} with --terms"
                )

    def _refuse_mixtures(self) -> None:
        """Refuse a file whose book could be made of what does not belong together."""
        stream = self.stream
        if stream.strange_depth and stream.bare_snapshots:
            told = describe(stream.remarks, Remark.OTHER_SYMBOL)
            raise RecordingError(
                f"{self.path}: {told}, with depth among them: no snapshot says whose it is: record one symbol a file"
            )
        is_crossed = stream.top_bid_ticks >= stream.top_ask_ticks
        if stream.maybe_partial and stream.deltas and (is_crossed or stream.deltas >= PARTIAL_DELTAS_MIN):
            raise RecordingError(
                f"{self.path}: none of its {stream.deltas:,} depth updates removes a level, so it is partial depth "
                f"(depth5, depth10, depth20): {ABOUT[Remark.PARTIAL_DEPTH].what_to_do}"
            )

    def summary(self, output: Path) -> ImportSummary:
        """What became of the file."""
        stream, counts = self.stream, self.stream.remarks.counts
        counted = {name: getattr(stream, name) for name in COUNTED}
        counted |= {name: sum(counts[kind] for kind in kinds) for name, kinds in REMARKED.items()}
        counted["dropped"] += counts[Remark.UNPROVEN]
        return ImportSummary(
            **counted,
            market=self.found.market.name.lower(),
            symbol=self.found.symbol,
            source=self.path,
            output=output,
            channel_id=self.publisher.channel_id,
            packets=self.publisher.sequence - self.first_sequence,
            seconds=time.perf_counter() - self.started,
            clock=self.correction,
            warnings=self.warnings,
        )


def make_stream(market: Market, symbol: str, terms: Terms, room_bytes: int) -> tuple[Stream, FeedWriter]:
    """Make the state of one file's import, and its channel's publisher; a line may become `room_bytes` of packets.

    Ids come from the symbol, so that a recording has the same ones whichever files are imported with it.
    """
    instrument_id = instrument_id_of(market, symbol)
    stream = Stream(
        market=market,
        symbol_length=len(symbol),
        kept_speed=NO_STREAM,
        maybe_partial=1,
        top_bid_ticks=NO_BID,
        top_ask_ticks=NO_ASK,
        room_bytes=room_bytes,
    )
    definition = stream.definition
    definition.instrument_id = instrument_id
    definition.expiry_ns = expiry_ns(symbol)
    perpetual = Kind.FUTURE if definition.expiry_ns else Kind.PERPETUAL
    definition.kind = Kind.SPOT if market == Market.SPOT else perpetual
    definition.payoff = Payoff.INVERSE if market == Market.COINM else Payoff.LINEAR
    for name in ("tick", "lot", "contract"):
        value = to_e9(getattr(terms, name), name)
        if not 0 < value <= UNIT_E9_MAX:
            raise RecordingError(f"{name}={getattr(terms, name)!r} must be above 0, and at most {UNIT_E9_MAX // E9:,}")
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
    return stream, make_writer(flow, channel_id_of(instrument_id), room_bytes + OUTPUT_BYTES_PER_LINE_MAX)
