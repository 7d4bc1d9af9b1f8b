"""What a line is, by the name of its stream, by its event, and by its shape where it has neither."""

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.binance.fingerprint import fingerprint
from crosswire.venues.bridge.binance.json import NEWLINE, QUOTE, is_digit, scan_text
from crosswire.venues.bridge.binance.line import Line, Seen
from crosswire.venues.bridge.binance.remark import Remark

PARTIAL_LEVELS_MAX = 20  # a side: @depth5, @depth10, @depth20
PARTIAL_DELTAS_MIN = 20  # so many two-sided deltas that remove nothing are no deltas

AT = 0x40
LETTER_R = 0x72
CASE_BIT = 0x20
DEPTH = b"depth"
DEPTH_LETTERS = tuple(DEPTH)
SPEED_BITS_MAX = 56
NAMELESS = 0

TICKERS = tuple(
    map(
        fingerprint,
        ("24hrTicker", "24hrMiniTicker", "1hTicker", "4hTicker", "1dTicker", "avgPrice", "assetIndexUpdate"),
    )
)
KLINES = tuple(map(fingerprint, ("kline", "continuous_kline", "indexPrice_kline", "markPrice_kline")))
INDEX_PRICES = tuple(map(fingerprint, ("indexPriceUpdate", "compositeIndex")))
ACCOUNT = tuple(
    map(
        fingerprint,
        (
            "executionReport",
            "outboundAccountPosition",
            "balanceUpdate",
            "listStatus",
            "listenKeyExpired",
            "externalLockUpdate",
            "eventStreamTerminated",
            "ORDER_TRADE_UPDATE",
            "ACCOUNT_UPDATE",
            "ACCOUNT_CONFIG_UPDATE",
            "MARGIN_CALL",
            "TRADE_LITE",
            "STRATEGY_UPDATE",
            "GRID_UPDATE",
            "CONDITIONAL_ORDER_TRIGGER_REJECT",
            "ALGO_UPDATE",
        ),
    )
)
EVENT_AGGREGATE_TRADE = fingerprint("aggTrade")
EVENT_FORCED_ORDER = fingerprint("forceOrder")
WORD_ERROR, WORD_CODE, WORD_RESULT, WORD_ID = map(fingerprint, ("error", "code", "result", "id"))


FIRST_CONTINUATION, FIRST_OF_TWO, FIRST_OF_THREE, FIRST_OF_FOUR, LAST_OF_FOUR = 0x80, 0xC0, 0xE0, 0xF0, 0xF4  # UTF-8


class StreamName(Struct):
    """What the name of a line's stream says."""

    remark: i64  # NONE: a depth stream of changes, or nothing that is known; else what it is instead
    speed: i64  # which of a symbol's streams of changes: the text behind `@depth`, one more than its bytes; NAMELESS
    symbol: i64  # position of the symbol before the `@`; 0: the name has none
    symbol_length: i64


@compiled
def begins_with_depth(text: Array, position: int) -> bool:
    """Tell whether the text at `position` is `depth`."""
    for index in range(len(DEPTH)):
        if text[position + index] != DEPTH_LETTERS[index]:
            return False
    return True


@compiled
def read_name(name: StreamName, line: Line, text: Array) -> None:
    """Read the name of a depth line's stream, as `btcusdt@depth@100ms`."""
    name.remark = Remark.NONE
    name.speed = NAMELESS
    name.symbol = 0
    if line.seen & Seen.STREAM == 0:
        return
    start = line.stream
    position = start
    while text[position] != AT:
        if text[position] == QUOTE or text[position] == NEWLINE:
            return
        position += 1
    name.symbol = start
    name.symbol_length = position - start
    position += 1
    if not begins_with_depth(text, position):
        name.remark = Remark.RPI_DEPTH if text[position] == LETTER_R else Remark.UNKNOWN
        return
    position += len(DEPTH)
    if text[position] == QUOTE or text[position] == AT:
        speed = 0
        while text[position] != QUOTE and text[position] != NEWLINE and speed >> SPEED_BITS_MAX == 0:
            speed = speed << 8 | text[position]
            position += 1
        name.speed = speed + 1
    else:
        name.remark = Remark.PARTIAL_DEPTH if is_digit(text[position]) else Remark.UNKNOWN


@compiled
def kind_of_event(event: int) -> int:
    """The `Remark` of an event that is not imported."""
    if event == EVENT_AGGREGATE_TRADE:
        return Remark.AGGREGATE_TRADE.value
    if event == EVENT_FORCED_ORDER:
        return Remark.FORCED_ORDER.value
    if event in TICKERS:
        return Remark.TICKER.value
    if event in KLINES:
        return Remark.KLINE.value
    if event in INDEX_PRICES:
        return Remark.INDEX_PRICE.value
    if event in ACCOUNT:
        return Remark.ACCOUNT.value
    return Remark.UNKNOWN.value


@compiled
def has_text(line: Line, text: Array, position: int, word: int) -> bool:
    """Tell whether the line at `position`, which could be read, has a text of that fingerprint, key or value."""
    while text[position] != NEWLINE:
        if text[position] == QUOTE:
            position = scan_text(line, text, position + 1)
            if line.number == word:
                return True
        else:
            position += 1
    return False


@compiled
def is_text(text: Array, position: int) -> bool:
    """Tell whether the line at `position` is UTF-8, so far as lead and continuation bytes go together (RFC 3629)."""
    wanted = 0
    while text[position] != NEWLINE:
        byte = text[position]
        is_continuation = FIRST_CONTINUATION <= byte < FIRST_OF_TWO
        if is_continuation != (wanted > 0) or byte > LAST_OF_FOUR:
            return False
        if is_continuation:
            wanted -= 1
        elif byte >= FIRST_OF_TWO:
            wanted = 1 + (byte >= FIRST_OF_THREE) + (byte >= FIRST_OF_FOUR)
        position += 1
    return wanted == 0


@compiled
def kind_of_other(line: Line, text: Array, position: int) -> int:
    """The `Remark` of the line at `position`, which is none of those that are imported."""
    if line.is_list != 0:
        return Remark.LIST.value
    if line.seen & Seen.EVENT != 0:
        return kind_of_event(line.event)
    if not is_text(text, position):
        return Remark.SYNTAX.value
    if has_text(line, text, position, WORD_ERROR) or has_text(line, text, position, WORD_CODE):
        return Remark.ERROR.value
    if has_text(line, text, position, WORD_RESULT) or has_text(line, text, position, WORD_ID):
        return Remark.ANSWER.value
    return Remark.UNKNOWN.value
