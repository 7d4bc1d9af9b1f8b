"""The one matching engine (`venues.exchange.matching`) over the stand-in's books, driven one message at a time.

Every function here is compiled as it stands and called by the stand-in's process; what it calls is what a backtest
runs. A message changes a book and then meets our resting orders, as a packet of the bridge feed does in a backtest.
"""

import inspect
from typing import Annotated

from crosswire.nic.memory.struct import Pointer, Struct, array, i64
from crosswire.nic.unit.call import call_unit, machine_code
from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.kinds import kind_of
from crosswire.nic.unit.unit import load_units
from crosswire.venues.book.book import clear_book, make_books, refresh_top, set_level, set_quote
from crosswire.venues.exchange.matching import (
    RESTING_MAX,
    Executions,
    Matching,
    OrderRequest,
    find_resting,
    match_cancel,
    match_new,
    on_market,
    rest_order,
    set_matching,
)
from crosswire.venues.exchange.queue import QueueModel
from crosswire.venues.instrument import Instrument
from crosswire.venues.market import TRADE, Events, Market, add_event, book_changed, clear_events
from crosswire.venues.token_bucket import ORDERS_MAX

CHANGES_MAX = 1 << 16  # levels of one message, both sides: a recording that starts over changes whole books
LEVELS_MAX = 1 << 15  # of a book


class LevelChange(Struct):
    """A level as a message shows it; size 0 removes it."""

    side: i64
    price_ticks: i64
    qty_lots: i64


class Matcher(Struct):
    """The books and the resting orders of one of the venue's markets."""

    market: Market
    matching: Matching
    events: Events
    executions: Executions
    order: OrderRequest
    count: i64  # changes in use
    changes: Annotated[Pointer, LevelChange]


def make_matcher(instruments: int, model: QueueModel = QueueModel.RISK_AVERSE) -> Matcher:
    """Make a matcher whose instruments, of venue 0, are still to be described."""
    matcher = Matcher()
    market = matcher.market
    market.count = market.capacity = instruments
    market.instruments = array(Instrument, instruments)
    market.books = make_books(instruments, LEVELS_MAX)
    matcher.changes = array(LevelChange, CHANGES_MAX)
    # The venue's own limits are counted by requests, before an order comes here.
    set_matching(matcher.matching, 0, ORDERS_MAX, ORDERS_MAX, RESTING_MAX)
    matcher.matching.queue.model = model
    matcher.matching.queue.power = 1.0
    return matcher


def _show(matcher: Matcher, index: int, update_id: int, time_ns: int, now_ns: int, is_whole: int) -> bool:
    """Apply `changes` to a book, which `is_whole` replaces; False if a level has no room."""
    market, events = matcher.market, matcher.events
    book = market.books[index]
    matcher.executions.count = 0
    clear_events(events, market)
    if is_whole != 0:
        clear_book(book)
    fits = True
    for place in range(matcher.count):
        change = matcher.changes[place]
        fits = set_level(book, change.side, change.price_ticks, change.qty_lots) and fits
    book.valid = 1
    book.update_id = update_id
    book.exchange_time_ns = time_ns
    book.receive_time_ns = now_ns
    refresh_top(book)
    book_changed(events, market, index, time_ns)
    on_market(matcher.matching, market, events, now_ns, matcher.executions)
    return fits


def _quote(
    matcher: Matcher,
    index: int,
    update_id: int,
    bid_ticks: int,
    bid_lots: int,
    ask_ticks: int,
    ask_lots: int,
    time_ns: int,
    now_ns: int,
) -> None:
    """Apply a best bid and ask."""
    market, events = matcher.market, matcher.events
    book = market.books[index]
    matcher.executions.count = 0
    clear_events(events, market)
    if book.valid == 0:
        return
    set_quote(book, update_id, bid_ticks, bid_lots, ask_ticks, ask_lots)
    if refresh_top(book):
        book.exchange_time_ns = time_ns
        book.receive_time_ns = now_ns
        book_changed(events, market, index, time_ns)
    on_market(matcher.matching, market, events, now_ns, matcher.executions)


def _trade(matcher: Matcher, index: int, side: int, price_ticks: int, qty_lots: int, time_ns: int, now_ns: int) -> None:
    """Apply a trade of the market."""
    market, events = matcher.market, matcher.events
    matcher.executions.count = 0
    clear_events(events, market)
    event = add_event(events, TRADE, index, time_ns)
    event.side = side
    event.price_ticks = price_ticks
    event.qty_lots = qty_lots
    on_market(matcher.matching, market, events, now_ns, matcher.executions)


def _place(matcher: Matcher, now_ns: int) -> None:
    """Match `order`."""
    matcher.executions.count = 0
    match_new(matcher.matching, matcher.market, matcher.order, now_ns, matcher.executions)


def _rest(matcher: Matcher, now_ns: int) -> None:
    """Have `order` rest as it is, whatever the book shows: it was accepted before the exchange went down."""
    matching = matcher.matching
    matcher.executions.count = 0
    matching.last_client_order_id = max(matching.last_client_order_id, matcher.order.client_order_id)
    matching.last_exchange_order_id += 1
    rest_order(matching, matcher.market, matcher.order, matching.last_exchange_order_id, matcher.order.qty_lots, now_ns)


def _cancel(matcher: Matcher, client_order_id: int, now_ns: int) -> None:
    """Cancel a resting order."""
    matcher.executions.count = 0
    match_cancel(matcher.matching, client_order_id, now_ns, matcher.executions)


def _reduce(matcher: Matcher, client_order_id: int, leaves_lots: int) -> bool:
    """Make a resting order smaller where it stands in its queue; False if it does not rest, or would not shrink."""
    matching = matcher.matching
    place = find_resting(matching, client_order_id)
    if place < 0 or not 0 < leaves_lots < matching.resting[place].leaves_lots:
        return False
    matching.resting[place].leaves_lots = leaves_lots
    return True


FUNCTIONS = (_show, _quote, _trade, _place, _rest, _cancel, _reduce)


def prepare(matcher: Matcher) -> None:
    """Have all of it compiled, side by side, before anybody waits for an answer: new, that takes a minute."""
    if NO_JIT:
        return
    load_units(
        [
            call_unit(function, (kind_of(matcher), *[kind_of(0)] * (len(inspect.signature(function).parameters) - 1)))
            for function in FUNCTIONS
        ]
    )


show = machine_code(_show)
quote = machine_code(_quote)
trade = machine_code(_trade)
place = machine_code(_place)
rest = machine_code(_rest)
cancel = machine_code(_cancel)
reduce = machine_code(_reduce)
