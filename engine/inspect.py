"""`crosswire inspect`: decode captures with the loop's own feeds, and say what is in them."""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.adapters import find_adapter
from crosswire.engine.build.market import time_of
from crosswire.engine.captures import check_strict, find_captures
from crosswire.engine.config import ConfigError
from crosswire.engine.feed_warnings import feed_warnings, levels_let_go
from crosswire.engine.warn import print_warnings
from crosswire.nic.capture.defects import Tally
from crosswire.nic.capture.stamps import STAMPS_NAMED, Stamps
from crosswire.nic.memory.struct import Array, Struct, StructMeta, array, u8
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import Replay, ReplayRing, replayed_frames
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.call import machine_code
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import Adapter
from crosswire.venues.book.book import Book, make_books
from crosswire.venues.errors import VenueError
from crosswire.venues.feed import Feed, Reject, decode
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, text_of
from crosswire.venues.layout import Message, WireLayout
from crosswire.venues.market import Events, Market, clear_events

Paths = Sequence[str | PathLike[str]]
UNTOLD = "this venue's definitions do not tell it"
TABLES_OF_THEIR_OWN = ("messages", "books")
FEED_COUNTS = (
    "gaps",
    "capture_gaps",
    "duplicates",
    "continuity_breaks",
    "restarts",
    "definition_mismatches",
    "sizes_rounded",
    "levels_let_go",
    "level_updates",
)


def find_venue(venue: str) -> Adapter:
    """Find the adapter that can read these captures; ConfigError if there is none."""
    try:
        adapter = find_adapter(venue)
    except VenueError as error:
        raise ConfigError(f"--venue: {error}") from None
    if adapter.discover is None:
        raise ConfigError(f"--venue {venue}: does not tell its instruments on the wire, so it can't be inspected")
    return adapter


def find_stamps(name: str) -> Stamps:
    """Find hardware time stamps by their name; ConfigError if there are none such."""
    if name not in STAMPS_NAMED:
        raise ConfigError(f"--capture-stamps {name}: none of {', '.join(filter(None, STAMPS_NAMED))}")
    return STAMPS_NAMED[name]


def decode_until(
    ring: ReplayRing,
    feed: Feed,
    market: Market,
    events: Events,
    frame: Frame,
    packet: Packet,
    counters: PacketCounters,
    until_ns: int,
) -> None:
    """Decode what the ring has up to a time, that included.

    Market data comes by UDP; whatever else the capture holds is only counted.
    """
    while poll(ring, frame, until_ns):
        if parse_packet(frame, packet, counters) and packet.protocol == PROTOCOL_UDP:
            clear_events(events, market)
            decode(feed, packet, market, events)
        release(ring)


@dataclass
class Inspection:
    """The state that captures leave behind."""

    feed: Any
    market: Market
    counters: PacketCounters
    frames: int
    first_time_ns: int  # 0: no frames
    last_time_ns: int
    records: int  # in the captures, those included that gave no frame
    tally: Tally  # what is wrong with them


def named_captures(paths: Paths) -> list[Path]:
    """List the captures that files, folders and patterns on a command line mean. ConfigError: see `find_captures`."""
    return find_captures(Path(), paths, "captures")


def decode_captures(paths: Paths, adapter: Adapter, stamps: Stamps) -> Inspection:
    """Run the feed over the captures. Raises `nic.capture.reader.CaptureError` for a file that is none."""
    assert adapter.discover is not None
    market = Market(capacity=adapter.instruments_max)
    market.instruments = Instrument.array(adapter.instruments_max)
    market.books = make_books(adapter.instruments_max, adapter.levels_max)
    feed, frame, packet, counters, events = adapter.discover(market), Frame(), Packet(), PacketCounters(), Events()
    run = machine_code(decode_until)
    with Replay(named_captures(paths), stamps=stamps) as replay:
        while (time_ns := next_time_ns(replay.ring)) < 0:
            replay.refill()
        first_time_ns = 0 if time_ns == NEVER_NS else time_ns
        while next_time_ns(replay.ring) != NEVER_NS:
            run(replay.ring, feed, market, events, frame, packet, counters, NEVER_NS - 1)
            replay.refill()
        frames, records, tally = replay.ring.counters.frames, replay.records(), replay.tally()
    return Inspection(feed, market, counters, frames, first_time_ns, frame.time_ns, records, tally)


def inspect_captures(paths: Paths, venue: str, capture_stamps: str = "") -> dict[str, Any]:
    """Decode captures of one venue and return everything that they hold, as plain data.

    `capture_stamps` names the hardware time stamps in their frames, as in a configuration.

    Keys: `packets`, `messages` by name, `gaps` (packets that the network lost), `capture_gaps` (missing, but no more
    than the captures themselves cut, misplaced or left unread), `duplicates`, `continuity_breaks`, `rejects` by
    reason, `level_updates`, `channels`, `instruments`, `books` by symbol, `capture` (frames by what they carried),
    `first_time_ns`, `last_time_ns` (of the frames, since the epoch), `restarts` (sequences begun anew), `warnings`,
    and what else the venue's feed counts.
    A book has `valid`, best `bid` and `ask` as [price, size] or null, and the level counts `bids` and `asks`.
    Raises `ConfigError` for an unknown venue, `nic.capture.reader.CaptureError` for a bad file.
    """
    adapter = find_venue(venue)
    inspection = decode_captures(paths, adapter, find_stamps(capture_stamps))
    feed, market, counters = inspection.feed, inspection.market, inspection.counters
    instruments = [market.instruments[index] for index in range(market.count)]
    capture_gaps = min(feed.sequence_gaps, inspection.tally.hidden_packets())
    frames = {"records": inspection.records, "frames": inspection.frames}
    return {
        "venue": venue,
        "packets": feed.packets,
        "messages": {message.name: feed.messages[place] for place, message in enumerate(adapter.wire.messages)},
        "gaps": feed.sequence_gaps - capture_gaps,
        "capture_gaps": capture_gaps,
        "duplicates": feed.duplicates,
        "continuity_breaks": feed.continuity_breaks,
        "restarts": feed.restarts,
        "sizes_rounded": feed.sizes_rounded,
        "levels_let_go": levels_let_go(feed, market),
        "definition_mismatches": feed.definition_mismatches,
        **adapter.facts(feed),
        "rejects": {reason.name.lower(): feed.rejects[reason] for reason in Reject if feed.rejects[reason] != 0},
        "level_updates": feed.level_updates,
        "channels": adapter.channels(feed),
        "instruments": [instrument_row(instrument) | dict.fromkeys(adapter.untold) for instrument in instruments],
        "books": {
            name: book_row(row, market.books[row.index])
            for name, row in zip(unique_names(instruments), instruments, strict=True)
        },
        "capture": {**frames, **{name: getattr(counters, name) for name in PacketCounters.fields}},
        "first_time_ns": inspection.first_time_ns,
        "last_time_ns": inspection.last_time_ns,
        "warnings": [msgspec.to_builtins(each) for each in inspection.tally.warnings() + feed_warnings(feed, market)],
    }


def warnings_of(result: dict[str, Any]) -> list[DataWarning]:
    """Give the warnings in the result of `inspect_captures`."""
    return msgspec.convert(result["warnings"], list[DataWarning])


def why_nothing(result: dict[str, Any]) -> str:
    """Say why no message at all was decoded; "" when one was."""
    counted = {name: count for name, count in result["capture"].items() if name != "frames"}
    return nothing_read(result["venue"], sum(result["messages"].values()), counted, result["rejects"])


def nothing_read(feed: str, messages: int, counted: Mapping[str, int], rejects: Mapping[str, int]) -> str:
    """Say why a feed has read nothing, by what was counted of the frames and rejected of the packets; "" if it has."""
    if messages:
        return ""
    counted = {**counted, **{f"rejected for {name}": count for name, count in rejects.items()}}
    why = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counted.items() if count)
    return f"not one message of {feed} in these captures: {why or 'they hold no record'}"


def plain(amount_e9: int) -> str:
    """Convert a 1e-9 amount to the shortest exact decimal."""
    return f"{(Decimal(amount_e9) / E9).normalize():f}"


def instrument_row(instrument: Instrument) -> dict[str, Any]:
    """Describe an instrument. Sizes are exact decimals as text; fees are fractions of the notional, likewise."""
    return {
        "symbol": text_of(instrument.symbol),
        "venue_id": instrument.venue_id,
        "kind": Kind(instrument.kind).name.lower(),
        "payoff": Payoff(instrument.payoff).name.lower(),
        "tick": plain(instrument.tick_e9),
        "lot": plain(instrument.lot_e9),
        "contract": plain(instrument.contract_e9),
        "maker_fee": plain(instrument.maker_fee_e9),
        "taker_fee": plain(instrument.taker_fee_e9),
        "base": text_of(instrument.base),
        "quote": text_of(instrument.quote),
        "settlement": text_of(instrument.settlement),
        "expiry_ns": instrument.expiry_ns,
    }


def unique_names(instruments: list[Instrument]) -> list[str]:
    """Name instruments by symbol, adding the kind where several share one, and the id if that is the same too."""
    names = [text_of(row.symbol) for row in instruments]
    kinds = [f"{name} {Kind(row.kind).name.lower()}" for name, row in zip(names, instruments, strict=True)]
    return [
        name if names.count(name) == 1 else kind if kinds.count(kind) == 1 else f"{kind} {row.venue_id}"
        for name, kind, row in zip(names, kinds, instruments, strict=True)
    ]


def book_row(instrument: Instrument, book: Book) -> dict[str, Any]:
    """Describe the best levels as the doubles nearest to their exact values: integer division is correctly rounded."""

    def level(ticks: int, lots: int) -> list[float]:
        return [ticks * instrument.tick_e9 / E9, lots * instrument.lot_e9 / E9]

    is_shown = book.valid != 0
    return {
        "valid": is_shown,
        "bid": level(book.bid_ticks, book.bid_lots) if is_shown and book.bid_lots else None,
        "ask": level(book.ask_ticks, book.ask_lots) if is_shown and book.ask_lots else None,
        "bids": book.bid_levels,
        "asks": book.ask_levels,
    }


def print_inspection(result: dict[str, Any], console: Any) -> None:
    """Print the result of `inspect_captures` as tables on a rich console."""
    from rich.table import Table  # takes 50 ms to import, which `--json` does not need

    facts = Table("what", "count", title=f"{result['venue']}: {result['packets']:,} packets")
    for name in FEED_COUNTS:
        facts.add_row(name.replace("_", " "), f"{result[name]:,}")
    for group, counts in result.items():
        if group in TABLES_OF_THEIR_OWN or not isinstance(counts, dict):
            continue
        for name, count in counts.items():
            if count != 0:
                facts.add_row(f"{group}: {name.replace('_', ' ')}", f"{count:,}")
    messages = Table("message", "count", title="messages")
    for name, count in result["messages"].items():
        messages.add_row(name, f"{count:,}")
    books = Table("instrument", "valid", "bid size", "bid", "ask", "ask size", "bids", "asks", title="books at the end")
    for symbol, book in result["books"].items():
        bid, ask = book["bid"] or ["", ""], book["ask"] or ["", ""]
        cells = (bid[1], bid[0], ask[0], ask[1], book["bids"], book["asks"])
        books.add_row(symbol, "yes" if book["valid"] else "no", *(str(cell) for cell in cells))
    channels = Table(*(name.replace("_", " ") for name in (result["channels"] or [{"id": 0}])[0]), title="channels")
    for row in result["channels"]:
        channels.add_row(*(f"{value:,}" for value in row.values()))
    for table in (facts, messages, channels, books):
        for column in table.columns[1:]:
            column.justify = "right"
        console.print(table)
    print_warnings(warnings_of(result), console)


def instrument_toml(result: dict[str, Any]) -> str:
    """Write the instruments as tables for a configuration, without the limits, which a capture can't know.

    Fees are those that the venue publishes; an account's own may differ.
    """
    blocks = []
    for row in result["instruments"]:
        lines = term_lines(row)
        for key in ("maker_fee", "taker_fee"):
            bps = fee_bps(row, key)
            lines.append(f"# {key}_bps: {UNTOLD}" if bps is None else f"{key}_bps = {bps:f}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def term_lines(row: dict[str, Any]) -> list[str]:
    """Write what an instrument is, as `instrument_row` describes it, without its fees."""
    lines = ["[[venue.instrument]]"]
    for key in ("symbol", "kind", "payoff"):
        lines.append(f'{key} = "{row[key]}"')
    lines.append(f'underlying = "{row["base"]}"')
    for key in ("base", "quote", "settlement"):
        lines.append(f'{key} = "{row[key]}"')
    for key in ("tick", "lot", "contract"):
        lines.append(f"# {key}: {UNTOLD}" if row[key] is None else f"{key} = {row[key]}")
    if row["kind"] == "future" and row["expiry_ns"]:
        lines.append(f"expiry = {time_of(row['expiry_ns']).isoformat()}")
    return lines


def fee_bps(row: dict[str, Any], key: str) -> Decimal | None:
    """Convert a fee of an instrument's description to basis points; None if it is not told."""
    return None if row[key] is None else (Decimal(row[key]) * 10_000).normalize()


def describe_messages(replay: Replay, venue: str, limit: int) -> Iterator[str]:
    """Describe the first `limit` messages of captures, field by field: one line a packet, a message and a group entry.

    Reads the same layout tables as the decoder. Raises as `inspect_captures` does.
    """
    layout = find_venue(venue).wire
    frame, packet, counters = Frame(), Packet(), PacketCounters()
    described = 0
    for time_ns, content in replayed_frames(replay):
        buffer = array(u8, len(content))
        buffer.numpy()[:] = memoryview(content)
        frame.address, frame.length, frame.time_ns = buffer.address, len(content), time_ns
        if not parse_packet(frame, packet, counters) or packet.protocol != PROTOCOL_UDP:
            continue
        for line, is_message in describe_packet(layout, packet):
            described += is_message
            if described > limit:
                return
            yield line


def print_messages(
    paths: Paths, venue: str, limit: int, strict: bool, say: Callable[[str], None], capture_stamps: str = ""
) -> list[DataWarning]:
    """Say what `describe_messages` does, of captures; return what is wrong with them as far as they were read.

    ConfigError, with `strict`, before anything is said if something is. Raises as `inspect_captures` does.
    """
    with Replay(named_captures(paths), stamps=find_stamps(capture_stamps)) as replay:
        lines = list(describe_messages(replay, venue, limit)) if strict else describe_messages(replay, venue, limit)
        if strict:
            check_strict(replay.warnings())
        for line in lines:
            say(line)
        return replay.warnings()


def describe_packet(layout: WireLayout, packet: Packet) -> Iterator[tuple[str, int]]:
    """List the lines of one packet, and for each whether a message begins there; mark what lies past the end as cut."""
    end = packet.payload_address + packet.payload_length
    position = packet.payload_address + layout.packet_header.size
    if position > end:
        yield f"{packet.time_ns} cut off in the packet header", 0
        return
    yield f"{packet.time_ns} {fields_text(layout.packet_header.at(packet.payload_address))}", 0
    while position < end:
        lines, position = describe_message(layout, position, end)
        yield lines[0], 1
        for line in lines[1:]:
            yield line, 0


def describe_message(layout: WireLayout, position: int, end: int) -> tuple[list[str], int]:
    """Describe the message at `position`: its lines, and the address of the next one; `end` when it is cut off."""
    root = position + layout.message_header.size
    if root > end:
        return ["  cut off in a message header"], end
    header: Any = layout.message_header.at(position)
    known = [message for message in layout.messages if message.template_id == header.template_id]
    message = known[0] if known else None
    name = message.name if message else f"template {header.template_id}"
    stop = end
    if layout.message_length:
        stop = position + getattr(header, layout.message_length)
        if not root <= stop <= end:
            return [f"  {name}: cut off, or of no length"], end
    block_length = getattr(header, "block_length", message.root.size if message else 0)
    position = root + block_length
    if position > stop:
        return [f"  {name}: cut off in its root block"], end
    lines = [f"  {name} {block_text(message.root, root, block_length)}" if message else f"  {name}: unknown"]
    parts, position = describe_parts(layout, header, message, position, stop)
    return [*lines, *parts], stop if layout.message_length else position


def describe_parts(
    layout: WireLayout, header: Any, message: Message | None, position: int, end: int
) -> tuple[list[str], int]:
    """Describe a message's groups and texts, from `position`: lines, and the address after them, `end` if cut off."""
    lines: list[str] = []
    groups = list(message.groups.items()) if message else []
    for place in range(getattr(header, "group_count", len(groups))):
        group_name, entry = groups[place] if place < len(groups) else (f"group {place}", None)
        first = position + layout.group_header.size
        if first > end:
            return [*lines, f"    {group_name}: cut off in its header"], end
        group: Any = layout.group_header.at(position)
        count = getattr(group, layout.entry_count)
        position = first + group.block_length * count
        if position > end:
            return [*lines, f"    {group_name}: cut off in its {count} entries"], end
        if entry is not None:
            entries = (first + number * group.block_length for number in range(count))
            lines += [f"    {group_name} {block_text(entry, address, group.block_length)}" for address in entries]
    texts = message.texts if message else ()
    for place in range(getattr(header, "text_count", 0)):
        assert layout.text_header is not None
        text_name = texts[place] if place < len(texts) else f"text {place}"
        first = position + layout.text_header.size
        text: Any = layout.text_header.at(position)
        length = text.length if first <= end else 0
        if first + length > end:
            return [*lines, f"    {text_name}: cut off"], end
        lines.append(f"    {text_name}={text_of(ctypes.string_at(first, length))}")
        position = first + length
    return lines, position


def block_text(struct: StructMeta, address: int, length: int) -> str:
    """Describe a block's fields, leaving out those that an older, shorter block does not have."""
    cls: Any = struct
    known = [name for name, field in struct.fields.items() if field.offset + field.size <= length]
    return fields_text(cls.at(address), known)


def fields_text(struct: Struct, names: Sequence[str] | None = None) -> str:
    parts = []
    for name in type(struct).fields if names is None else names:
        value = getattr(struct, name)
        parts.append(f"{name}={text_of(value) if isinstance(value, Array) else value}")
    return " ".join(parts)
