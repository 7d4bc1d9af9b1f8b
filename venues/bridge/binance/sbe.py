"""One SBE message of Binance's spot streams, into the same numbers as a line of JSON.

A line holds it as `"<base64>"`, so that whatever holds, records and replays lines of JSON does so with these. Every
block, group and text is proven to lie in the message before it is read.
"""

from crosswire.nic.memory.struct import Array, address_of, size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.binance.fingerprint import fingerprint
from crosswire.venues.bridge.binance.line import (
    BINARY_BYTES_MAX,
    DIGITS_MAX,
    LEVELS_MAX,
    VALUE_MAX,
    Line,
    Number,
    Scale,
    Seen,
    fail,
)
from crosswire.venues.bridge.binance.remark import Remark
from crosswire.venues.bridge.binance.sbe_layout import (
    SCHEMA_ID,
    BestBidAsk,
    DepthDiff,
    GroupHeader,
    Level,
    MessageHeader,
    Template,
    Trade,
    TradeGroupHeader,
    Trades,
)

UPPER_A, UPPER_Z, LOWER_A, LOWER_Z, DIGIT_0, DIGIT_9, PLUS, SLASH, PAD, QUOTE = b'AZaz09+/="'
LOWER_FIRST, DIGIT_FIRST, PLUS_VALUE, SLASH_VALUE = 26, 52, 62, 63  # of the alphabet of RFC 4648
SIX_BITS, BYTE_BITS = 6, 8
NO_VALUE = -1
EVENT_DEPTH = fingerprint("depthUpdate")
EVENT_QUOTE = fingerprint("bookTicker")
EVENT_TRADE = fingerprint("trade")


@compiled
def value_of(letter: int) -> int:
    """The six bits that a letter of base64 stands for; NO_VALUE: it is none."""
    if UPPER_A <= letter <= UPPER_Z:
        return letter - UPPER_A
    if LOWER_A <= letter <= LOWER_Z:
        return letter - LOWER_A + LOWER_FIRST
    if DIGIT_0 <= letter <= DIGIT_9:
        return letter - DIGIT_0 + DIGIT_FIRST
    if letter == PLUS:
        return PLUS_VALUE
    return SLASH_VALUE if letter == SLASH else NO_VALUE


@compiled
def decode_base64(line: Line, text: Array, position: int) -> int:
    """Decode base64 from `position` into `line.binary`, `line.number` bytes; the position after it and its quote."""
    bits = 0
    held = 0
    count = 0
    value = value_of(text[position])
    while value != NO_VALUE:
        held = held << SIX_BITS | value
        bits += SIX_BITS
        if bits >= BYTE_BITS:
            bits -= BYTE_BITS
            if count == BINARY_BYTES_MAX - 1:  # one byte is kept free for the quote behind a symbol
                return fail(line, Remark.RANGE, position)
            line.binary[count] = held >> bits & 0xFF
            held &= (1 << bits) - 1
            count += 1
        position += 1
        value = value_of(text[position])
    while text[position] == PAD:
        position += 1
    line.number = count
    return position + 1 if text[position] == QUOTE else fail(line, Remark.SYNTAX, position)


@compiled
def scale_mantissa(line: Line, mantissa: int, exponent: int, scale: Scale) -> bool:
    """Convert mantissa * 10**exponent into `line.number` whole units of `scale`, with what remains; False: it can't."""
    decimals = -exponent
    if not 0 <= decimals <= DIGITS_MAX or mantissa < 0 or mantissa > scale.mantissa_max[decimals]:
        return False
    divisor = scale.divisor[decimals]
    scaled = mantissa * scale.multiplier[decimals]
    line.number = scaled // divisor
    line.remainder = scaled - line.number * divisor
    return True


@compiled
def keep_price(line: Line, index: int, mantissa: int) -> bool:
    """Keep a price as the number of that index; False: it can't be one."""
    if not scale_mantissa(line, mantissa, line.price_exponent, line.price_scale) or line.remainder != 0:
        return False
    line.numbers[index] = line.number
    line.seen |= 1 << index
    return True


@compiled
def keep_size(line: Line, index: int, mantissa: int) -> bool:
    """Keep a size as the number of that index; False: it can't be one."""
    if not scale_mantissa(line, mantissa, line.size_exponent, line.size_scale):
        return False
    line.sizes_rounded += line.remainder != 0
    line.numbers[index] = line.number
    line.seen |= 1 << index
    return True


@compiled
def keep_integer(line: Line, index: int, value: int) -> None:
    """Keep a time or an id; one below zero stands for none, and is missed where it is needed."""
    if value >= 0:
        line.numbers[index] = value
        line.seen |= 1 << index


@compiled
def scan_sbe_levels(line: Line, position: int, end: int, levels: Array) -> int:
    """Read a side's group at `position` of `line.binary`; `line.number` counts what is kept. Where it ends, or -1."""
    if end - position < size_of(GroupHeader):
        return -1
    base = address_of(line.binary)
    group = view(GroupHeader, base + position)
    stride, entries = group.block_length, group.num_in_group
    first = position + size_of(GroupHeader)
    after = first + stride * entries
    if stride < size_of(Level) or after > end or entries > LEVELS_MAX:
        return -1
    count = 0
    for index in range(entries):
        entry = view(Level, base + first + index * stride)
        level = levels[count]
        if not scale_mantissa(line, entry.price, line.price_exponent, line.price_scale):
            return -1
        is_off_tick = line.remainder != 0
        level.price_ticks = line.number
        if not scale_mantissa(line, entry.qty, line.size_exponent, line.size_scale):
            return -1
        line.sizes_rounded += line.remainder != 0
        level.qty_lots = line.number
        if is_off_tick:
            line.levels_off_tick += 1
        elif max(level.price_ticks, level.qty_lots) > VALUE_MAX or (level.price_ticks == 0 and level.qty_lots != 0):
            line.levels_unreal += 1
        else:
            count += 1
            line.removals += level.qty_lots == 0
    line.number = count
    return after


@compiled
def scan_sbe_depth(line: Line, block: int, end: int, after: int) -> int:
    """Read a depth diff; where its groups end, or -1."""
    root = view(DepthDiff, address_of(line.binary) + block)
    line.event = EVENT_DEPTH
    line.price_exponent = root.price_exponent
    line.size_exponent = root.qty_exponent
    keep_integer(line, Number.EVENT_TIME, root.event_time)
    keep_integer(line, Number.FIRST_ID, root.first_book_update_id)
    keep_integer(line, Number.LAST_ID, root.last_book_update_id)
    after = scan_sbe_levels(line, after, end, line.bids)
    if after < 0:
        return -1
    line.bid_count = line.number
    after = scan_sbe_levels(line, after, end, line.asks)
    line.ask_count = line.number
    line.seen |= Seen.BIDS | Seen.ASKS
    return after


@compiled
def scan_sbe_quote(line: Line, block: int, after: int) -> int:
    """Read a best bid and ask; where its groups, of which it has none, end, or -1."""
    root = view(BestBidAsk, address_of(line.binary) + block)
    line.event = EVENT_QUOTE
    line.price_exponent = root.price_exponent
    line.size_exponent = root.qty_exponent
    keep_integer(line, Number.EVENT_TIME, root.event_time)
    keep_integer(line, Number.LAST_ID, root.book_update_id)
    can_be = (
        keep_price(line, Number.BID_TICKS, root.bid_price)
        and keep_size(line, Number.BID_LOTS, root.bid_qty)
        and keep_price(line, Number.ASK_TICKS, root.ask_price)
        and keep_size(line, Number.ASK_LOTS, root.ask_qty)
    )
    return after if can_be else -1


@compiled
def scan_sbe_trades(line: Line, block: int, end: int, after: int) -> int:
    """Read where the trades of a message are; where they end, or -1."""
    base = address_of(line.binary)
    root = view(Trades, base + block)
    line.event = EVENT_TRADE
    line.price_exponent = root.price_exponent
    line.size_exponent = root.qty_exponent
    keep_integer(line, Number.EVENT_TIME, root.event_time)
    keep_integer(line, Number.TRANSACTION_TIME, root.transact_time)
    if end - after < size_of(TradeGroupHeader):
        return -1
    group = view(TradeGroupHeader, base + after)
    stride, entries = group.block_length, group.num_in_group
    line.trades = after + size_of(TradeGroupHeader)
    after = line.trades + stride * entries
    if stride < size_of(Trade) or after > end:
        return -1
    line.trade_count = entries
    line.trade_stride = stride
    return after


@compiled
def take_trade(line: Line, index: int) -> None:
    """Take the numbers of one trade of the message, as a line of JSON would have given them."""
    entry = view(Trade, address_of(line.binary) + line.trades + index * line.trade_stride)
    line.late_fault = Remark.NONE
    line.sizes_rounded = 0
    line.seen |= Seen.MAKER
    line.is_buyer_maker = entry.is_buyer_maker
    keep_integer(line, Number.TRADE_ID, entry.id)
    is_price = keep_price(line, Number.PRICE_TICKS, entry.price)
    if not (keep_size(line, Number.QTY_LOTS, entry.qty) and is_price and entry.id >= 0):
        line.late_fault = Remark.VALUE


@compiled
def scan_sbe_symbol(line: Line, position: int, end: int) -> bool:
    """Find the symbol at `position` of `line.binary`, and close it with a quote, as in JSON; False: it is not there."""
    if position < 0 or position >= end:
        return False
    length = line.binary[position]
    if position + 1 + length > end:
        return False
    line.symbol = position + 1
    line.binary[position + 1 + length] = QUOTE
    line.seen |= Seen.SYMBOL | Seen.EVENT
    return True


@compiled
def scan_sbe(line: Line, text: Array, position: int) -> int:
    """Read a message in base64, from its first letter; the position after its quote, or 0 with `line.fault` set."""
    after_text = decode_base64(line, text, position)
    if after_text == 0:
        return 0
    end = line.number
    if end < size_of(MessageHeader):
        return fail(line, Remark.SYNTAX, position)
    header = view(MessageHeader, address_of(line.binary))
    block = size_of(MessageHeader)
    after = block + header.block_length
    template_id = header.template_id
    if header.schema_id != SCHEMA_ID or after > end:
        return fail(line, Remark.SYNTAX, position)
    line.is_binary = 1
    if template_id == Template.DEPTH_DIFF and header.block_length >= size_of(DepthDiff):
        after = scan_sbe_depth(line, block, end, after)
    elif template_id == Template.BEST_BID_ASK and header.block_length >= size_of(BestBidAsk):
        after = scan_sbe_quote(line, block, after)
    elif template_id == Template.TRADES and header.block_length >= size_of(Trades):
        after = scan_sbe_trades(line, block, end, after)
    else:
        return fail(line, Remark.SYNTAX, position)
    if after < 0 or not scan_sbe_symbol(line, after, end):
        return fail(line, Remark.VALUE, position)
    return after_text
