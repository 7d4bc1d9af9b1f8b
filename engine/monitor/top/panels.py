"""The panels of `crosswire top`: each a table of what was looked at. Numbers are right, their units in the head."""

import time
from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.top.look import Edge, Look, size_at
from crosswire.engine.report.text import duration_text
from crosswire.nic.duration import NS_PER_S
from crosswire.venues.exchange.clock import CLOCKS_DIFFER_NS

LEVELS_SHOWN = 5
EDGES_SHOWN = 6
ORDERS_SHOWN = 12
STATE_STYLES = {"active": "bold green", "reduce_only": "bold yellow", "cancel_only": "bold yellow"}


def number(value: object) -> str:
    """Write a number, or "-" where there is none."""
    if value is None:
        return "-"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(heads: Iterable[str], rows: Iterable[Sequence[object]], left: int = 1) -> Table:
    """Make a table whose first `left` columns are words."""
    made = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    for place, head in enumerate(heads):
        made.add_column(head, justify="left" if place < left else "right", no_wrap=True)
    for row in rows:
        made.add_row(*(each if isinstance(each, Text) else number(each) for each in row))
    return made


def words(text: str) -> str:
    """Write an enumeration's name as words."""
    return text.replace("_", " ")


def time_of_day(at_s: float) -> str:
    """Write a time, UTC."""
    return time.strftime("%H:%M:%S", time.gmtime(at_s))


def header(seen: Look) -> Text:
    """Say what the run is, what it may do and why, what it has earned; in red what is wrong."""
    text = Text()
    if seen.status is None:
        return text.append(seen.error or "asking the monitor ...", style="red" if seen.error else "dim")
    status = seen.status
    text.append(f"{status.name} ", style="bold")
    text.append(words(status.state).upper(), style=STATE_STYLES.get(status.state, "bold red"))
    text.append(f" ({words(status.why)})" if status.why else "")
    if not status.is_alive:
        text.append("  the run has ended", style="bold red")
    if status.flatten:
        text.append(f"  flatten {words(status.flatten)}", style="yellow")
    if status.alarms:
        text.append(f"  alarms {status.alarms}", style="bold red")
    for each in status.money:
        text.append(f"   {each.profit:+,f} {each.currency}", style="green" if each.profit >= 0 else "red")
    text.append(
        f"\nframes {status.frames:,}  orders {status.orders_sent:,}  cancels {status.cancels_sent:,}"
        f"  fills {status.fills:,}  open {status.open_orders}   as of {time_of_day(seen.at_s)} UTC"
    )
    for row in status.strategies:
        text.append(f"\n{row.text}")
    for warning in status.warnings:
        text.append(f"\n{warning.count:,} {warning.kind}: {warning.first_place}; {warning.what_to_do}", style="yellow")
    if seen.error:
        text.append(f"\nnothing newer: {seen.error}", style="bold red")
    return text


def book(row: m.BookRow) -> Table:
    """A book's best levels: what is bid on the left, what is asked on the right."""
    rows: list[Sequence[object]] = []
    if row.is_proven and not row.is_torn:
        for place in range(LEVELS_SHOWN):
            bid, ask = (side[place] if place < len(side) else None for side in (row.bids, row.asks))
            rows.append(
                (
                    bid.size if bid else "",
                    Text(number(bid.price), style="green") if bid else "",
                    Text(number(ask.price), style="red") if ask else "",
                    ask.size if ask else "",
                )
            )
    else:
        rows.append(("", Text("torn" if row.is_torn else "not proven", style="bold red"), "", ""))
    heads = (row.size_currency, f"bid {row.quote_currency}", f"ask {row.quote_currency}", row.size_currency)
    return table(heads, rows, left=0)


def edges(found: Sequence[Edge]) -> Table:
    """Edges, the largest first."""
    rows = [
        (
            each.buy,
            each.sell,
            Text(f"{each.edge_bps:+.2f}", style="bold green" if each.edge_bps > 0 else ""),
            "after fees" if each.is_after_fees else "before fees",
        )
        for each in found[:EDGES_SHOWN]
    ]
    return table(("buy", "sell", "edge bps", ""), rows, left=2)


def positions(rows: Sequence[m.PositionRow]) -> Table:
    """What is held of each instrument, and what it has earned."""
    shown = [
        (
            r.instrument,
            f"{number(r.position)} {r.size_currency}",
            f"+{number(r.open_buys)} -{number(r.open_sells)}",
            r.mark_price,
            f"{number(r.profit)} {r.currency}",
        )
        for r in rows
    ]
    return table(("instrument", "position", "open", "mark", "profit"), shown)


def orders(seen: Look) -> Table:
    """Open orders, the oldest first. No more is ahead of one than its book shows at its price."""
    heads = ("order", "instrument", "side", "price", "filled of", "ahead, at most", "state", "since")
    shown = [
        (
            str(r.client_order_id),
            r.instrument,
            r.side,
            r.price,
            f"{number(r.filled)} of {number(r.size)}",
            size_at(r, seen.books),
            words(r.state),
            f"{(seen.now_ns - r.created_ns) / NS_PER_S:.1f} s",
        )
        for r in seen.orders[:ORDERS_SHOWN]
    ]
    made = table(heads, shown, left=3)
    if len(seen.orders) > ORDERS_SHOWN:
        made.add_row(f"and {len(seen.orders) - ORDERS_SHOWN} more")
    return made


def latency_texts(row: m.LatencyRow) -> list[str]:
    """Write a stage's p50, p99 and most. One that no wire takes is two clocks' difference, and is said to be."""
    times = [duration_text(time_ns) for time_ns in (row.p50_ns, row.p99_ns, row.max_ns)]
    return ["the clocks differ", "", f"by {times[0]}"] if row.p50_ns > CLOCKS_DIFFER_NS else times


def latencies(rows: Sequence[m.LatencyRow]) -> Table:
    """Latencies since the run began."""
    shown = [(words(each.stage), each.count, *latency_texts(each)) for each in rows]
    return table(("stage", "count", "p50", "p99", "most"), shown)


def health(seen: Look) -> Table:
    """Each venue's session and feed."""
    if seen.status is None:
        return table((), ())
    why = {each.venue: each.text for each in seen.sessions}
    rows = []
    for each in seen.status.venues:
        style = "bold red" if each.is_lost else "green" if each.session == "ready" else "yellow"
        proven = Text(
            f"{each.books_proven} of {each.books}", style="" if each.books_proven == each.books else "bold red"
        )
        rows.append(
            (
                each.venue,
                Text(words(each.session), style=style),
                each.frames,
                Text(number(each.drops), style="bold red" if each.drops else ""),
                each.gaps,
                proven,
                why.get(each.venue) or "",
            )
        )
    return table(("venue", "session", "frames", "drops", "gaps", "books proven", ""), rows, left=2)


def log(rows: Sequence[m.LogRow]) -> Table:
    """The last commands, the latest first."""
    shown = [
        (
            time_of_day(r.time_ns / NS_PER_S),
            r.client,
            words(r.request),
            r.detail,
            Text(words(r.outcome), style="" if r.outcome in ("done", "to_confirm") else "red"),
            r.text,
        )
        for r in reversed(rows)
    ]
    return table(("UTC", "client", "command", "with", "outcome", "answer"), shown, left=6)
