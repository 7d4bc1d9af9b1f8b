"""What a `markPriceUpdate` of the futures says: the mark price, and the payment of funding that is next.

`p` is the mark price, `i` the index price, `r` the funding rate, which a perpetual alone has ("" for a delivery
contract), and `T` the time of the next payment in ms (0 for a delivery contract); `E` is when it was sent.

Source: developers.binance.com, "Mark Price Stream" of USD-M and of COIN-M futures.
"""

from crosswire.nic.memory.struct import Array
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.binance.clock import STALL_MAX_NS
from crosswire.venues.bridge.binance.fingerprint import fingerprint
from crosswire.venues.bridge.binance.json import QUOTE, scan_decimal
from crosswire.venues.bridge.binance.line import Line, Number, Seen, fail, to_ns
from crosswire.venues.bridge.binance.remark import Remark
from crosswire.venues.bridge.wire.layout import MarkPrice
from crosswire.venues.money.funding import RATE_E9_MAX
from crosswire.venues.money.payments import AHEAD_NS_MAX

EVENT_MARK_PRICE = fingerprint("markPriceUpdate")
MARK_PRICE_KEYS = Seen.EVENT_TIME | Seen.PRICE | Seen.TRANSACTION_TIME
MINUS = ord("-")


@compiled
def is_mark_price(line: Line) -> bool:
    """Tell whether the line's event is a mark price: its `T` is a time to come, and no exchange's clock."""
    return line.seen & Seen.EVENT != 0 and line.event == EVENT_MARK_PRICE


@compiled
def require_mark_price(line: Line, position: int) -> bool:
    """Check that the line has all keys, and no value that could not be read but for a price off the tick."""
    if line.late_fault != Remark.NONE and line.late_fault_position != line.price:
        fail(line, line.late_fault, line.late_fault_position)
    elif line.seen & MARK_PRICE_KEYS != MARK_PRICE_KEYS:
        fail(line, Remark.MISSING_KEY, position)
    return line.fault == Remark.NONE


@compiled
def scan_e9(line: Line, text: Array, position: int) -> int:
    """Read a quoted decimal, from its first digit, as whole units of 1e-9; what is finer is the line's fault."""
    if scan_decimal(line, text, position, line.e9_scale) == 0:
        return 0
    if line.remainder != 0:
        fail(line, Remark.VALUE, position)
    return line.number


@compiled
def scan_index_e9(line: Line, text: Array) -> int:
    """Read the index price; 0: it is not told."""
    if line.seen & Seen.INDEX_PRICE == 0 or text[line.index_price] == QUOTE:
        return 0
    return scan_e9(line, text, line.index_price)


@compiled
def scan_rate_e9(line: Line, text: Array, position: int) -> int:
    """Read the funding rate, which there must be where there is a payment."""
    if line.seen & Seen.FUNDING_RATE == 0 or text[line.funding_rate] == QUOTE:
        fail(line, Remark.MISSING_KEY, position)
        return 0
    if text[line.funding_rate] == MINUS:
        return -scan_e9(line, text, line.funding_rate + 1)
    return scan_e9(line, text, line.funding_rate)


@compiled
def read_mark_price(line: Line, text: Array, position: int, now_ns: int, mark: MarkPrice) -> bool:
    """Read what the line at `position` tells into `mark`, if it can be at that time; the line is at fault if not."""
    if not require_mark_price(line, position):
        return False
    mark.mark_price_e9 = scan_e9(line, text, line.price)
    mark.index_price_e9 = scan_index_e9(line, text)
    mark.funding_rate_e9 = 0
    mark.next_funding_ns = 0
    is_possible = mark.mark_price_e9 > 0
    if line.numbers[Number.TRANSACTION_TIME] != 0:
        next_ns = to_ns(line.numbers[Number.TRANSACTION_TIME])
        rate_e9 = scan_rate_e9(line, text, position)
        mark.next_funding_ns = next_ns
        mark.funding_rate_e9 = rate_e9
        is_possible = is_possible and -STALL_MAX_NS <= next_ns - now_ns <= AHEAD_NS_MAX and abs(rate_e9) <= RATE_E9_MAX
    if not is_possible:
        fail(line, Remark.VALUE, position)
    return line.fault == Remark.NONE
