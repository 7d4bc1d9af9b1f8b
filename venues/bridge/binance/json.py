"""One recorded Binance line, `<local ns> <JSON>`, into numbers: ticks, lots, ids, times. No float, no allocation.

A line ends with a newline, which no JSON token may contain: every loop below stops at one, so a scan never leaves the
line, however broken it is. Keys of the wrapper (`stream`, `data`) and of the message in it share no name, so both are
read as one flat object. Keys and event names are told apart by a fingerprint: their length and last seven letters.
"""

from enum import IntEnum
from math import gcd
from typing import Annotated

from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire.layout import Level

LEVELS_MAX = 16_384  # a side of one message; the largest REST snapshot has 5,000
DIGITS_MAX = 18  # of a decimal: 10**18 < 2**63
INTEGER_DIGITS_MAX = 19  # of an integer whose first digit is below 9: 9 * 10**18 < 2**63
DEPTH_MAX = 64  # nesting of a value that is skipped

NEWLINE, RETURN, SPACE, TAB = b"\n\r \t"
QUOTE, COLON, COMMA, POINT, BACKSLASH = b'":,.\\'
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = b"{}[]"
DIGIT_0, DIGIT_9, LETTER_T, LETTER_F = b"09tf"

SIX_LETTERS = (1 << 48) - 1
LENGTH_MAX = 127


class Fault(IntEnum):
    """Why a line could not be read."""

    NONE = 0
    TIME = 1
    SYNTAX = 2
    NUMBER = 3
    RANGE = 4
    PRICE_OFF_TICK = 5
    TOO_MANY_LEVELS = 6
    MISSING_KEY = 7
    OTHER_SYMBOL = 8
    OTHER_MARKET = 9


FAULT_TEXTS = {
    Fault.TIME: "does not begin with a time in ns and a space",
    Fault.SYNTAX: "is not the JSON object that the venue sends",
    Fault.NUMBER: "holds a number that is not plain decimal digits",
    Fault.RANGE: "holds a number too large to count with",
    Fault.PRICE_OFF_TICK: "holds a price that is no multiple of the tick",
    Fault.TOO_MANY_LEVELS: f"holds more than {LEVELS_MAX} levels a side",
    Fault.MISSING_KEY: "lacks a key that its kind of message has",
    Fault.OTHER_SYMBOL: "is of another symbol; a file holds one",
    Fault.OTHER_MARKET: "is of another market; a file holds one",
}


class Number(IntEnum):
    """The numbers that a line may have. Index into `Line.numbers`."""

    # Plain digits.
    EVENT_TIME_MS = 0  # E
    TRANSACTION_TIME_MS = 1  # T
    FIRST_ID = 2  # U
    LAST_ID = 3  # u
    PREVIOUS_ID = 4  # pu: futures only
    TRADE_ID = 5  # t
    SNAPSHOT_ID = 6  # lastUpdateId
    # Prices, as texts.
    PRICE_TICKS = 7  # p
    BID_TICKS = 8  # b
    ASK_TICKS = 9  # a
    # Sizes, as texts.
    QTY_LOTS = 10  # q
    BID_LOTS = 11  # B
    ASK_LOTS = 12  # A


NO_NUMBER = -1
FIRST_PRICE = Number.PRICE_TICKS.value
FIRST_SIZE = Number.QTY_LOTS.value


class Seen(IntEnum):
    """Which keys a line has, one bit each; of a number the bit of its index."""

    EVENT_TIME = 1 << Number.EVENT_TIME_MS
    TRANSACTION_TIME = 1 << Number.TRANSACTION_TIME_MS
    FIRST_ID = 1 << Number.FIRST_ID
    LAST_ID = 1 << Number.LAST_ID
    PREVIOUS_ID = 1 << Number.PREVIOUS_ID
    TRADE_ID = 1 << Number.TRADE_ID
    SNAPSHOT_ID = 1 << Number.SNAPSHOT_ID
    PRICE = 1 << Number.PRICE_TICKS
    BID_PRICE = 1 << Number.BID_TICKS
    ASK_PRICE = 1 << Number.ASK_TICKS
    SIZE = 1 << Number.QTY_LOTS
    BID_SIZE = 1 << Number.BID_LOTS
    ASK_SIZE = 1 << Number.ASK_LOTS
    STREAM = 1 << 13
    EVENT = 1 << 14  # e
    SYMBOL = 1 << 15  # s, symbol
    PAIR = 1 << 16  # ps, pair: COIN-M only
    MAKER = 1 << 17  # m
    TRADE_KIND = 1 << 18  # X: futures only
    BIDS = 1 << 19  # b or bids as a list
    ASKS = 1 << 20  # a or asks as a list


def fingerprint(word: str) -> int:
    """Make one positive number of an ASCII word's length and last seven letters."""
    return min(len(word), LENGTH_MAX) << 56 | int.from_bytes(word.encode()[-7:], "big")


KEY_STREAM = fingerprint("stream")
KEY_DATA = fingerprint("data")
KEY_EVENT = fingerprint("e")
KEY_EVENT_TIME = fingerprint("E")
KEY_TRANSACTION_TIME = fingerprint("T")
KEY_SYMBOL = fingerprint("s")
KEY_SNAPSHOT_SYMBOL = fingerprint("symbol")
KEY_PAIR = fingerprint("ps")
KEY_SNAPSHOT_PAIR = fingerprint("pair")
KEY_FIRST_ID = fingerprint("U")
KEY_LAST_ID = fingerprint("u")
KEY_PREVIOUS_ID = fingerprint("pu")
KEY_TRADE_ID = fingerprint("t")
KEY_MAKER = fingerprint("m")
KEY_TRADE_KIND = fingerprint("X")
KEY_SNAPSHOT_ID = fingerprint("lastUpdateId")
KEY_PRICE = fingerprint("p")
KEY_SIZE = fingerprint("q")
KEY_BID = fingerprint("b")
KEY_BID_SIZE = fingerprint("B")
KEY_ASK = fingerprint("a")
KEY_ASK_SIZE = fingerprint("A")
KEY_BIDS = fingerprint("bids")
KEY_ASKS = fingerprint("asks")
EVENT_DEPTH = fingerprint("depthUpdate")
EVENT_QUOTE = fingerprint("bookTicker")
EVENT_TRADE = fingerprint("trade")
TRADE_MARKET = fingerprint("MARKET")


class Scale(Struct):
    """Decimal text to whole units: with d decimals, digits * multiplier[d] / divisor[d], exact or off the grid.

    mantissa_max -1: no text of so many decimals can be scaled.
    """

    mantissa_max: Annotated[Array, i64, DIGITS_MAX + 1]
    multiplier: Annotated[Array, i64, DIGITS_MAX + 1]
    divisor: Annotated[Array, i64, DIGITS_MAX + 1]


class Line(Struct):
    """What one line says. A field counts only if its bit in `seen` is set; positions are of the text's first letter."""

    seen: i64  # Seen
    fault: i64  # Fault
    fault_position: i64
    late_fault: i64  # Fault of a price, size or level list: it counts only if the line is of a kind that is wanted
    late_fault_position: i64
    number: i64  # result of the last `scan_*`
    remainder: i64  # what a decimal has beyond whole units
    sizes_rounded: i64  # sizes of this line that are no whole number of lots
    local_time_ns: i64
    event: i64  # fingerprint
    trade_kind: i64  # fingerprint
    symbol: i64  # position
    is_buyer_maker: i64
    numbers: Annotated[Array, i64, len(Number)]
    bid_count: i64
    ask_count: i64
    price_scale: Scale
    size_scale: Scale
    bids: Annotated[Pointer, Level]
    asks: Annotated[Pointer, Level]


def prepare_line(line: Line, price_unit_e9: int, size_unit_e9: int, size_one_e9: int) -> None:
    """Ready `line` for prices in multiples of `price_unit_e9`, and for sizes in lots of `size_unit_e9`.

    A size that the venue writes as 1 is `size_one_e9`.
    """
    line.bids = array(Level, LEVELS_MAX)
    line.asks = array(Level, LEVELS_MAX)
    _fill_scale(line.price_scale, 10**9, price_unit_e9)
    _fill_scale(line.size_scale, size_one_e9, size_unit_e9)


def _fill_scale(scale: Scale, one: int, unit: int) -> None:
    for decimals in range(DIGITS_MAX + 1):
        scale.mantissa_max[decimals] = -1
        numerator, denominator = one, unit * 10**decimals
        common = gcd(numerator, denominator)
        multiplier, divisor = numerator // common, denominator // common
        if multiplier < 1 << 62 and divisor < 1 << 62:
            scale.multiplier[decimals] = multiplier
            scale.divisor[decimals] = divisor
            scale.mantissa_max[decimals] = ((1 << 62) - 1) // multiplier


@compiled
def fail(line: Line, fault: int, position: int) -> int:
    """Note the line's first fault; the result, 0, is no position that a scan goes on from."""
    if line.fault == Fault.NONE:
        line.fault = fault
        line.fault_position = position
    return 0


@compiled
def skip_space(text: Array, position: int) -> int:
    """Find the next position that is neither space nor tab."""
    while text[position] == SPACE or text[position] == TAB:
        position += 1
    return position


@compiled
def scan_integer(line: Line, text: Array, position: int) -> int:
    """Read digits into `line.number`; the position after them."""
    start = position
    number = 0
    digit = text[position] - DIGIT_0
    while 0 <= digit <= 9:
        number = number * 10 + digit
        position += 1
        digit = text[position] - DIGIT_0
    if position == start:
        return fail(line, Fault.NUMBER, position)
    digits = position - start
    if digits > INTEGER_DIGITS_MAX or (digits == INTEGER_DIGITS_MAX and text[start] == DIGIT_9):
        return fail(line, Fault.RANGE, start)
    line.number = number
    return position


@compiled
def scan_decimal(line: Line, text: Array, position: int, scale: Scale) -> int:
    """Read a quoted decimal, from its first digit, into `line.number` as whole units of `scale`; the position after it.

    `line.remainder` is not 0 if it is no whole number of them.
    """
    start = position
    mantissa = 0
    decimals = 0
    digit = text[position] - DIGIT_0
    while 0 <= digit <= 9:
        mantissa = mantissa * 10 + digit
        position += 1
        digit = text[position] - DIGIT_0
    digits = position - start
    if text[position] == POINT and digits > 0:
        position += 1
        first_decimal = position
        digit = text[position] - DIGIT_0
        while 0 <= digit <= 9:
            mantissa = mantissa * 10 + digit
            position += 1
            digit = text[position] - DIGIT_0
        decimals = position - first_decimal
        digits += decimals
        if decimals == 0:
            return fail(line, Fault.NUMBER, start)
    if digits == 0 or text[position] != QUOTE:
        return fail(line, Fault.NUMBER, start)
    if digits > DIGITS_MAX or mantissa > scale.mantissa_max[decimals]:
        return fail(line, Fault.RANGE, start)
    divisor = scale.divisor[decimals]
    scaled = mantissa * scale.multiplier[decimals]
    number = scaled // divisor
    line.number = number
    line.remainder = scaled - number * divisor
    return position + 1


@compiled
def scan_price(line: Line, text: Array, position: int) -> int:
    """Read a quoted price, from its first digit, into `line.number` as ticks; the position after it."""
    end = scan_decimal(line, text, position, line.price_scale)
    if end != 0 and line.remainder != 0:
        return fail(line, Fault.PRICE_OFF_TICK, position)
    return end


@compiled
def scan_size(line: Line, text: Array, position: int) -> int:
    """Read a quoted size, from its first digit, into `line.number` as lots; the position after it.

    A fraction of a lot is left off and counted: nobody can trade it. It is what remains of orders that are older than
    the lot (3 of 192,000 sizes of spot BTCUSDT on 2024-08-08, all far from the market).
    """
    end = scan_decimal(line, text, position, line.size_scale)
    if end != 0 and line.remainder != 0:
        line.sizes_rounded += 1
    return end


@compiled
def scan_text(line: Line, text: Array, position: int) -> int:
    """Pass over a text, from its first letter, leaving its fingerprint in `line.number`; the position after it."""
    start = position
    letters = 0
    byte = text[position]
    while byte != QUOTE:
        if byte == BACKSLASH:
            position += 1
            byte = text[position]
        if byte == NEWLINE:
            return fail(line, Fault.SYNTAX, position)
        letters = (letters & SIX_LETTERS) << 8 | byte
        position += 1
        byte = text[position]
    line.number = min(position - start, LENGTH_MAX) << 56 | letters
    return position + 1


@compiled
def skip_text(line: Line, text: Array, position: int) -> int:
    """Pass over a text, from its first letter; the position after it."""
    byte = text[position]
    while byte != QUOTE:
        if byte == BACKSLASH:
            position += 1
            byte = text[position]
        if byte == NEWLINE:
            return fail(line, Fault.SYNTAX, position)
        position += 1
        byte = text[position]
    return position + 1


@compiled
def postpone_fault(line: Line) -> None:
    """Note what is wrong with a value for later: it matters only if the line is of a kind that is wanted."""
    if line.late_fault == Fault.NONE:
        line.late_fault = line.fault
        line.late_fault_position = line.fault_position
    line.fault = Fault.NONE
    line.number = 0


@compiled
def scan_levels(line: Line, text: Array, position: int, levels: Array) -> int:
    """Read `["price","size"],...]`, from after the opening bracket; `line.number` counts them. The position after."""
    count = 0
    position = skip_space(text, position)
    if text[position] == CLOSE_LIST:
        line.number = 0
        return position + 1
    while True:
        if text[position] != OPEN_LIST or text[position + 1] != QUOTE:
            return fail(line, Fault.SYNTAX, position)
        if count == LEVELS_MAX:
            return fail(line, Fault.TOO_MANY_LEVELS, position)
        level = levels[count]
        position = scan_price(line, text, position + 2)
        if position == 0:
            return 0
        level.price_ticks = line.number
        position = skip_space(text, position)
        if text[position] != COMMA:
            return fail(line, Fault.SYNTAX, position)
        position = skip_space(text, position + 1)
        if text[position] != QUOTE:
            return fail(line, Fault.SYNTAX, position)
        position = scan_size(line, text, position + 1)
        if position == 0:
            return 0
        level.qty_lots = line.number
        if text[position] != CLOSE_LIST:
            return fail(line, Fault.SYNTAX, position)
        count += 1
        position = skip_space(text, position + 1)
        if text[position] == CLOSE_LIST:
            line.number = count
            return position + 1
        if text[position] != COMMA:
            return fail(line, Fault.SYNTAX, position)
        position = skip_space(text, position + 1)


@compiled
def skip_value(line: Line, text: Array, position: int) -> int:
    """Pass over any JSON value; the position after it."""
    start = position
    depth = 0
    while True:
        byte = text[position]
        if byte == NEWLINE:
            return fail(line, Fault.SYNTAX, position)
        if byte == QUOTE:
            position += 1
            while text[position] != QUOTE:
                if text[position] == BACKSLASH:
                    position += 1
                if text[position] == NEWLINE:
                    return fail(line, Fault.SYNTAX, position)
                position += 1
        elif byte in (OPEN_OBJECT, OPEN_LIST):
            depth += 1
            if depth > DEPTH_MAX:
                return fail(line, Fault.SYNTAX, position)
        elif byte in (CLOSE_OBJECT, CLOSE_LIST):
            if depth == 0:
                return position if position > start else fail(line, Fault.SYNTAX, position)
            depth -= 1
        elif byte == COMMA and depth == 0:
            return position if position > start else fail(line, Fault.SYNTAX, position)
        position += 1


@compiled
def scan_side(line: Line, text: Array, position: int, is_bid: bool) -> int:
    """Read the list of one side, from its opening bracket. A fault waits for the kind of line to be known."""
    end = scan_levels(line, text, position + 1, line.bids if is_bid else line.asks)
    if end == 0:
        postpone_fault(line)
        end = skip_value(line, text, position)
    if is_bid:
        line.bid_count = line.number
        line.seen |= Seen.BIDS
    else:
        line.ask_count = line.number
        line.seen |= Seen.ASKS
    return end


@compiled
def number_of(key: int) -> int:
    """The `Number` of a key, NO_NUMBER if it has none."""
    if key == KEY_BID:
        return Number.BID_TICKS.value
    if key == KEY_BID_SIZE:
        return Number.BID_LOTS.value
    if key == KEY_ASK:
        return Number.ASK_TICKS.value
    if key == KEY_ASK_SIZE:
        return Number.ASK_LOTS.value
    if key == KEY_PRICE:
        return Number.PRICE_TICKS.value
    if key == KEY_SIZE:
        return Number.QTY_LOTS.value
    if key == KEY_EVENT_TIME:
        return Number.EVENT_TIME_MS.value
    if key == KEY_TRANSACTION_TIME:
        return Number.TRANSACTION_TIME_MS.value
    if key == KEY_FIRST_ID:
        return Number.FIRST_ID.value
    if key == KEY_LAST_ID:
        return Number.LAST_ID.value
    if key == KEY_PREVIOUS_ID:
        return Number.PREVIOUS_ID.value
    if key == KEY_TRADE_ID:
        return Number.TRADE_ID.value
    if key == KEY_SNAPSHOT_ID:
        return Number.SNAPSHOT_ID.value
    return NO_NUMBER


@compiled
def keep_number(line: Line, index: int) -> None:
    """Keep the number that was just read as that of a key."""
    line.numbers[index] = line.number
    line.seen |= 1 << index


@compiled
def scan_number_key(line: Line, text: Array, position: int, key: int) -> int:
    """Read the value of a key if plain digits belong to it; anything else is passed over."""
    index = number_of(key)
    if index == NO_NUMBER or index >= FIRST_PRICE:
        return skip_value(line, text, position)
    end = scan_integer(line, text, position)
    keep_number(line, index)
    return end


@compiled
def scan_decimal_key(line: Line, text: Array, position: int, index: int) -> int:
    """Read the price or size of that index, from its first digit. A fault waits for the kind of line to be known."""
    if index < FIRST_SIZE:
        end = scan_price(line, text, position)
    else:
        end = scan_size(line, text, position)
    if end == 0:
        postpone_fault(line)
        end = skip_text(line, text, position)
    keep_number(line, index)
    return end


@compiled
def scan_text_key(line: Line, text: Array, position: int, key: int) -> int:
    """Read the value of a key if a text belongs to it, from its first letter."""
    index = number_of(key)
    if index >= FIRST_PRICE:
        return scan_decimal_key(line, text, position, index)
    if key in (KEY_EVENT, KEY_TRADE_KIND):
        end = scan_text(line, text, position)
        if key == KEY_EVENT:
            line.event = line.number
            line.seen |= Seen.EVENT
        else:
            line.trade_kind = line.number
            line.seen |= Seen.TRADE_KIND
        return end
    if key == KEY_STREAM:
        line.seen |= Seen.STREAM
    elif key in (KEY_SYMBOL, KEY_SNAPSHOT_SYMBOL):
        line.symbol = position
        line.seen |= Seen.SYMBOL
    elif key in (KEY_PAIR, KEY_SNAPSHOT_PAIR):
        line.seen |= Seen.PAIR
    return skip_text(line, text, position)


@compiled
def scan_value(line: Line, text: Array, position: int, key: int) -> int:
    """Read the value of one key; the position after it."""
    byte = text[position]
    if byte == QUOTE:
        return scan_text_key(line, text, position + 1, key)
    if byte == OPEN_LIST:
        if key in (KEY_BID, KEY_BIDS):
            return scan_side(line, text, position, True)
        if key in (KEY_ASK, KEY_ASKS):
            return scan_side(line, text, position, False)
        return skip_value(line, text, position)
    if key == KEY_MAKER and (byte in (LETTER_T, LETTER_F)):
        line.is_buyer_maker = 1 if byte == LETTER_T else 0
        line.seen |= Seen.MAKER
        return skip_value(line, text, position)
    return scan_number_key(line, text, position, key)


@compiled
def scan_line(line: Line, text: Array, position: int) -> int:
    """Read the line that begins at `position`; the position of the next, or 0 with `line.fault` set."""
    line.seen = 0
    line.fault = Fault.NONE
    line.late_fault = Fault.NONE
    line.sizes_rounded = 0
    begin = position
    position = scan_integer(line, text, position)
    if position == 0 or text[position] != SPACE:
        line.fault = Fault.NONE
        return fail(line, Fault.TIME, max(begin, position))
    line.local_time_ns = line.number
    position = skip_space(text, position)
    if text[position] != OPEN_OBJECT:
        return fail(line, Fault.SYNTAX, position)
    depth = 1
    position = skip_space(text, position + 1)
    while True:
        if text[position] != QUOTE:
            return fail(line, Fault.SYNTAX, position)
        position = scan_text(line, text, position + 1)
        if position == 0:
            return 0
        key = line.number
        position = skip_space(text, position)
        if text[position] != COLON:
            return fail(line, Fault.SYNTAX, position)
        position = skip_space(text, position + 1)
        if key == KEY_DATA and text[position] == OPEN_OBJECT and depth == 1:
            depth = 2
            position = skip_space(text, position + 1)
            continue
        position = scan_value(line, text, position, key)
        if position == 0:
            return 0
        position = skip_space(text, position)
        while text[position] == CLOSE_OBJECT and depth > 0:
            depth -= 1
            position = skip_space(text, position + 1)
        if depth == 0:
            if text[position] == RETURN:
                position += 1
            return position + 1 if text[position] == NEWLINE else fail(line, Fault.SYNTAX, position)
        if text[position] != COMMA:
            return fail(line, Fault.SYNTAX, position)
        position = skip_space(text, position + 1)
