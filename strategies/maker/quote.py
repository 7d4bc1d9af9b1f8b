"""One side of a strategy's quotes: a post-only order, kept where it stands in the queue until it is to go.

    NONE ──place──► ASKED ──live──► RESTING ──amend──► AMENDING ──answer──► RESTING
      ▲                                │                  │
      └──── ended, from any state ◄────┴─► CANCELLING ◄───┘

A strategy learns an order's number with the first answer: before that it can't be cancelled. What is asked for and not
answered within the time that its strategy allows is overdue: nobody knows whether it rests.

**Queue ahead.** What the book showed at the price when the order was sent, less what has traded there since, and never
more than the level shows: every cancel is taken to be behind us while that can be, as the simulated exchange's
`risk_averse` model does. Who came between our sending and our arrival is not seen, so it is too low by those. A feed
that shows our own order counts it only until the level has shrunk.
"""

from enum import IntEnum

from crosswire.nic.memory.struct import Struct, clear_struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk, amend, cancel, next_trade_id, record_value, submit
from crosswire.venues.book.book import Book, executable_lots
from crosswire.venues.instrument import E9
from crosswire.venues.order import POST_ONLY, AmendState, Order, OrderState, RejectReason
from crosswire.venues.side import BUY

# In a quote's tag, beside its side; a leg's tag (`strategies.legs`) is smaller.
QUOTE_TAG = 1 << 32
REFUSED_PAUSE_NS = 100_000_000  # before the next try, when gate or venue have refused a quote or taken it away
RECORD_PAUSE_NS = 10_000_000  # between two values of the queue ahead
AHEAD_MAX = 1 << 33  # lots that are recorded: times 1e9 they fit 64 bits


class QuoteState(IntEnum):
    NONE = 0  # no order is out
    ASKED = 1  # a new order is out, and not answered
    RESTING = 2  # and nothing is asked of it
    AMENDING = 3
    CANCELLING = 4


class Quote(Struct):
    """The order of one side. All but `due_ns` is of the order that is out."""

    state: i64  # QuoteState
    client_order_id: i64  # 0 until the first answer
    trade_id: i64
    hedged_trade_id: i64  # of the trade that its last fill is part of; 0: there was none
    price_ticks: i64
    qty_lots: i64
    filled_lots: i64
    amend_ticks: i64  # AMENDING: the price asked for
    asked_ns: i64  # when the venue was asked for something last
    due_ns: i64  # nothing is placed or moved before
    is_unwanted: i64  # 1: an amend was refused, so it is to be cancelled
    is_overdue: i64  # 1: what was asked for has no answer in time
    listing: i64  # where it would be hedged
    hedge_ticks: i64  # up to which price, when that was last looked at
    fresh_until_ns: i64  # when one of its two books is too old, if no more is heard of it
    rest_e9: i64  # base coin: filled, and earlier trades' remainder, less what hedges were sent for; purchases positive
    ahead_lots: i64  # before us in the queue
    amend_ahead_lots: i64  # AMENDING: at the price asked for
    recorded_lots: i64  # `ahead_lots` as it was recorded last
    recorded_ns: i64


class QuoteCounts(Struct):
    """What became of quotes, of both sides."""

    placed: i64
    amended: i64
    would_take: i64  # refused because they would have taken
    refused: i64  # by the gate or the venue, for another reason, or taken away unasked
    amends_refused: i64
    cancels_refused: i64
    overdue: i64


@compiled
def is_movable(quote: Quote) -> bool:
    """Tell whether the order rests, so that it can be cancelled."""
    return quote.state == QuoteState.RESTING or quote.state == QuoteState.AMENDING


@compiled
def leaves_lots(quote: Quote) -> int:
    """Return what may still be filled."""
    return quote.qty_lots - quote.filled_lots if quote.state != QuoteState.NONE else 0


@compiled
def boldest_ticks(quote: Quote, side: int) -> int:
    """Return the price that may be in force, of two the one that costs us more."""
    if quote.state != QuoteState.AMENDING:
        return quote.price_ticks
    if side == BUY:
        return max(quote.price_ticks, quote.amend_ticks)
    return min(quote.price_ticks, quote.amend_ticks)


@compiled
def place_quote(
    quote: Quote, counts: QuoteCounts, desk: Desk, book: Book, instrument: int, side: int, price_ticks: int, lots: int
) -> bool:
    """Send a post-only order that carries the number of a new trade; False if the desk takes no more requests."""
    trade_id = next_trade_id(desk)
    if not submit(
        desk, instrument, side, price_ticks, lots, time_in_force=POST_ONLY, trade_id=trade_id, tag=QUOTE_TAG | side
    ):
        return False
    due_ns = quote.due_ns
    clear_struct(quote)
    quote.due_ns = due_ns
    quote.state = QuoteState.ASKED
    quote.trade_id = trade_id
    quote.price_ticks = price_ticks
    quote.qty_lots = lots
    quote.asked_ns = desk.now_ns
    quote.ahead_lots = executable_lots(book, side, price_ticks)
    quote.recorded_lots = -1
    counts.placed += 1
    return True


@compiled
def move_quote(quote: Quote, counts: QuoteCounts, desk: Desk, book: Book, side: int, price_ticks: int) -> None:
    """Amend the price of a RESTING quote; its quantity stays."""
    if amend(desk, quote.client_order_id, price_ticks, quote.qty_lots):
        quote.state = QuoteState.AMENDING
        quote.amend_ticks = price_ticks
        quote.amend_ahead_lots = executable_lots(book, side, price_ticks)
        quote.asked_ns = desk.now_ns
        counts.amended += 1


@compiled
def withdraw_quote(quote: Quote, desk: Desk) -> bool:
    """Cancel a quote that rests; False if the desk takes no more requests."""
    if not cancel(desk, quote.client_order_id):
        return False
    quote.state = QuoteState.CANCELLING
    quote.asked_ns = desk.now_ns
    return True


@compiled
def hear_quote(quote: Quote, counts: QuoteCounts, desk: Desk, order: Order) -> None:
    """Take what became of the order, or of what was asked of it."""
    if order.trade_id != quote.trade_id:
        return
    if order.state > OrderState.PENDING_CANCEL:
        _hear_end(quote, counts, desk, order)
        return
    quote.client_order_id = order.client_order_id
    state = quote.state
    if order.amend_state == AmendState.DONE and quote.price_ticks != order.price_ticks:
        quote.price_ticks = order.price_ticks
        quote.ahead_lots = quote.amend_ahead_lots
    if state == QuoteState.ASKED and order.state == OrderState.LIVE:
        quote.state = QuoteState.RESTING
    elif state == QuoteState.AMENDING and order.amend_state != AmendState.PENDING:
        quote.state = QuoteState.RESTING
        if order.amend_state != AmendState.DONE:
            # It rests where it did. Whether it ever can be amended, nobody knows: it is cancelled and placed anew.
            quote.is_unwanted = 1
            counts.amends_refused += 1
    elif state == QuoteState.CANCELLING and order.state == OrderState.LIVE:
        quote.state = QuoteState.RESTING
        counts.cancels_refused += 1
    if quote.state != state:
        quote.is_overdue = 0


@compiled
def _hear_end(quote: Quote, counts: QuoteCounts, desk: Desk, order: Order) -> None:
    if order.state == OrderState.REJECTED and order.reason == RejectReason.WOULD_TAKE:
        counts.would_take += 1
    elif order.state != OrderState.FILLED and quote.state != QuoteState.CANCELLING:
        counts.refused += 1
        quote.due_ns = max(quote.due_ns, desk.now_ns + REFUSED_PAUSE_NS)
    quote.state = QuoteState.NONE
    quote.is_overdue = 0


@compiled
def note_overdue(quote: Quote, counts: QuoteCounts, now_ns: int, answer_max_ns: int) -> bool:
    """Tell whether something that was asked for has had no answer in time; counted once."""
    is_asked = quote.state != QuoteState.NONE and quote.state != QuoteState.RESTING
    if is_asked and quote.is_overdue == 0 and now_ns - quote.asked_ns >= answer_max_ns:
        quote.is_overdue = 1
        counts.overdue += 1
    return quote.is_overdue != 0


@compiled
def see_level(quote: Quote, book: Book, side: int) -> None:
    """Take up what the book shows at the quote's price."""
    if quote.state != QuoteState.NONE:
        quote.ahead_lots = min(quote.ahead_lots, executable_lots(book, side, quote.price_ticks))


@compiled
def see_trade(quote: Quote, side: int, price_ticks: int, qty_lots: int) -> None:
    """Take up a trade of the market: what trades at a worse price than ours has used up ours."""
    if quote.state == QuoteState.NONE:
        return
    if price_ticks == quote.price_ticks:
        quote.ahead_lots = max(0, quote.ahead_lots - qty_lots)
    elif (price_ticks < quote.price_ticks) == (side == BUY):
        quote.ahead_lots = 0


@compiled
def record_ahead(quote: Quote, desk: Desk, series: int) -> None:
    """Write the queue ahead down if it has changed, at most every RECORD_PAUSE_NS."""
    if quote.state != QuoteState.RESTING or quote.ahead_lots == quote.recorded_lots:
        return
    if desk.now_ns - quote.recorded_ns >= RECORD_PAUSE_NS:
        quote.recorded_lots = quote.ahead_lots
        quote.recorded_ns = desk.now_ns
        record_value(desk, series, min(quote.ahead_lots, AHEAD_MAX) * E9)
