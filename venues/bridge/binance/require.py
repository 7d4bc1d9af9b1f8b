"""What a line must have, and may say, to be what it looks like."""

from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID
from crosswire.venues.bridge.binance.line import VALUE_MAX, Line, Number, Seen, fail
from crosswire.venues.bridge.binance.remark import Remark

BOOK_TICKER_KEYS = Seen.LAST_ID | Seen.BID_PRICE | Seen.BID_SIZE | Seen.ASK_PRICE | Seen.ASK_SIZE
TRADE_KEYS = Seen.TRADE_ID | Seen.PRICE | Seen.SIZE | Seen.MAKER
DEPTH_KEYS = Seen.FIRST_ID | Seen.LAST_ID | Seen.BIDS | Seen.ASKS
SNAPSHOT_KEYS = Seen.SNAPSHOT_ID | Seen.BIDS | Seen.ASKS


@compiled
def require(line: Line, keys: int, position: int) -> bool:
    """Check that the line has all `keys` and its prices and sizes could be read; it is at fault if not."""
    if line.late_fault != Remark.NONE:
        fail(line, line.late_fault, line.late_fault_position)
        return False
    if line.seen & keys != keys:
        fail(line, Remark.MISSING_KEY, position)
        return False
    return True


@compiled
def require_quote(line: Line, position: int) -> bool:
    """Check that a bookTicker can be one: it has both sides, uncrossed, and a side of size 0 is empty."""
    numbers = line.numbers
    bid, ask = numbers[Number.BID_TICKS], numbers[Number.ASK_TICKS]
    bid_lots, ask_lots = numbers[Number.BID_LOTS], numbers[Number.ASK_LOTS]
    if not require(line, BOOK_TICKER_KEYS, position):
        return False
    is_free = (bid == 0 and bid_lots != 0) or (ask == 0 and ask_lots != 0)
    is_crossed = bid_lots != 0 and ask_lots != 0 and bid >= ask
    if is_free or is_crossed or max(bid, ask, bid_lots, ask_lots) > VALUE_MAX:
        fail(line, Remark.VALUE, position)
        return False
    return True


@compiled
def require_trade(line: Line, position: int) -> bool:
    """Check that a trade can be one: it has a price and a size, though that may be less than a lot."""
    price, lots = line.numbers[Number.PRICE_TICKS], line.numbers[Number.QTY_LOTS]
    if not require(line, TRADE_KEYS, position):
        return False
    if price == 0 or max(price, lots) > VALUE_MAX or (lots == 0 and line.sizes_rounded == 0):
        fail(line, Remark.VALUE, position)
        return False
    return True


@compiled
def require_snapshot(line: Line, position: int) -> bool:
    """Check that a snapshot can be one: its best bid is below its best ask."""
    if not require(line, SNAPSHOT_KEYS, position):
        return False
    bid, ask = NO_BID, NO_ASK
    for index in range(line.bid_count):
        if line.bids[index].qty_lots != 0:
            bid = max(bid, line.bids[index].price_ticks)
    for index in range(line.ask_count):
        if line.asks[index].qty_lots != 0:
            ask = min(ask, line.asks[index].price_ticks)
    if bid >= ask:
        fail(line, Remark.VALUE, position)
        return False
    return True
