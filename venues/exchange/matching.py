"""Matching of our own orders against a replayed book: one set of rules for every simulated exchange.

The market of a replay does not react to us. What follows from that is decided here, once, and is what a backtest's
fills mean:

* **Taking.** A new order takes the levels of the opposite side from the best to its limit, each at its own price, one
  fill a level. What it took stays taken until the market itself changes that level (`venues.book.taken`).
* **IOC** cancels what is left, **FOK** trades all or nothing, **POST_ONLY** is rejected if any lot could be taken,
  **GTC** and **POST_ONLY** rest what is left.
* **Queue.** A resting order stands behind everything displayed at its price when it arrived. Trades at the price take
  from the front: first what stood ahead, then us. What was cancelled ahead of us is the queue model's to say
  (`venues.exchange.queue`). Where the book shows nothing at the price nor beyond, what it shows there first is ahead.
* **Trade through.** A trade at a worse price than ours has exhausted our price: it would have met us first, so we are
  filled up to its size, the best price first.
* **Crossing.** When the opposite side comes to our price or through it, we are filled up to what is shown there, at our
  price, as the one who was there first; those lots are then taken.
* Our own orders never meet each other: the replay shows no order of ours to trade with. A POST_ONLY that would have to
  is rejected, as the venue would. With several at one price the earlier is served first.

An invalid book fills nothing and accepts no new order.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, clear_struct, copy_struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, available_lots, best_level, next_level, take_level
from crosswire.venues.exchange.queue import Queue, QueuePlace, is_before, join_queue, see_level, see_trade
from crosswire.venues.instrument import Instrument, Kind, Payoff, fee_e9
from crosswire.venues.market import TRADE, Event, Events, Market
from crosswire.venues.order import RejectReason, Report, ReportKind, TimeInForce
from crosswire.venues.side import BID, BUY, SELL
from crosswire.venues.token_bucket import TokenBucket, set_token_bucket, take_token

RESTING_MAX = 256  # resting orders of one venue; searched from the front, for time priority and by id
EXECUTIONS_MAX = 1024  # reports of one request or packet: the levels that one order can sweep
VALUE_MAX = 1 << 62  # a notional past this is refused as a bad quantity: it would not fit 64 bits


class OrderRequest(Struct):
    """A new limit order as it arrives, of which nothing is proven; or one that is amended, with what is left of it."""

    client_order_id: i64
    instrument: i64  # market index, negative: none that the venue has
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64


class Resting(Struct):
    """One resting order of ours."""

    client_order_id: i64
    exchange_order_id: i64
    instrument: i64  # market index
    side: i64
    price_ticks: i64
    leaves_lots: i64
    filled_lots: i64
    time_in_force: i64
    place: QueuePlace


class Executions(Struct):
    """What the matching said, in order. `truncated` counts orders cut short for want of room for more fills."""

    count: i64
    truncated: i64
    items: Annotated[Array, Report, EXECUTIONS_MAX]


class Matching(Struct):
    """Our orders at one simulated exchange."""

    venue: i64
    resting_max: i64  # the venue's own limit, at most RESTING_MAX
    resting_count: i64
    last_client_order_id: i64  # ids must count up, so that a repeated order is seen in O(1)
    last_exchange_order_id: i64
    last_execution_id: i64
    accepted: i64
    cancelled: i64
    taker_fills: i64
    maker_fills: i64
    rejects: Annotated[Array, i64, len(RejectReason)]
    queue: Queue
    throttle: TokenBucket  # of new orders; cancels always pass
    resting: Annotated[Array, Resting, RESTING_MAX]


def set_matching(matching: Matching, venue: int, orders_per_second: int, burst: int, resting_max: int) -> None:
    """Set the venue's limits; ValueError unless they are positive and `resting_max` is at most RESTING_MAX."""
    if not 1 <= resting_max <= RESTING_MAX:
        raise ValueError(f"resting orders: must be in 1..{RESTING_MAX}, not {resting_max}")
    matching.venue = venue
    matching.resting_max = resting_max
    set_token_bucket(matching.throttle, orders_per_second, burst)


@compiled
def match_new(matching: Matching, market: Market, order: OrderRequest, now_ns: int, executions: Executions) -> None:
    """Match a new limit order that arrives at `now_ns`; its ACK and fills, or its rejection, go to `executions`."""
    client_order_id, instrument, side = order.client_order_id, order.instrument, order.side
    reason = _refusal(matching, market, order, now_ns)
    if reason != RejectReason.NONE:
        matching.rejects[reason] += 1
        report = _add_report(matching, executions, ReportKind.REJECTED, client_order_id, instrument, side, now_ns)
        report.reason = reason
        return
    matching.accepted += 1
    matching.last_exchange_order_id += 1
    exchange_order_id = matching.last_exchange_order_id
    report = _add_report(matching, executions, ReportKind.ACK, client_order_id, instrument, side, now_ns)
    report.exchange_order_id = exchange_order_id
    report.leaves_lots = order.qty_lots
    _place(matching, market, order, exchange_order_id, 0, now_ns, executions)


@compiled
def _place(
    matching: Matching,
    market: Market,
    order: OrderRequest,
    exchange_order_id: int,
    filled_lots: int,
    now_ns: int,
    executions: Executions,
) -> None:
    """Take what an accepted order can, and rest or cancel what is left; `filled_lots` of it were filled before."""
    book, side = market.books[order.instrument], order.side
    time_in_force = order.time_in_force
    leaves_lots = order.qty_lots
    if time_in_force != TimeInForce.FOK or _lots_within(book, side, order.price_ticks, leaves_lots) >= leaves_lots:
        leaves_lots = _sweep(matching, market, executions, order, exchange_order_id, now_ns)
    if leaves_lots == 0:
        return
    if time_in_force == TimeInForce.IOC or time_in_force == TimeInForce.FOK or executions.count >= EXECUTIONS_MAX - 1:
        matching.cancelled += 1
        report = _add_report(
            matching, executions, ReportKind.CANCELLED, order.client_order_id, order.instrument, side, now_ns
        )
        report.exchange_order_id = exchange_order_id
        report.leaves_lots = leaves_lots
        return
    filled_lots += order.qty_lots - leaves_lots
    rest_order(matching, market, order, exchange_order_id, leaves_lots, now_ns)
    matching.resting[matching.resting_count - 1].filled_lots = filled_lots


@compiled
def rest_order(
    matching: Matching, market: Market, order: OrderRequest, exchange_order_id: int, leaves_lots: int, now_ns: int
) -> None:
    """Have what is left of an order stand behind all that the book shows at its price. There must be room for it."""
    book, side = market.books[order.instrument], order.side
    resting = matching.resting[matching.resting_count]
    matching.resting_count += 1
    resting.client_order_id = order.client_order_id
    resting.exchange_order_id = exchange_order_id
    resting.instrument = order.instrument
    resting.side = side
    resting.price_ticks = order.price_ticks
    resting.leaves_lots = leaves_lots
    resting.filled_lots = 0
    resting.time_in_force = order.time_in_force
    shown_lots = available_lots(book, side, order.price_ticks)
    is_unseen = 1 if shown_lots == 0 and is_beyond(book, side, order.price_ticks) else 0
    terms = market.instruments[order.instrument]
    contracts_per_lot = terms.lot_e9 / terms.contract_e9
    join_queue(resting.place, shown_lots, min(book.exchange_time_ns, now_ns), is_unseen, contracts_per_lot)


@compiled
def is_beyond(book: Book, side: int, price_ticks: int) -> bool:
    """Tell whether the book shows better levels of a side than this price, and none at it or beyond."""
    best_ticks, next_ticks = best_level(book, side), next_level(book, side, price_ticks)
    if side == BID:
        return best_ticks > price_ticks and next_ticks == NO_BID
    return best_ticks < price_ticks and next_ticks == NO_ASK


@compiled
def _refusal(matching: Matching, market: Market, order: OrderRequest, now_ns: int) -> int:
    """Find the reason for which the venue refuses this order; `RejectReason.NONE` if it does not."""
    if order.client_order_id <= matching.last_client_order_id:
        return RejectReason.DUPLICATE_ID
    matching.last_client_order_id = order.client_order_id
    if not take_token(matching.throttle, now_ns):
        return RejectReason.RATE_LIMIT
    if order.instrument < 0 or order.instrument >= market.count:
        return RejectReason.UNKNOWN_INSTRUMENT
    reason = _bad_terms(market.instruments[order.instrument], order)
    if reason != RejectReason.NONE:
        return reason
    side, time_in_force = order.side, order.time_in_force
    if side < BUY or side > SELL or time_in_force < TimeInForce.IOC or time_in_force > TimeInForce.POST_ONLY:
        return RejectReason.OTHER
    if time_in_force >= TimeInForce.GTC and matching.resting_count >= matching.resting_max:
        return RejectReason.TOO_MANY_ORDERS
    return _book_refusal(matching, market, order)


@compiled
def _bad_terms(terms: Instrument, order: OrderRequest) -> int:
    """Tell what is wrong with a price and a quantity as such."""
    if order.price_ticks == 0 or (order.price_ticks < 0 and terms.kind != Kind.COMBO):
        return RejectReason.BAD_PRICE
    if order.qty_lots <= 0 or order.qty_lots > largest_qty_lots(terms, order.price_ticks):
        return RejectReason.BAD_QUANTITY
    return RejectReason.NONE


@compiled
def _book_refusal(matching: Matching, market: Market, order: OrderRequest) -> int:
    """Find what the book has against an order."""
    book = market.books[order.instrument]
    if book.valid == 0:
        return RejectReason.BOOK_NOT_READY
    if order.time_in_force == TimeInForce.POST_ONLY:
        if _lots_within(book, order.side, order.price_ticks, 1) > 0 or _meets_own(matching, order):
            return RejectReason.WOULD_TAKE
    return RejectReason.NONE


@compiled
def _meets_own(matching: Matching, order: OrderRequest) -> bool:
    """Tell whether an order would trade with one of our own."""
    for position in range(matching.resting_count):
        resting = matching.resting[position]
        if resting.instrument == order.instrument and resting.side != order.side:
            if _reaches(order.side, order.price_ticks, resting.price_ticks):
                return True
    return False


@compiled
def largest_qty_lots(terms: Instrument, price_ticks: int) -> int:
    """Find the largest quantity whose value at this price fits 64 bits."""
    if terms.payoff == Payoff.INVERSE:
        return VALUE_MAX // terms.lot_e9
    return VALUE_MAX // terms.tick_lot_e9 // abs(price_ticks)


@compiled
def _sweep(
    matching: Matching,
    market: Market,
    executions: Executions,
    order: OrderRequest,
    exchange_order_id: int,
    now_ns: int,
) -> int:
    """Take levels from the best to the limit; return what is left. One place in `executions` stays free for that."""
    client_order_id, instrument, side = order.client_order_id, order.instrument, order.side
    book = market.books[instrument]
    opposite = 1 - side
    leaves_lots = order.qty_lots
    price_ticks = best_level(book, opposite)
    while leaves_lots > 0 and _reaches(side, order.price_ticks, price_ticks):
        lots = min(leaves_lots, available_lots(book, opposite, price_ticks))
        if lots > 0:
            if executions.count >= EXECUTIONS_MAX - 1:
                executions.truncated += 1
                break
            take_level(book, opposite, price_ticks, lots)
            leaves_lots -= lots
            matching.taker_fills += 1
            report = _add_report(matching, executions, ReportKind.FILL, client_order_id, instrument, side, now_ns)
            report.exchange_order_id = exchange_order_id
            _set_fill(matching, market, report, price_ticks, lots, leaves_lots, 0)
        price_ticks = next_level(book, opposite, price_ticks)
    return leaves_lots


@compiled
def _reaches(side: int, limit_ticks: int, price_ticks: int) -> bool:
    """Tell whether an order of `side` may trade at this price. NO_BID and NO_ASK are out of everyone's reach."""
    return price_ticks <= limit_ticks if side == BUY else price_ticks >= limit_ticks


@compiled
def _lots_within(book: Book, side: int, limit_ticks: int, wanted_lots: int) -> int:
    """Count the lots that an order of `side` could take up to its limit, no further than `wanted_lots`."""
    opposite = 1 - side
    lots = 0
    price_ticks = best_level(book, opposite)
    while lots < wanted_lots and _reaches(side, limit_ticks, price_ticks):
        lots += available_lots(book, opposite, price_ticks)
        price_ticks = next_level(book, opposite, price_ticks)
    return lots


@compiled
def _add_report(
    matching: Matching,
    executions: Executions,
    kind: int,
    client_order_id: int,
    instrument: int,
    side: int,
    now_ns: int,
) -> Report:
    assert executions.count < EXECUTIONS_MAX
    report = executions.items[executions.count]
    executions.count += 1
    clear_struct(report)
    report.kind = kind
    report.venue = matching.venue
    report.client_order_id = client_order_id
    report.instrument = instrument
    report.side = side
    report.exchange_time_ns = now_ns
    return report


@compiled
def _set_fill(
    matching: Matching,
    market: Market,
    report: Report,
    price_ticks: int,
    qty_lots: int,
    leaves_lots: int,
    is_maker: int,
) -> None:
    matching.last_execution_id += 1
    report.execution_id = matching.last_execution_id
    report.price_ticks = price_ticks
    report.qty_lots = qty_lots
    report.leaves_lots = leaves_lots
    report.is_maker = is_maker
    report.fee_e9 = fee_e9(market.instruments[report.instrument], price_ticks, qty_lots, is_maker)


@compiled
def on_market(matching: Matching, market: Market, events: Events, now_ns: int, executions: Executions) -> None:
    """Apply a packet of the exchange-time feed to our resting orders. Next to nothing when there are none."""
    if matching.resting_count == 0:
        return
    for position in range(events.count):
        event = events.items[position]
        if event.kind == TRADE:
            _on_trade(matching, market, event, now_ns, executions)
    # A trade's own book change may come in the same packet, so the books are looked at once, after all trades.
    for position in range(events.count):
        event = events.items[position]
        if event.kind != TRADE:
            _on_book(matching, market, event, now_ns, executions)
    _compact(matching)


@compiled
def _on_trade(matching: Matching, market: Market, trade: Event, now_ns: int, executions: Executions) -> None:
    """Apply a trade of the market: our orders at better prices, those ahead of us at its own, then we, as we came."""
    left_lots = _fill_through(matching, market, trade, now_ns, executions)
    ours_lots = 0  # of this trade, already given to earlier orders of ours at its price
    for position in range(matching.resting_count):
        resting = matching.resting[position]
        if resting.instrument != trade.instrument or resting.leaves_lots == 0 or trade.side == resting.side:
            continue
        if resting.price_ticks == trade.price_ticks and not is_before(resting.place, trade):
            reached_lots = see_trade(matching.queue, resting.place, left_lots, min(trade.exchange_time_ns, now_ns))
            lots = min(resting.leaves_lots, reached_lots - ours_lots)
            if lots > 0:
                ours_lots += lots
                _fill_resting(matching, market, resting, lots, now_ns, executions)


@compiled
def _fill_through(matching: Matching, market: Market, trade: Event, now_ns: int, executions: Executions) -> int:
    """Fill what the trade's aggressor would have met before its price, the best price first; return what is left."""
    left_lots = trade.qty_lots
    while left_lots > 0:
        best = _best_through(matching, trade)
        if best < 0:
            break
        resting = matching.resting[best]
        before_lots = resting.leaves_lots
        lots = min(left_lots, before_lots)
        _fill_resting(matching, market, resting, lots, now_ns, executions)
        if resting.leaves_lots == before_lots:
            break
        left_lots -= lots
    return left_lots


@compiled
def _best_through(matching: Matching, trade: Event) -> int:
    """Find the resting order with the best price that is better than the trade's; of several the earliest. -1: none."""
    best = -1
    best_ticks = 0
    for position in range(matching.resting_count):
        resting = matching.resting[position]
        side, price_ticks = resting.side, resting.price_ticks
        if resting.instrument != trade.instrument or resting.leaves_lots == 0 or is_before(resting.place, trade):
            continue
        if price_ticks == trade.price_ticks or not _reaches(side, price_ticks, trade.price_ticks):
            continue
        if best < 0 or (price_ticks != best_ticks and _reaches(side, price_ticks, best_ticks)):
            best, best_ticks = position, price_ticks
    return best


@compiled
def _on_book(matching: Matching, market: Market, change: Event, now_ns: int, executions: Executions) -> None:
    """Apply a change of a book: cancels ahead of us bring us forward; the opposite side at our price fills us."""
    book = market.books[change.instrument]
    if book.valid == 0:
        return
    # A book without a time of its own is as old as the exchange's clock says.
    time_ns = min(change.exchange_time_ns, now_ns)
    for position in range(matching.resting_count):
        resting = matching.resting[position]
        if resting.instrument != change.instrument or resting.leaves_lots == 0:
            continue
        see_level(matching.queue, resting.place, available_lots(book, resting.side, resting.price_ticks), time_ns)
        lots = _take_crossing(book, resting)
        if lots > 0:
            _fill_resting(matching, market, resting, lots, now_ns, executions)


@compiled
def _take_crossing(book: Book, resting: Resting) -> int:
    """Take what the opposite side shows at our price or through it, as much as we want; return its lots."""
    side = 1 - resting.side
    taken_lots = 0
    price_ticks = best_level(book, side)
    while taken_lots < resting.leaves_lots and _reaches(resting.side, resting.price_ticks, price_ticks):
        lots = min(resting.leaves_lots - taken_lots, available_lots(book, side, price_ticks))
        if lots > 0:
            take_level(book, side, price_ticks, lots)
            taken_lots += lots
        price_ticks = next_level(book, side, price_ticks)
    return taken_lots


@compiled
def _fill_resting(
    matching: Matching, market: Market, resting: Resting, lots: int, now_ns: int, executions: Executions
) -> None:
    """Fill a resting order at its own price. Without room for the report nothing happens: the market comes again."""
    if executions.count >= EXECUTIONS_MAX:
        executions.truncated += 1
        return
    resting.leaves_lots -= lots
    resting.filled_lots += lots
    matching.maker_fills += 1
    report = _add_report(
        matching, executions, ReportKind.FILL, resting.client_order_id, resting.instrument, resting.side, now_ns
    )
    report.exchange_order_id = resting.exchange_order_id
    _set_fill(matching, market, report, resting.price_ticks, lots, resting.leaves_lots, 1)


@compiled
def _compact(matching: Matching) -> None:
    """Close the gaps that filled and cancelled orders left; the others keep their order of arrival."""
    kept = 0
    for position in range(matching.resting_count):
        resting = matching.resting[position]
        if resting.leaves_lots > 0:
            if kept != position:
                copy_struct(matching.resting[kept], resting)
            kept += 1
    matching.resting_count = kept


@compiled
def match_amend(matching: Matching, market: Market, order: OrderRequest, now_ns: int, executions: Executions) -> None:
    """Give a resting order another price and quantity, what is filled included; AMENDED and fills, or AMEND_REJECTED.

    `order` names it by its client order id, and becomes the request that is matched. The order keeps its place where
    nothing but its quantity changes, downwards; otherwise it arrives anew.
    """
    place = find_resting(matching, order.client_order_id)
    reason: int = RejectReason.UNKNOWN_ORDER
    if place >= 0:
        reason = _amend_refusal(matching, market, matching.resting[place], order, now_ns)
    if reason != RejectReason.NONE:
        matching.rejects[reason] += 1
        report = _add_report(matching, executions, ReportKind.AMEND_REJECTED, order.client_order_id, -1, 0, now_ns)
        report.reason = reason
        return
    resting = matching.resting[place]
    report = _add_report(
        matching, executions, ReportKind.AMENDED, resting.client_order_id, resting.instrument, resting.side, now_ns
    )
    exchange_order_id, filled_lots = resting.exchange_order_id, resting.filled_lots
    report.exchange_order_id = exchange_order_id
    report.price_ticks = order.price_ticks
    report.qty_lots = order.qty_lots
    if _keeps_place(resting, order):
        resting.leaves_lots = order.qty_lots - filled_lots
        return
    order.qty_lots -= filled_lots
    resting.leaves_lots = 0
    _compact(matching)
    _place(matching, market, order, exchange_order_id, filled_lots, now_ns, executions)


@compiled
def find_resting(matching: Matching, client_order_id: int) -> int:
    """Find the place of a resting order of ours; -1: it does not rest."""
    for place in range(matching.resting_count):
        if matching.resting[place].client_order_id == client_order_id:
            return place
    return -1


@compiled
def _keeps_place(resting: Resting, order: OrderRequest) -> bool:
    is_no_larger = order.qty_lots <= resting.filled_lots + resting.leaves_lots
    return order.price_ticks == resting.price_ticks and is_no_larger


@compiled
def _amend_refusal(matching: Matching, market: Market, resting: Resting, order: OrderRequest, now_ns: int) -> int:
    """Find the reason for which the venue refuses these terms; complete the request by what the order is."""
    order.instrument = resting.instrument
    order.side = resting.side
    order.time_in_force = resting.time_in_force
    if not take_token(matching.throttle, now_ns):
        return RejectReason.RATE_LIMIT
    reason = _bad_terms(market.instruments[resting.instrument], order)
    if reason != RejectReason.NONE:
        return reason
    if order.qty_lots <= resting.filled_lots:
        return RejectReason.BAD_QUANTITY
    if _keeps_place(resting, order):
        return RejectReason.NONE
    return _book_refusal(matching, market, order)


@compiled
def match_cancel(matching: Matching, client_order_id: int, now_ns: int, executions: Executions) -> None:
    """Cancel one resting order: appends CANCELLED, or CANCEL_REJECTED if it does not rest."""
    place = find_resting(matching, client_order_id)
    if place >= 0:
        _cancel_resting(matching, matching.resting[place], now_ns, executions)
        _compact(matching)
        return
    matching.rejects[RejectReason.UNKNOWN_ORDER] += 1
    report = _add_report(matching, executions, ReportKind.CANCEL_REJECTED, client_order_id, -1, 0, now_ns)
    report.reason = RejectReason.UNKNOWN_ORDER


@compiled
def match_cancel_all(matching: Matching, now_ns: int, executions: Executions) -> int:
    """Cancel all resting orders: append one CANCELLED for each; return how many."""
    count = matching.resting_count
    for position in range(count):
        _cancel_resting(matching, matching.resting[position], now_ns, executions)
    _compact(matching)
    return count


@compiled
def _cancel_resting(matching: Matching, resting: Resting, now_ns: int, executions: Executions) -> None:
    matching.cancelled += 1
    report = _add_report(
        matching, executions, ReportKind.CANCELLED, resting.client_order_id, resting.instrument, resting.side, now_ns
    )
    report.exchange_order_id = resting.exchange_order_id
    report.leaves_lots = resting.leaves_lots
    resting.leaves_lots = 0
