"""One recorded Binance line, `<local time> <JSON>`, into numbers: ticks, lots, ids, times. No float, no allocation.

A line ends with a newline, which no JSON token may contain: every loop below stops at one, so a scan never leaves the
line, however broken it is. Keys of wrappers (`stream`, `data`, `result`, a recorder's own) and of the message in them
share no name, so all are read as one flat object, down to the one that names its event: what lies in that is its own
affair. Keys and event names are told apart by a fingerprint: their length and last seven letters.
"""

from crosswire.nic.memory.struct import Array
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.binance.fingerprint import LENGTH_MAX, fingerprint
from crosswire.venues.bridge.binance.line import (
    DIGITS_MAX,
    LEVELS_MAX,
    TIME_MAX_NS,
    TIME_MIN_NS,
    VALUE_MAX,
    Line,
    Number,
    Scale,
    Seen,
    fail,
    to_ns,
)
from crosswire.venues.bridge.binance.remark import Remark
from crosswire.venues.bridge.binance.sbe import scan_sbe

INTEGER_DIGITS_MAX = 19  # of an integer whose first digit is below 9: 9 * 10**18 < 2**63
DEPTH_MAX = 64  # nesting of a value that is skipped
WRAPPERS_MAX = 4  # nesting of the message's own object

NEWLINE, RETURN, SPACE, TAB = b"\n\r \t"
QUOTE, COLON, COMMA, POINT, BACKSLASH = b'":,.\\'
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = b"{}[]"
DIGIT_0, DIGIT_9, LETTER_T, LETTER_F = b"09tf"

SIX_LETTERS = (1 << 48) - 1
NO_NUMBER = -1
FIRST_PRICE = Number.PRICE_TICKS.value
FIRST_SIZE = Number.QTY_LOTS.value


KEY_STREAM = fingerprint("stream")
KEY_DATA = fingerprint("data")
KEY_EVENT = fingerprint("e")
KEY_EVENT_TIME = fingerprint("E")
KEY_TRANSACTION_TIME = fingerprint("T")
KEY_SYMBOL = fingerprint("s")
KEY_SNAPSHOT_SYMBOL = fingerprint("symbol")
KEY_FIRST_ID = fingerprint("U")
KEY_LAST_ID = fingerprint("u")
KEY_PREVIOUS_ID = fingerprint("pu")
KEY_TRADE_ID = fingerprint("t")
KEY_MAKER = fingerprint("m")
KEY_TRADE_KIND = fingerprint("X")
KEY_INDEX_PRICE = fingerprint("i")
KEY_FUNDING_RATE = fingerprint("r")
KEY_SNAPSHOT_ID = fingerprint("lastUpdateId")
KEY_PRICE = fingerprint("p")
KEY_SIZE = fingerprint("q")
KEY_BID = fingerprint("b")
KEY_BID_SIZE = fingerprint("B")
KEY_ASK = fingerprint("a")
KEY_ASK_SIZE = fingerprint("A")
KEY_BIDS = fingerprint("bids")
KEY_ASKS = fingerprint("asks")
TRADE_MARKET = fingerprint("MARKET")


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
        return fail(line, Remark.NUMBER, position)
    digits = position - start
    if digits > INTEGER_DIGITS_MAX or (digits == INTEGER_DIGITS_MAX and text[start] == DIGIT_9):
        return fail(line, Remark.RANGE, start)
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
            return fail(line, Remark.NUMBER, start)
    if digits == 0 or text[position] != QUOTE:
        return fail(line, Remark.NUMBER, start)
    if digits > DIGITS_MAX or mantissa > scale.mantissa_max[decimals]:
        return fail(line, Remark.RANGE, start)
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
        return fail(line, Remark.PRICE_OFF_TICK, position)
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
            return fail(line, Remark.SYNTAX, position)
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
            return fail(line, Remark.SYNTAX, position)
        position += 1
        byte = text[position]
    return position + 1


@compiled
def postpone_fault(line: Line) -> None:
    """Note what is wrong with a value for later: it matters only if the line is of a kind that is wanted."""
    if line.late_fault == Remark.NONE:
        line.late_fault = line.fault
        line.late_fault_position = line.fault_position
    line.fault = Remark.NONE
    line.number = 0


@compiled
def skip_value(line: Line, text: Array, position: int) -> int:
    """Pass over any JSON value; the position after it."""
    start = position
    depth = 0
    while True:
        byte = text[position]
        if byte == NEWLINE:
            return fail(line, Remark.SYNTAX, position)
        if byte == QUOTE:
            position += 1
            while text[position] != QUOTE:
                if text[position] == BACKSLASH:
                    position += 1
                if text[position] == NEWLINE:
                    return fail(line, Remark.SYNTAX, position)
                position += 1
        elif byte in (OPEN_OBJECT, OPEN_LIST):
            depth += 1
            if depth > DEPTH_MAX:
                return fail(line, Remark.SYNTAX, position)
        elif byte in (CLOSE_OBJECT, CLOSE_LIST):
            if depth == 0:
                return position if position > start else fail(line, Remark.SYNTAX, position)
            depth -= 1
            if depth == 0:
                return position + 1
        elif byte == COMMA and depth == 0:
            return position if position > start else fail(line, Remark.SYNTAX, position)
        position += 1


@compiled
def end_level(line: Line, text: Array, position: int) -> int:
    """Pass over what a level has behind its size, to the position after its closing bracket."""
    position = skip_space(text, position)
    while text[position] == COMMA:
        position = skip_value(line, text, skip_space(text, position + 1))
        if position == 0:
            return 0
        position = skip_space(text, position)
    return position + 1 if text[position] == CLOSE_LIST else fail(line, Remark.SYNTAX, position)


@compiled
def scan_levels(line: Line, text: Array, position: int, levels: Array) -> int:
    """Read `["price","size"],...]`, from after the opening bracket; `line.number` counts them. The position after.

    A level off the tick, or with a price or size that no order has, is left out and counted: no book has a place for
    it, and the others are right without it. What a level has behind its size is passed over: snapshots once had `[]`.
    """
    count = 0
    removals = 0
    position = skip_space(text, position)
    if text[position] == CLOSE_LIST:
        line.number = 0
        return position + 1
    while True:
        if text[position] != OPEN_LIST:
            return fail(line, Remark.SYNTAX, position)
        position = skip_space(text, position + 1)
        if text[position] != QUOTE:
            return fail(line, Remark.SYNTAX, position)
        if count == LEVELS_MAX:
            return fail(line, Remark.TOO_MANY_LEVELS, position)
        level = levels[count]
        position = scan_decimal(line, text, position + 1, line.price_scale)
        if position == 0:
            return 0
        is_off_tick = line.remainder != 0
        level.price_ticks = line.number
        position = skip_space(text, position)
        if text[position] != COMMA:
            return fail(line, Remark.SYNTAX, position)
        position = skip_space(text, position + 1)
        if text[position] != QUOTE:
            return fail(line, Remark.SYNTAX, position)
        position = scan_size(line, text, position + 1)
        if position == 0:
            return 0
        level.qty_lots = line.number
        position = end_level(line, text, position)
        if position == 0:
            return 0
        if is_off_tick:
            line.levels_off_tick += 1
        elif max(level.price_ticks, level.qty_lots) > VALUE_MAX or (level.price_ticks == 0 and level.qty_lots != 0):
            line.levels_unreal += 1
        else:
            count += 1
            removals += level.qty_lots == 0
        position = skip_space(text, position)
        if text[position] == CLOSE_LIST:
            line.number = count
            line.removals += removals
            return position + 1
        if text[position] != COMMA:
            return fail(line, Remark.SYNTAX, position)
        position = skip_space(text, position + 1)


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
        return Number.EVENT_TIME.value
    if key == KEY_TRANSACTION_TIME:
        return Number.TRANSACTION_TIME.value
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
    """Read the value of a key if plain digits belong to it; anything else is passed over.

    A fault waits for the kind of line to be known: in an order's report `t` may be -1.
    """
    index = number_of(key)
    if index == NO_NUMBER or index >= FIRST_PRICE:
        return skip_value(line, text, position)
    end = scan_integer(line, text, position)
    if end == 0:
        postpone_fault(line)
        return skip_value(line, text, position)
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
    if index == Number.PRICE_TICKS:
        line.price = position
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
        line.stream = position
        line.seen |= Seen.STREAM
    elif key in (KEY_SYMBOL, KEY_SNAPSHOT_SYMBOL):
        line.symbol = position
        line.seen |= Seen.SYMBOL
    elif key == KEY_INDEX_PRICE:
        line.index_price = position
        line.seen |= Seen.INDEX_PRICE
    elif key == KEY_FUNDING_RATE:
        line.funding_rate = position
        line.seen |= Seen.FUNDING_RATE
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
        if key == KEY_DATA:
            line.is_list = 1
        return skip_value(line, text, position)
    if key == KEY_MAKER and (byte in (LETTER_T, LETTER_F)):
        line.is_buyer_maker = 1 if byte == LETTER_T else 0
        line.seen |= Seen.MAKER
        return skip_value(line, text, position)
    return scan_number_key(line, text, position, key)


@compiled
def is_digit(byte: int) -> bool:
    """Tell whether a byte is a decimal digit."""
    return DIGIT_0 <= byte <= DIGIT_9


@compiled
def scan_local_time(line: Line, text: Array, position: int) -> int:
    """Read the time that a line begins with, in s, ms, us or ns, perhaps with decimals; the position after it."""
    end = scan_integer(line, text, position)
    if end != 0 and TIME_MIN_NS <= line.number < TIME_MAX_NS and text[end] == SPACE:
        line.local_time_ns = line.number
        return end
    line.fault = Remark.NONE
    return scan_other_time(line, text, position)


@compiled
def scan_other_time(line: Line, text: Array, position: int) -> int:
    """Read a local time that is not plain ns; the position after it."""
    start = skip_space(text, position)
    if text[start] == NEWLINE or (text[start] == RETURN and text[start + 1] == NEWLINE):
        return fail(line, Remark.BLANK, start)
    position = scan_integer(line, text, start)
    if position == 0:
        too_long = line.fault == Remark.RANGE
        line.fault = Remark.NONE
        return fail(line, Remark.TIME_RANGE if too_long else Remark.TIME, start)
    time_ns = to_ns(line.number)
    if text[position] == POINT and time_ns != 0:
        unit_ns = time_ns // line.number
        position += 1
        while is_digit(text[position]):
            unit_ns //= 10
            time_ns += (text[position] - DIGIT_0) * unit_ns
            position += 1
    if text[position] != SPACE and text[position] != TAB:
        return fail(line, Remark.TIME, position)
    if time_ns == 0:
        return fail(line, Remark.TIME_RANGE, start)
    line.local_time_ns = time_ns
    return position


@compiled
def end_line(line: Line, text: Array, position: int) -> int:
    """Check that the line ends here; the position of the next."""
    if text[position] == RETURN:
        position += 1
    return position + 1 if text[position] == NEWLINE else fail(line, Remark.SYNTAX, position)


@compiled
def scan_object(line: Line, text: Array, position: int) -> int:
    """Read the keys of the object that opens at `position`, and of those in it that wrap the message.

    The position after the object and what space follows it.
    """
    depth = 1
    position = skip_space(text, position + 1)
    while True:
        if text[position] != QUOTE:
            return fail(line, Remark.SYNTAX, position)
        position = scan_text(line, text, position + 1)
        if position == 0:
            return 0
        key = line.number
        position = skip_space(text, position)
        if text[position] != COLON:
            return fail(line, Remark.SYNTAX, position)
        position = skip_space(text, position + 1)
        if text[position] == OPEN_OBJECT and depth < WRAPPERS_MAX and line.seen & Seen.EVENT == 0:
            depth += 1
            position = skip_space(text, position + 1)
            if text[position] != CLOSE_OBJECT:
                continue
        else:
            position = scan_value(line, text, position, key)
            if position == 0:
                return 0
            position = skip_space(text, position)
        while text[position] == CLOSE_OBJECT and depth > 0:
            depth -= 1
            position = skip_space(text, position + 1)
        if depth == 0:
            return position
        if text[position] != COMMA:
            return fail(line, Remark.SYNTAX, position)
        position = skip_space(text, position + 1)


@compiled
def scan_line(line: Line, text: Array, position: int) -> int:
    """Read the line that begins at `position`; the position of the next, or 0 with `line.fault` set."""
    line.seen = 0
    line.fault = Remark.NONE
    line.late_fault = Remark.NONE
    line.sizes_rounded = 0
    line.levels_off_tick = 0
    line.levels_unreal = 0
    line.removals = 0
    line.is_list = 0
    line.is_binary = 0
    position = scan_local_time(line, text, position)
    if position == 0:
        return 0
    position = skip_space(text, position)
    if text[position] == OPEN_OBJECT:
        position = scan_object(line, text, position)
    elif text[position] == OPEN_LIST:
        line.is_list = 1
        position = skip_value(line, text, position)
        if position != 0:
            position = skip_space(text, position)
    elif text[position] == QUOTE:
        position = scan_sbe(line, text, position + 1)
    else:
        return fail(line, Remark.SYNTAX, position)
    return 0 if position == 0 else end_line(line, text, position)
