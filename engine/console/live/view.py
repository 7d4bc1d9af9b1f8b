"""What the page shows of a live run at one moment: exact figures as text, as of a finished run."""

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from crosswire.engine.console.live.watch import STALE_S, LiveWatch, Point, Seen
from crosswire.engine.console.show import since_text
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.offered import OFFERED
from crosswire.engine.monitor.top.look import BPS, Edge, Traded, size_at
from crosswire.engine.monitor.top.panels import latency_texts, number, time_of_day, words
from crosswire.nic.duration import NS_PER_S
from crosswire.venues.exchange.clock import CLOCKS_DIFFER_NS

LEVELS_SHOWN = 10
EDGES_SHOWN = 6
ORDERS_SHOWN = 40
EDGE_DIGITS = Decimal("0.0001")

Shown = dict[str, Any]


def live_view(watch: LiveWatch, pair: list[int] | None) -> Shown:
    """Show the run; `pair`: the two books, None: those that a look begins with. ValueError: there are no such."""
    seen = watch.seen
    status, age_s = seen.look.status, time.monotonic() - seen.begun_s
    shown: Shown = {"error": seen.error, "commands": commands_of(watch), "state": "none" if status is None else "live"}
    if status is None:
        return shown
    names = [row.instrument for row in seen.look.books]
    chosen = default_pair(names, watch.traded) if pair is None else pair
    if not all(0 <= each < len(names) for each in chosen):
        raise ValueError(f"left, right: this run has the instruments 0 to {len(names) - 1}")
    if seen.error or age_s > STALE_S:
        shown["state"] = "stale"
    elif not status.is_alive:
        shown["state"] = "ended"
    return shown | header_of(status) | {
        "age_s": age_s,
        "as_of": time_of_day(seen.look.at_s),
        "instruments": names,
        "pair": chosen,
        "books": [book_of(seen.look.books[each], status.now_ns) for each in chosen],
        "edges": edges_of(seen, [names[each] for each in chosen], watch.traded),
        "best": [edge_row(each) for each in seen.look.edges[:EDGES_SHOWN]],
        "positions": [position_of(each) for each in seen.look.positions],
        "profit": [{"currency": each.currency, "profit": signed(each.profit)} for each in status.money],
        "open_orders": [order_of(each, seen) for each in seen.look.orders[:ORDERS_SHOWN]],
        "more_orders": max(0, len(seen.look.orders) - ORDERS_SHOWN),
        "latencies": [
            {"name": words(each.stage), "count": number(each.count)}
            | dict(zip(("p50", "p99", "most"), latency_texts(each), strict=True))
            for each in seen.look.latencies
        ],
        "health": health_of(seen, status),
        "log": [log_of(each) for each in reversed(seen.look.log)],
        "limits": [limit_of(each) for each in seen.limits],
        "parameters": [parameter_of(each) for each in seen.parameters],
    }  # fmt: skip


def default_pair(names: Sequence[str], traded: dict[str, Traded]) -> list[int]:
    """Choose the two books to begin with: the first two of one underlying, else the first two."""
    for left, name in enumerate(names):
        for right in range(left + 1, len(names)):
            here, there = traded.get(name), traded.get(names[right])
            if here is not None and there is not None and here.underlying == there.underlying:
                return [left, right]
    return [0, min(1, len(names) - 1)]


def commands_of(watch: LiveWatch) -> list[Shown]:
    """List what can be asked for, and of each why this client may not."""
    welcome = watch.looking.welcome
    rows = []
    for name, request in [*((name, each.request) for name, each in OFFERED.items()), ("set", m.Set(values={}))]:
        why = "the monitor has not told yet who we are"
        if welcome is not None:
            may = m.may(welcome.role, request)
            why = "" if may else f"{welcome.client} is a {welcome.role}: this needs a {m.role_needed(request)}"
        elif watch.seen.look.status is not None:
            why = ""  # between two connections the monitor itself says what is refused
        offered = OFFERED.get(name)
        said, key = ("", "") if offered is None else (offered.said, offered.key)
        rows.append({"name": name, "label": words(name), "said": said, "key": key, "why": why})
    return rows


def header_of(status: m.Status) -> Shown:
    """Say what the run is, what it may do and why."""
    own = {
        f"{row.strategy}: {name}": number(count) for row in status.strategies for name, count in row.counters.items()
    }
    counts = ("frames", "orders_sent", "cancels_sent", "fills", "open_orders", "alarms")
    return {
        "name": status.name,
        "run": status.run,
        "trading": words(status.state),
        "why": words(status.why),
        "is_alive": status.is_alive,
        "flatten": words(status.flatten),
        "warnings": [str(each) for each in status.warnings],
        "counts": {words(each): number(getattr(status, each)) for each in counts} | own,
    }


def signed(value: Decimal) -> str:
    """Write an amount with its sign."""
    return f"{value:+,f}" if value else "0"


def book_of(row: m.BookRow, now_ns: int) -> Shown:
    """Show one book."""
    is_valid = row.is_proven and not row.is_torn
    is_of_one_clock = now_ns - row.exchange_time_ns <= CLOCKS_DIFFER_NS  # a simulated market has its recording's times
    age = since_text(row.exchange_time_ns, now_ns) if is_of_one_clock else ""
    return {
        "name": row.instrument,
        "quote": row.quote_currency,
        "size_currency": row.size_currency,
        "valid": is_valid,
        "heard": f"of {age} ago by the venue's clock" if age else "",
        "bids": [[number(each.price), number(each.size)] for each in row.bids[:LEVELS_SHOWN]] if is_valid else [],
        "asks": [[number(each.price), number(each.size)] for each in row.asks[:LEVELS_SHOWN]] if is_valid else [],
    }


def edge_row(edge: Edge) -> Shown:
    """Show one of the largest edges."""
    fees = "after fees" if edge.is_after_fees else "before fees"
    return {"buy": edge.buy, "sell": edge.sell, "bps": f"{edge.edge_bps:+.3f}", "fees": fees}


def edges_of(seen: Seen, pair: list[str], traded: dict[str, Traded]) -> list[Shown]:
    """Show what buying one of two and selling the other brings, both ways."""
    if len(pair) < 2 or pair[0] == pair[1]:
        return []
    found = {(each.buy, each.sell): each for each in seen.look.edges}
    books = {each.instrument: each for each in seen.look.books}
    shown = []
    for buy, sell in (pair, pair[::-1]):
        edge, book = found.get((buy, sell)), books[buy]
        row = {
            "buy": buy,
            "sell": sell,
            "quote": book.quote_currency,
            "base": "",
            "edge": "",
            "edge_e9": None,
            "bps": "",
        }
        if edge is not None:
            money = edge.edge_bps * book.asks[0].price / BPS
            row |= edge_row(edge) | {
                "base": traded[buy].underlying,
                "edge": signed(money.quantize(EDGE_DIGITS)),
                "edge_e9": int(money.scaleb(9)),
            }
        shown.append(row)
    return shown


def position_of(row: m.PositionRow) -> Shown:
    """Show what is held of an instrument, and what it has earned."""
    return {
        "name": row.instrument,
        "position": signed(row.position),
        "size_currency": row.size_currency,
        "open": f"+{number(row.open_buys)} -{number(row.open_sells)}",
        "mark": number(row.mark_price),
        "fees": number(row.fees),
        "profit": signed(row.profit),
        "currency": row.currency,
        "warnings": [],
    }


def order_of(row: m.OrderRow, seen: Seen) -> Shown:
    """Show an open order; no more is ahead of it than its book shows at its price."""
    ahead = size_at(row, seen.look.books)
    return {
        "number": str(row.client_order_id),
        "name": row.instrument,
        "side": row.side,
        "price": number(row.price),
        "quote": "",
        "size": number(row.size),
        "size_currency": row.size_currency,
        "filled": number(row.filled),
        "time_in_force": words(row.time_in_force),
        "state": words(row.state),
        "ahead": "not known" if ahead is None else f"{number(ahead)} {row.size_currency}",
        "age": f"{(seen.look.now_ns - row.created_ns) / NS_PER_S:.1f} s",
    }


def health_of(seen: Seen, status: m.Status) -> list[Shown]:
    """Show each venue's session and feed."""
    why = {each.venue: each.text for each in seen.look.sessions}
    return [
        {
            "venue": each.venue,
            "session": words(each.session),
            "is_well": each.session == "ready" and not each.is_lost and each.books_proven == each.books,
            "frames": number(each.frames),
            "drops": number(each.drops),
            "gaps": number(each.gaps),
            "proven": f"{each.books_proven} of {each.books}",
            "text": why.get(each.venue, ""),
        }
        for each in status.venues
    ]


def log_of(row: m.LogRow) -> Shown:
    """Show a command that somebody gave."""
    return {
        "time": time_of_day(row.time_ns / NS_PER_S),
        "client": row.client,
        "request": words(row.request),
        "detail": row.detail,
        "outcome": words(row.outcome),
        "text": row.text,
    }


def limit_of(row: m.LimitRow) -> Shown:
    """Show a limit, and how much of it is used."""
    return {"name": row.name, "value": number(row.value), "unit": row.unit, "used": number(row.used)}


def parameter_of(row: m.ParameterRow) -> Shown:
    """Show what may be set."""
    numbers = {"value": f"{row.value:f}", "minimum": number(row.minimum), "maximum": number(row.maximum)}
    return {"name": row.name, "unit": row.unit} | numbers


def series_of(points: Sequence[Point], pair: list[str], traded: dict[str, Traded], after_s: float) -> Shown:
    """Give both edges in bps, and the P&L by currency, at each look after a time; None: it was not known."""
    chosen = [each for each in points if each.at_s > after_s]
    currencies = sorted({name for each in points for name in each.profits})
    edges = [
        [edge_bps(each.tops, buy, sell, traded) for each in chosen] for buy, sell in (pair, pair[::-1]) if buy != sell
    ]
    return {
        "times_s": [each.at_s for each in chosen],
        "bps": edges or [[None] * len(chosen)] * 2,
        "currencies": currencies,
        "profit": [[each.profits.get(name) for each in chosen] for name in currencies],
    }


def edge_bps(tops: dict[str, tuple[float, float]], buy: str, sell: str, traded: dict[str, Traded]) -> float | None:
    """Compute an edge as `find_edges` does, as a float for a chart."""
    here, there = traded.get(buy), traded.get(sell)
    if buy not in tops or sell not in tops or here is None or there is None or here.underlying != there.underlying:
        return None
    has_fees = here.taker_fee_bps is not None and there.taker_fee_bps is not None
    buy_fee, sell_fee = (float(each.taker_fee_bps or 0) if has_fees else 0.0 for each in (here, there))
    bid, ask = tops[sell][0], tops[buy][1]
    return round((bid * (10_000 - sell_fee) - ask * (10_000 + buy_fee)) / ask, 4)
