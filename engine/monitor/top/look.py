"""What `crosswire top` shows at one moment: asked of the monitor in one go, and the edges between its books."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import permutations

from crosswire.engine.config import RunConfig
from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.client import Client

DEPTH = 20  # levels a side that are asked for: those shown, and those that our orders stand at
LOG_LINES = 50
BPS = Decimal(10_000)


@dataclass(frozen=True)
class Traded:
    """What an edge depends on of an instrument."""

    underlying: str
    taker_fee_bps: Decimal | None  # None: by fee tiers


@dataclass(frozen=True)
class Edge:
    """What buying here and selling there at the best prices would earn, a fraction of the price to buy at."""

    buy: str
    sell: str
    edge_bps: Decimal
    is_after_fees: bool  # taker fees of both legs


@dataclass(frozen=True)
class Look:
    """One moment. `error`: why there is nothing new; then the rest is as it was last."""

    at_s: float
    status: m.Status | None = None
    books: Sequence[m.BookRow] = ()
    positions: Sequence[m.PositionRow] = ()
    orders: Sequence[m.OrderRow] = ()
    latencies: Sequence[m.LatencyRow] = ()
    sessions: Sequence[m.SessionRow] = ()
    log: Sequence[m.LogRow] = ()
    now_ns: int = 0
    error: str = ""
    edges: Sequence[Edge] = ()


def look(client: Client, traded: dict[str, Traded]) -> Look:
    """Ask for everything; what can't be had is `error`."""
    try:
        status, books, orders = client.status(), client.books(depth=DEPTH).rows, client.orders()
        return Look(
            at_s=time.time(),
            status=status,
            books=books,
            positions=client.positions().rows,
            orders=orders.rows,
            latencies=client.latencies().rows,
            sessions=client.sessions().rows,
            log=client.log(LOG_LINES).rows,
            now_ns=orders.now_ns,
            edges=find_edges(books, traded),
        )
    except ControlError as error:
        return Look(at_s=time.time(), error=str(error))


def traded_of(config: RunConfig) -> dict[str, Traded]:
    """List a configuration's instruments, as venue/SYMBOL."""
    return {
        f"{venue.name}/{each.symbol}": Traded(each.underlying, each.taker_fee_bps)
        for venue in config.venue
        for each in venue.instrument
    }


def find_edges(books: Sequence[m.BookRow], traded: dict[str, Traded]) -> list[Edge]:
    """Compare the best prices of each two proven books of one underlying, both ways; the largest edge first."""
    shown = [each for each in books if each.is_proven and each.bids and each.asks and each.instrument in traded]
    edges = []
    for buy, sell in permutations(shown, 2):
        here, there = traded[buy.instrument], traded[sell.instrument]
        if here.underlying == there.underlying:
            has_fees = here.taker_fee_bps is not None and there.taker_fee_bps is not None
            buy_fee, sell_fee = (each.taker_fee_bps or Decimal(0) if has_fees else Decimal(0) for each in (here, there))
            ask, bid = buy.asks[0].price, sell.bids[0].price
            edge = bid * (BPS - sell_fee) - ask * (BPS + buy_fee)
            edges.append(Edge(buy.instrument, sell.instrument, edge / ask, has_fees))
    return sorted(edges, key=lambda each: each.edge_bps, reverse=True)


def size_at(order: m.OrderRow, books: Sequence[m.BookRow]) -> Decimal | None:
    """Find what its book shows at an order's price: no more than that can be ahead of it. None: it is not known."""
    for book in books:
        if book.instrument == order.instrument and book.is_proven:
            side = book.bids if order.side == "buy" else book.asks
            return next((level.size for level in side if level.price == order.price), None)
    return None
