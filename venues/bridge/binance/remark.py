"""What an import leaves out, mends or doubts: counted by kind, each with the first line that has it."""

from enum import IntEnum
from pathlib import Path
from typing import Annotated, NamedTuple

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.nic.warning import DataWarning


class Remark(IntEnum):
    """One kind of remark. BLANK to OTHER_MARKET: a line is no use. PARTIAL_DEPTH to UNKNOWN: another stream."""

    NONE = 0
    BLANK = 1
    NUL = 2
    TIME = 3
    TIME_RANGE = 4
    SYNTAX = 5
    CUT = 6
    NUMBER = 7
    RANGE = 8
    PRICE_OFF_TICK = 9
    TOO_MANY_LEVELS = 10
    VALUE = 11
    MISSING_KEY = 12
    IDS = 13
    OTHER_MARKET = 14
    PARTIAL_DEPTH = 15
    RPI_DEPTH = 16
    SECOND_DEPTH = 17
    AGGREGATE_TRADE = 18
    TICKER = 19
    KLINE = 20
    INDEX_PRICE = 21
    FORCED_ORDER = 22
    ACCOUNT = 23
    TRANSFER = 24
    LIST = 25
    ERROR = 26
    ANSWER = 27
    UNKNOWN = 28
    OTHER_SYMBOL = 29
    LEVEL_OFF_TICK = 30
    LEVEL_VALUE = 31
    SIZE_ROUNDED = 32
    UNPROVEN = 33
    BREAK = 34
    EXCHANGE_TIME = 35
    EXCHANGE_LEAP = 36
    SENT_LATER = 37
    STEP_BACK = 38
    LEAP = 39
    CLOCK_SET = 40
    CUT_FILE = 41
    GARBAGE = 42
    ID_RESET = 43


BAD_LINES = range(Remark.BLANK, Remark.OTHER_MARKET + 1)
OTHER_STREAMS = range(Remark.PARTIAL_DEPTH, Remark.UNKNOWN + 1)


class About(NamedTuple):
    """How a kind is told. No advice: it costs the result nothing, and is counted only."""

    kind: str
    what_to_do: str


_RECORDER = "look at what wrote the file; the deltas of such a line are missing from the book until the next snapshot"
_UNUSED = "nothing here uses it; leave it out of the recording to be rid of this"
ABOUT = {
    Remark.BLANK: About("blank lines", "nothing is lost if no line stood there; look at what wrote the file"),
    Remark.NUL: About("runs of NUL bytes", "the recording host lost power or the file was padded; expect a gap there"),
    Remark.TIME: About("lines that do not begin with a time and a space", _RECORDER),
    Remark.TIME_RANGE: About("lines whose time is not between 2009 and 2100", "mend the recording host's clock"),
    Remark.SYNTAX: About("lines that are not the JSON that the venue sends", _RECORDER),
    Remark.CUT: About("lines cut by the end of the file", "take the whole file if there is one"),
    Remark.NUMBER: About("lines with a number that is not plain decimal digits", _RECORDER),
    Remark.RANGE: About("lines with a number too large to count with", _RECORDER),
    Remark.VALUE: About("lines with a price, size or funding that can't be (zero, huge, crossed, past)", _RECORDER),
    Remark.PRICE_OFF_TICK: About("lines whose price is no multiple of the tick", "give the right tick with --terms"),
    Remark.TOO_MANY_LEVELS: About("lines with more levels a side than there is room for", "fetch smaller snapshots"),
    Remark.MISSING_KEY: About("lines that lack a key that their kind of message has", _RECORDER),
    Remark.IDS: About("lines whose first update id is above their last", _RECORDER),
    Remark.OTHER_MARKET: About("lines of another market", "record each market in a file of its own"),
    Remark.PARTIAL_DEPTH: About(
        "lines of partial depth, which can't stand for changes", "record SYMBOL@depth@100ms (futures: @depth@0ms)"
    ),
    Remark.RPI_DEPTH: About("lines of RPI depth, another book than the one that can be traded", _UNUSED),
    Remark.SECOND_DEPTH: About("lines of a second depth stream of the same book", "record one depth stream a symbol"),
    Remark.AGGREGATE_TRADE: About("lines of aggTrade, not imported", "record SYMBOL@trade: it has every single trade"),
    Remark.TICKER: About("lines of tickers, not imported", _UNUSED),
    Remark.KLINE: About("lines of candlesticks, not imported", _UNUSED),
    Remark.INDEX_PRICE: About("lines of index prices, not imported", _UNUSED),
    Remark.FORCED_ORDER: About("lines of liquidations, not imported", _UNUSED),
    Remark.ACCOUNT: About("lines of an account's own stream, not imported", _UNUSED),
    Remark.TRANSFER: About("trades beside the book (insurance fund, ADL), not imported", "nothing: nobody quoted them"),
    Remark.LIST: About("lines that hold a list of messages, not imported", _UNUSED),
    Remark.ERROR: About("errors that the venue answered", "read them: what was asked for may be missing"),
    Remark.ANSWER: About("answers to subscriptions", ""),
    Remark.UNKNOWN: About("lines of other streams, not imported", _UNUSED),
    Remark.OTHER_SYMBOL: About("lines of other symbols, not imported", "record each symbol in a file of its own"),
    Remark.LEVEL_OFF_TICK: About(
        "levels left out, their price no multiple of the tick", "give the right tick with --terms, if this one is wrong"
    ),
    Remark.LEVEL_VALUE: About(
        "levels left out, their price zero or their price or size beyond any", "look at what wrote the file"
    ),
    Remark.SIZE_ROUNDED: About(
        "sizes rounded down to whole lots", "nothing if they are few: what is below a lot can't be traded"
    ),
    Remark.UNPROVEN: About(
        "depth deltas dropped for want of a snapshot",
        "fetch the REST depth snapshot while recording, or import the recording before together with this one",
    ),
    Remark.BREAK: About("breaks in the depth stream", "the book is lost from there to the next snapshot; fetch one"),
    Remark.ID_RESET: About(
        "times that the venue's update ids began anew", "the book is lost from there to the next snapshot; fetch one"
    ),
    Remark.EXCHANGE_TIME: About("messages without an exchange time between 2009 and 2100", "they go without one"),
    Remark.EXCHANGE_LEAP: About(
        "messages whose exchange time leaps away from the others'", "they go without one; nothing else is lost"
    ),
    Remark.SENT_LATER: About(
        "messages received before the exchange sent them", "correct the recording host's clock: --clock-offset-ms auto"
    ),
    Remark.STEP_BACK: About("lines earlier than the one before", "they have its time; look at the recorder's clock"),
    Remark.LEAP: About(
        "lines whose time leaps away from their neighbours'",
        "they have the time that fits between; no other is moved",
    ),
    Remark.CLOCK_SET: About(
        "times that the recording host's clock was set",
        "later lines go on by the exchange's time; keep it by NTP or PTP",
    ),
    Remark.CUT_FILE: About(
        "files cut in the middle of their compressed data", "take a whole copy; the rest is imported"
    ),
    Remark.GARBAGE: About("bytes behind the compressed data", "they are not read; take an intact copy if they matter"),
}


class Remarks(Struct):
    """The counts of one recording, by `Remark`."""

    counts: Annotated[Array, i64, len(Remark)]
    first_lines: Annotated[Array, i64, len(Remark)]  # from 1; 0: not of a line


@compiled
def note(remarks: Remarks, kind: int, line_number: int, count: int) -> None:
    """Count something `count` times, at that line."""
    if remarks.counts[kind] == 0:
        remarks.first_lines[kind] = line_number
    remarks.counts[kind] += count


def describe(remarks: Remarks, kind: Remark) -> str:
    """Say in words how many there are of a kind, and where the first is."""
    where = f" (first in line {remarks.first_lines[kind]})" if remarks.first_lines[kind] else ""
    return f"{remarks.counts[kind]:,} {ABOUT[kind].kind}{where}"


def warnings_of(remarks: Remarks, path: Path) -> list[DataWarning]:
    """Tell everything that makes a recording's capture less than the whole truth."""
    return [
        DataWarning(
            kind=about.kind,
            count=remarks.counts[kind],
            first_place=f"{path}, line {remarks.first_lines[kind]}" if remarks.first_lines[kind] else str(path),
            what_to_do=about.what_to_do,
        )
        for kind, about in ABOUT.items()
        if remarks.counts[kind] and about.what_to_do
    ]
