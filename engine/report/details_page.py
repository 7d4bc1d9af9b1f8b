"""The report's lists of what can be clicked: opportunities and orders, with what `crosswire show` prints of each.

A page holds at most DETAILS_MAX of them, and none of a run with more than ROWS_READ_MAX orders; books and messages are
in no page: the command that shows them is.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crosswire.engine.report.columns import Values
from crosswire.engine.report.html import Page
from crosswire.engine.report.recorder import OPPORTUNITIES, ORDERS
from crosswire.engine.report.rows import Found, Rows, found_lines
from crosswire.engine.report.text import duration_text, number_text, time_text

LISTED_MAX = 25  # opportunities, the most valuable first; orders, the first ones
DETAILS_MAX = 150  # of all kinds together
ROWS_READ_MAX = 20_000

Table = dict[str, Values]


def add_details(page: Page, directory: Path, found: Table, trades: Table, orders: int) -> None:
    """Add the lists, and set what a click on them or on a mark shows."""
    command = f"crosswire show {directory}"
    if orders > ROWS_READ_MAX or len(found["start_ns"]) > ROWS_READ_MAX:
        page.detail(command, {})
        return
    rows = Rows(directory)
    best = np.argsort(-found["peak_value_e9"].astype(np.int64), kind="stable")[:LISTED_MAX].tolist()
    wanted = [("opportunity", place + 1) for place in best]
    wanted += [("order", place) for place in range(1, min(orders, LISTED_MAX) + 1)]
    wanted += [("trade", place) for place in range(1, len(trades["start_ns"]) + 1)]
    shown = [rows.find(*each) for each in wanted[:DETAILS_MAX]]
    page.detail(command, {f"{each.kind} {each.number}": "\n".join(found_lines(each)) for each in shown})
    page.section(
        "One by one",
        "A click on a row, or on a mark in a plot above, shows its orders, fills and latencies, and the command that "
        "also shows its books and messages at that moment.",
    )
    _add_opportunities(page, [each for each in shown if each.kind == "opportunity"], len(found["start_ns"]))
    _add_orders(page, [each for each in shown if each.kind == "order"], orders)


def _add_opportunities(page: Page, shown: Iterable[Found], count: int) -> None:
    rows = [
        (
            f"{each.number}",
            time_text(each.row["start_ns"]).removesuffix(" UTC"),
            duration_text(each.row["end_ns"] - each.row["start_ns"]),
            each.row["buy"],
            each.row["sell"],
            f"{each.row['peak_value']:,.2f}",
            each.quotes[each.row["buy"]],
            f"{each.row['peak_size']:.8g}",
            f"{each.row['captured_size']:.8g}",
            each.base,
            each.row["blocked_by"],
        )
        for each in shown
    ]
    if rows:
        columns = [
            "opportunity",
            "<time",
            "lasted",
            "<buy",
            "<sell",
            "worth",
            "<in",
            "size",
            "captured",
            "<of",
            "<blocked by",
        ]
        page.table(columns, rows, [f"opportunity {row[0]}" for row in rows])
        _add_rest(page, len(rows), count, "most valuable", OPPORTUNITIES)


def _add_orders(page: Page, shown: Iterable[Found], count: int) -> None:
    rows = [
        (
            f"{each.number}",
            time_text(each.row["created_ns"]).removesuffix(" UTC"),
            f"{each.row['venue']}/{each.row['symbol']}",
            each.row["side"],
            f"{each.row['price']:,.10g}",
            each.quotes[each.instruments[0]],
            f"{each.row['size']:.8g}",
            f"{each.row['filled']:.8g}",
            each.row["size_currency"],
            f"{each.row['state']} {each.row['reason']}",
            duration_text(each.row["acked_ns"] - each.row["created_ns"] if each.row["acked_ns"] else None),
        )
        for each in shown
    ]
    if rows:
        columns = [
            "order",
            "<time",
            "<instrument",
            "<side",
            "price",
            "<in",
            "size",
            "filled",
            "<of",
            "<end",
            "acknowledged after",
        ]
        page.table(columns, rows, [f"order {row[0]}" for row in rows])
        _add_rest(page, len(rows), count, "first to end", ORDERS)


def _add_rest(page: Page, listed: int, count: int, which: str, name: str) -> None:
    if listed < count:
        page.note(f"The {listed} {which} of {number_text(count)}; all are in {name}.")
