"""What one recorded line says, as numbers, and what its texts are scaled by."""

from enum import IntEnum
from math import gcd
from typing import Annotated

from crosswire.nic.duration import NS_PER_MS, NS_PER_S, NS_PER_US
from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64, u8
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.binance.remark import Remark
from crosswire.venues.bridge.wire.layout import VALUE_BITS, Level

LEVELS_MAX = 16_384  # a side of one message; the largest REST snapshot has 5,000
BINARY_BYTES_MAX = 1 << 18  # of one SBE message; 5,000 levels a side take 160 kB
VALUE_MAX = (1 << VALUE_BITS) - 1  # of ticks and of lots, to whoever reads the capture
DIGITS_MAX = 18  # of a decimal: 10**18 < 2**63
TIME_MIN_NS = 1_230_768_000 * NS_PER_S  # 2009: there was nothing to record before
TIME_MAX_NS = 4_102_444_800 * NS_PER_S  # 2100: below it no time in s, ms or us is taken for one in another unit


class Number(IntEnum):
    """The numbers that a line may have. Index into `Line.numbers`."""

    # Plain digits. Times are in whatever unit the stream was asked for.
    EVENT_TIME = 0  # E
    TRANSACTION_TIME = 1  # T
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

    EVENT_TIME = 1 << Number.EVENT_TIME
    TRANSACTION_TIME = 1 << Number.TRANSACTION_TIME
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
    MAKER = 1 << 16  # m
    TRADE_KIND = 1 << 17  # X: futures only
    BIDS = 1 << 18  # b or bids as a list
    ASKS = 1 << 19  # a or asks as a list
    INDEX_PRICE = 1 << 20  # i as a text: futures only
    FUNDING_RATE = 1 << 21  # r as a text: futures only


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
    fault: i64  # Remark: why it could not be read
    fault_position: i64
    late_fault: i64  # Remark of a value: it counts only if the line is of a kind that is wanted
    late_fault_position: i64
    number: i64  # result of the last `scan_*`
    remainder: i64  # what a decimal has beyond whole units
    sizes_rounded: i64  # sizes of this line that are no whole number of lots
    levels_off_tick: i64  # levels of this line that were left out
    levels_unreal: i64  # levels of this line that were left out, since no order has such a price or size
    removals: i64  # levels of this line of size 0
    is_binary: i64  # 1: an SBE message; `symbol` is a position in `binary`
    trade_count: i64  # of an SBE message
    trades: i64  # position of their group's entries in `binary`
    trade_stride: i64  # bytes from one to the next
    price_exponent: i64  # of an SBE message
    size_exponent: i64
    is_list: i64  # 1: a list of messages, which was passed over
    local_time_ns: i64
    exchange_time_ns: i64  # of the matching, else when it was sent, else 0
    event: i64  # fingerprint
    trade_kind: i64  # fingerprint
    symbol: i64  # position
    stream: i64  # position of its name
    price: i64  # position: a mark price is no whole number of ticks
    index_price: i64  # position
    funding_rate: i64  # position
    is_buyer_maker: i64
    numbers: Annotated[Array, i64, len(Number)]
    bid_count: i64
    ask_count: i64
    price_scale: Scale
    size_scale: Scale
    e9_scale: Scale  # to units of 1e-9
    bids: Annotated[Pointer, Level]
    asks: Annotated[Pointer, Level]
    binary: Annotated[Pointer, u8]  # BINARY_BYTES_MAX


def prepare_line(line: Line, price_unit_e9: int, size_unit_e9: int, size_one_e9: int) -> None:
    """Ready `line` for prices in multiples of `price_unit_e9`, and for sizes in lots of `size_unit_e9`.

    A size that the venue writes as 1 is `size_one_e9`.
    """
    line.bids = array(Level, LEVELS_MAX)
    line.asks = array(Level, LEVELS_MAX)
    line.binary = array(u8, BINARY_BYTES_MAX)
    _fill_scale(line.price_scale, 10**9, price_unit_e9)
    _fill_scale(line.size_scale, size_one_e9, size_unit_e9)
    _fill_scale(line.e9_scale, 10**9, 1)


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
def to_ns(time: int) -> int:
    """Convert a time since the epoch to ns, its unit told from its size: s, ms, us or ns. 0: not of 2009 to 2100."""
    if TIME_MIN_NS // NS_PER_MS <= time < TIME_MAX_NS // NS_PER_MS:
        return time * NS_PER_MS
    if TIME_MIN_NS <= time < TIME_MAX_NS:
        return time
    if TIME_MIN_NS // NS_PER_US <= time < TIME_MAX_NS // NS_PER_US:
        return time * NS_PER_US
    if TIME_MIN_NS // NS_PER_S <= time < TIME_MAX_NS // NS_PER_S:
        return time * NS_PER_S
    return 0


@compiled
def fail(line: Line, fault: int, position: int) -> int:
    """Note the line's first fault; the result, 0, is no position that a scan goes on from."""
    if line.fault == Remark.NONE:
        line.fault = fault
        line.fault_position = position
    return 0
